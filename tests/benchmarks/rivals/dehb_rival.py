"""DEHB by ask and tell."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any

from ConfigSpace import Categorical, ConfigurationSpace
from dehb import DEHB

from normsearch.benchmark.simulated_executor import Outcome
from normsearch.benchmark.table import STAGES
from tests.benchmarks.rivals.equal_terms import OPTIONS, Choice


class Dehb:
    """Differential evolution in the brackets of Hyperband.

    DEHB cannot be told of a trial that it did not ask for, so it learns nothing of the choices of
    `first`. A configuration that it asks for with a larger budget is trained from the start.

    Args:
        seed: of all draws.
        evaluations: evaluation points of a whole training, the highest fidelity.
        first: choices to train before its own.
    """

    def __init__(self, seed: int, evaluations: int, first: Sequence[Choice] = ()) -> None:
        space = ConfigurationSpace(seed=seed)
        space.add([Categorical(stage, list(norms)) for stage, norms in OPTIONS.items()])
        self._folder = tempfile.TemporaryDirectory()
        self._dehb = DEHB(
            cs=space,
            min_fidelity=1,
            max_fidelity=evaluations,
            n_workers=1,  # more would start processes; ask and tell need none
            seed=seed,
            output_path=self._folder.name,
            save_freq="end",
            log_level="ERROR",
        )
        self._evaluations = evaluations
        self._first, self._jobs = list(first), list[dict[str, Any] | None]()

    def ask(self) -> tuple[int, Choice, int]:
        """Return number, choice and budget."""
        number = len(self._jobs)
        if number < len(self._first):
            self._jobs.append(None)
            return number, self._first[number], self._evaluations
        job = self._dehb.ask()
        self._jobs.append(job)
        choice = tuple(str(job["config"][stage]) for stage in STAGES)
        return number, choice, round(job["fidelity"])

    def report(self, number: int, step: int, score: float) -> bool:
        """Never stop before the budget."""
        return False

    def finish(self, number: int, outcome: Outcome, step: int, score: float) -> None:
        """Tell DEHB the score at the end; a failed training counts as 0."""
        job = self._jobs[number]
        if job is not None:
            worth = 0.0 if outcome == "failed" else score
            self._dehb.tell(job, {"fitness": -worth, "cost": float(step)})
