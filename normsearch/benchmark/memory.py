"""A coordinator with its study in memory and without files, for replays."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, InMemoryStorage

from normsearch.config import SearchConfig, StudyConfig, TaskConfig, TrainingConfig, TrialConfig
from normsearch.limits import TRIALS
from normsearch.search.coordinator import Coordinator
from normsearch.search.jobs import Job
from normsearch.space.choice import Choice
from normsearch.space.layered import Space
from normsearch.storage.leases import Leases


class LeasesInMemory(Leases):
    """The leases of a single driver: every claim succeeds."""

    owner = "replay"

    def __init__(self) -> None:
        self._held = set[int]()

    def claim(self, trial: int) -> bool:
        """Claim a trial."""
        self._held.add(trial)
        return True

    def holder(self, trial: int) -> str | None:
        """Return the driver if it holds a trial."""
        return self.owner if trial in self._held else None

    def release(self, trial: int) -> None:
        """Release a trial."""
        self._held.discard(trial)

    def hours(self) -> float:
        """Return 0: a replay takes no time."""
        return 0.0

    @property
    def stopped(self) -> bool:
        """Always False: nobody requests a stop."""
        return False


class CoordinatorInMemory(Coordinator):
    """The only driver of a study without data.

    Args:
        space: the search space.
        search: the search settings; the number of trials is ignored, unless there is a race.
        samples: samples seen at each evaluation point of a trial.
    """

    def __init__(self, space: Space, search: SearchConfig, samples: Sequence[int]) -> None:
        config = StudyConfig(
            name="replay",
            task=TaskConfig(data="none"),
            training=TrainingConfig(samples=samples[-1], evaluations=len(samples)),
            space=space.config,
            search=search if search.race else search.model_copy(update={"trials": TRIALS}),
        )
        folder = tempfile.mkdtemp(prefix="normsearch-")  # stays empty
        weakref.finalize(self, os.rmdir, folder)
        super().__init__(Path(folder), config, space)

    @property
    def study(self) -> optuna.Study:
        """The study, with all its trials."""
        return self._study

    def chosen(self, number: int) -> dict[str, Any]:
        """Return the parameters of a running trial."""
        return self._live[number].params

    def _make_leases(self, lease: float) -> Leases:
        return LeasesInMemory()

    def _storage(self, url: str | None) -> BaseStorage:
        return InMemoryStorage()

    def _job(self, trial: optuna.trial.Trial, choice: Choice) -> Job:
        self._live[trial.number] = trial
        known = {"number": trial.number, "norm_map": choice.norm_map, **choice.values}
        return Job(TrialConfig.model_construct(None, **known), self.folder, "")
