"""A part of an experiment that is no training: seconds, memory, searches on a recorded table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd


@dataclass(frozen=True)
class Measurement:
    """A measurement whose outcome is a table.

    Attributes:
        take: measures, from the folder of the data sets (None: the usual places).
        idle: whether it must run on an otherwise idle machine, because it takes seconds.
    """

    take: Callable[[Path | None], pd.DataFrame]
    idle: bool = False
