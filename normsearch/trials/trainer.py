"""What every trainer is: from a trial's configuration and data to one record an evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from normsearch.config import TrialConfig
from normsearch.data import Case, Split

Record = dict[str, Any]
"""The results of one evaluation point as plain values; see `train_trial`."""
Data = TypeVar("Data", Split, Sequence[Case])
"""What trials train on: one split for all of them, or all cases, which each splits for itself."""
AnyData = TypeVar("AnyData")
"""Data as an executor sees it: it hands it on and looks at nothing in it."""
_Data = TypeVar("_Data", contravariant=True)


class Trainer(Protocol[_Data]):
    """Trains one trial: ours, one of the user's own, or one that adds to another."""

    def __call__(
        self, config: TrialConfig, data: _Data, folder: Path, token: str | None, /
    ) -> Iterator[Record]:
        """Yield one record an evaluation point.

        Args:
            config: the trial.
            data: what trials train on.
            folder: the trial's own.
            token: what FOLDER/owner must say for this training to be allowed to write.
        """
