"""Images and labels: reading, checking, preparing, splitting and batching; a synthetic data set."""

from normsearch.data.augment import Augmentation
from normsearch.data.augmentation_presets import PRESETS, is_anisotropic, preset_transforms
from normsearch.data.cases import Case, CaseFiles, classes_shown, fingerprint
from normsearch.data.faults import Fault
from normsearch.data.foreign_transforms import is_random_transform
from normsearch.data.idx import read_idx
from normsearch.data.in_memory import cases_of
from normsearch.data.layouts import LAYOUTS, DataSet, detect_layout, find_cases, survey
from normsearch.data.loader import Augment, BatchLoader, SampleLoader
from normsearch.data.made_folds import folds_table, with_made_folds
from normsearch.data.patches import Patches, PatchLoader
from normsearch.data.phantom import generate_phantom
from normsearch.data.preparation import Preparation
from normsearch.data.prepare import load_cases, prepare_case
from normsearch.data.random_transforms import TRANSFORMS, Transform
from normsearch.data.resampling import Resampling, resampling_to
from normsearch.data.sampling import SAMPLINGS, Sampling
from normsearch.data.segments import Segmentation, label_of_segments, read_segments
from normsearch.data.splits import Split, overfit_split, split_cases, spread_cases, test_split
from normsearch.data.validate import Report, inspect
from normsearch.data.volume import SpacingWarning, Volume, read_volume, write_volume
from normsearch.data.whole import (
    WholeCase,
    WholeImage,
    image_on_own_grid,
    whole_case,
    whole_image,
)

__all__ = [
    "LAYOUTS",
    "PRESETS",
    "SAMPLINGS",
    "TRANSFORMS",
    "Augment",
    "Augmentation",
    "BatchLoader",
    "Case",
    "CaseFiles",
    "DataSet",
    "Fault",
    "PatchLoader",
    "Patches",
    "Preparation",
    "Report",
    "Resampling",
    "SampleLoader",
    "Sampling",
    "Segmentation",
    "SpacingWarning",
    "Split",
    "Transform",
    "Volume",
    "WholeCase",
    "WholeImage",
    "cases_of",
    "classes_shown",
    "detect_layout",
    "find_cases",
    "fingerprint",
    "folds_table",
    "generate_phantom",
    "image_on_own_grid",
    "inspect",
    "is_anisotropic",
    "is_random_transform",
    "label_of_segments",
    "load_cases",
    "overfit_split",
    "prepare_case",
    "preset_transforms",
    "read_idx",
    "read_segments",
    "read_volume",
    "resampling_to",
    "split_cases",
    "spread_cases",
    "survey",
    "test_split",
    "whole_case",
    "whole_image",
    "with_made_folds",
    "write_volume",
]
