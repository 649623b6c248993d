"""A part of an experiment that is no training: seconds, memory, searches on a recorded table."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from normsearch.errors import StudyError

#: The load (processes that wait for a core, mean of a minute) above which no seconds are taken.
BUSY = 1.0


@dataclass(frozen=True)
class Measurement:
    """A measurement whose outcome is a table.

    Attributes:
        take: measures, from the folder of the data sets (None: the usual places).
        idle: whether it must run on an otherwise idle machine, because it takes seconds.
    """

    take: Callable[[Path | None], pd.DataFrame]
    idle: bool = False


def check_idle() -> None:
    """Raise StudyError if other processes would share the cores with a measurement of seconds."""
    load = os.getloadavg()[0]
    if load > BUSY:
        raise StudyError(
            f"the machine must be idle to take seconds, and its load is {load:.1f}; stop what else "
            "runs, wait a minute, and call this again."
        )
