"""Images and labels: reading, checking, splitting, batching, and a made-up data set."""

from normsearch.data.cases import Case, CaseFiles
from normsearch.data.idx import read_idx
from normsearch.data.layouts import Intensity, find_cases, fingerprint, load_cases, prepare_case
from normsearch.data.loader import SliceLoader, case_tensors
from normsearch.data.phantom import generate_phantom
from normsearch.data.segments import Segmentation, label_of_segments, read_segments
from normsearch.data.splits import Split, split_cases
from normsearch.data.volume import SpacingWarning, Volume, read_volume, write_volume

__all__ = [
    "Case",
    "CaseFiles",
    "Intensity",
    "Segmentation",
    "SliceLoader",
    "SpacingWarning",
    "Split",
    "Volume",
    "case_tensors",
    "find_cases",
    "fingerprint",
    "generate_phantom",
    "label_of_segments",
    "load_cases",
    "prepare_case",
    "read_idx",
    "read_segments",
    "read_volume",
    "split_cases",
    "write_volume",
]
