"""Images and labels: reading, checking, splitting, batching, and a made-up data set."""

from normsearch.data.cases import Case, CaseFiles
from normsearch.data.layouts import Intensity, find_cases, fingerprint, load_cases, prepare_case
from normsearch.data.loader import SliceLoader, case_tensors
from normsearch.data.phantom import generate_phantom
from normsearch.data.splits import Split, split_cases
from normsearch.data.volume import SpacingWarning, Volume, read_volume, write_volume

__all__ = [
    "Case",
    "CaseFiles",
    "Intensity",
    "SliceLoader",
    "SpacingWarning",
    "Split",
    "Volume",
    "case_tensors",
    "find_cases",
    "fingerprint",
    "generate_phantom",
    "load_cases",
    "prepare_case",
    "read_volume",
    "split_cases",
    "write_volume",
]
