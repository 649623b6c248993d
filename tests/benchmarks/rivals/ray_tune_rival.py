"""Ray Tune's own OptunaSearch and ASHAScheduler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from normsearch.benchmark.simulated_executor import Outcome
from normsearch.benchmark.table import STAGES
from tests.benchmarks.rivals.equal_terms import OPTIONS, Choice


@dataclass
class _Trial:
    """What the scheduler looks at in a trial of Tune."""

    trial_id: str


class RayTune:
    """Searcher and scheduler, called as Tune's controller calls them.

    The searcher hears of every result but the one at which the scheduler stops the trial, and is
    told that the trial completed with that result's score; so its user sees stopped trials too.

    Args:
        seed: of all draws.
        evaluations: evaluation points of a whole training.
        first: choices to suggest before its own.
        min_resource: the scheduler's first rung (``grace_period``).
    """

    def __init__(
        self, seed: int, evaluations: int, first: Sequence[Choice] = (), min_resource: int = 1
    ) -> None:
        points = [dict(zip(STAGES, point, strict=True)) for point in first]
        self._search = OptunaSearch(space=None, seed=seed, points_to_evaluate=points or None)
        space = {stage: tune.choice(list(norms)) for stage, norms in OPTIONS.items()}
        self._search.set_search_properties("score", "max", space)
        self._scheduler = ASHAScheduler(
            metric="score", mode="max", max_t=evaluations, grace_period=min_resource
        )
        self._evaluations, self._trials = evaluations, list[_Trial]()

    def ask(self) -> tuple[int, Choice, int]:
        """Suggest, and let the scheduler know of the trial."""
        number = len(self._trials)
        self._trials.append(_Trial(str(number)))
        config = self._search.suggest(str(number))
        self._scheduler.on_trial_add(None, self._trials[number])
        return number, tuple(str(config[stage]) for stage in STAGES), self._evaluations

    def report(self, number: int, step: int, score: float) -> bool:
        """The scheduler first; the searcher only if the trial goes on."""
        result = {"score": score, "training_iteration": step}
        decision = self._scheduler.on_trial_result(None, self._trials[number], result)
        if decision == self._scheduler.STOP:
            return True
        self._search.on_trial_result(str(number), result)
        return False

    def finish(self, number: int, outcome: Outcome, step: int, score: float) -> None:
        """Tell both."""
        result = {"score": score, "training_iteration": step}
        if outcome == "failed":
            self._search.on_trial_complete(str(number), error=True)
            return
        if outcome == "complete":
            self._scheduler.on_trial_complete(None, self._trials[number], result)
        self._search.on_trial_complete(str(number), result)
