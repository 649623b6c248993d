"""Published statements, one Python page an experiment: claim, design and test.

A page in studies/findings, or a file of your own, holds functions marked `part`, which say what is
trained, and functions marked `finding`, which say what is looked at and return contrasts.
"""

from normsearch.confirmation.contrasts import (
    Contrast,
    agreement,
    difference,
    mean_of,
    power,
    slope,
    weighted,
)
from normsearch.findings.marks import Power, finding, part
from normsearch.findings.measured import Measured
from normsearch.findings.measurement import Measurement
from normsearch.findings.trainings import Search, Trainings, arm

__all__ = [
    "Contrast",
    "Measured",
    "Measurement",
    "Power",
    "Search",
    "Trainings",
    "agreement",
    "arm",
    "difference",
    "finding",
    "mean_of",
    "part",
    "power",
    "slope",
    "weighted",
]
