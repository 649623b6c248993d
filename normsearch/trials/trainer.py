"""The interface of trainers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from normsearch.config import TrialConfig
from normsearch.data import Case, Split

Record = dict[str, Any]
"""The results of an evaluation point as plain values; see `train_trial`."""
Data = TypeVar("Data", Split, Sequence[Case])
"""The data of trials: one split for all, or all cases, which each trial splits."""
AnyData = TypeVar("AnyData")
"""Data of any type, which executors only pass on."""
_Data = TypeVar("_Data", contravariant=True)


class Trainer(Protocol[_Data]):
    """Trains one trial and yields records."""

    def __call__(
        self, config: TrialConfig, data: _Data, folder: Path, token: str | None, /
    ) -> Iterator[Record]:
        """Yield one record per evaluation point.

        Args:
            config: the trial.
            data: the data of the trials.
            folder: the folder of the trial.
            token: the required content of FOLDER/owner; None skips this check.
        """
