"""Summaries of the runs below a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from normsearch.config.reading import read_recorded_study
from normsearch.errors import NormsearchError
from normsearch.storage.records import StudyRecord
from normsearch.storage.trial_states import FINISHED

_CHANGING = ("study.yaml", "journal.log", "leases.log", "trials")


@dataclass(frozen=True)
class RunSummary:
    """The summary of a run.

    Attributes:
        name: name of the run's folder.
        changed: when one of its files was last written, in UTC.
        done: number of finished trials (COMPLETE, PRUNED and FAIL).
        asked: number of trials asked for; None if the run cannot be read, or while what its trials
            cost or find is to decide it.
        at_most: whether fewer trials may be enough, as in a confirmation in looks.
        metric: name of the score, such as ``Dice``.
        best: score of the best COMPLETE trial (after a race the mean of its trainings); None if
            there is none, or if trials are scored on the test cases, since the best of several test
            scores is biased.
        trial: number of the trial with that score.
        fault: why the run cannot be read.
    """

    name: str
    changed: datetime
    done: int = 0
    asked: int | None = None
    metric: str | None = None
    best: float | None = None
    trial: int | None = None
    fault: str | None = None
    at_most: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values; `changed` in ISO 8601."""
        return {**asdict(self), "changed": self.changed.isoformat(timespec="seconds")}


def list_runs(runs: Path) -> list[RunSummary]:
    """Return the runs below a folder, the last changed one first.

    A run that cannot be read is also listed, with its `fault`.
    """
    found = [_summary(path.parent) for path in runs.glob("*/study.yaml")]
    return sorted(found, key=lambda run: (run.changed, run.name), reverse=True)


def _summary(folder: Path) -> RunSummary:
    name, changed = folder.name, datetime.fromtimestamp(max(_times(folder), default=0), UTC)
    try:
        config = read_recorded_study(folder)
        record = StudyRecord(folder, skim=True)
        trials = record.trials().set_index("number")
    except NormsearchError as error:
        return RunSummary(name, changed, fault=str(error))
    best = None if config.task.validation == "test" else record.best
    return RunSummary(
        name,
        changed,
        done=int(trials["state"].isin(FINISHED).sum()),
        asked=record.asked,
        metric=config.metric,
        best=None if best is None else record.mean_score(best),
        trial=best,
        at_most=config.in_looks,
    )


def _times(folder: Path) -> Iterator[float]:
    for name in _CHANGING:
        with suppress(OSError):
            yield (folder / name).lstat().st_mtime
