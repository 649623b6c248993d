"""Syne Tune's ASHA-CQR: conformal quantile regression with asynchronous successive halving."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import huggingface_hub  # noqa: F401  # ASHACQR imports it at its first suggestion, and asks for none
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import choice as one_of
from syne_tune.optimizer.baselines import ASHACQR
from syne_tune.optimizer.scheduler import SchedulerDecision

from normsearch.benchmark.simulated_executor import Outcome
from normsearch.benchmark.table import STAGES
from tests.benchmarks.rivals.equal_terms import OPTIONS, Choice


class AshaCqr:
    """The scheduler, called as Syne Tune's tuner calls it.

    Args:
        seed: of all draws.
        evaluations: evaluation points of a whole training.
        first: choices to suggest before its own.
        min_resource: its first rung (``grace_period``).
    """

    def __init__(
        self, seed: int, evaluations: int, first: Sequence[Choice] = (), min_resource: int = 1
    ) -> None:
        self._evaluations = evaluations
        self._scheduler = ASHACQR(
            {stage: one_of(list(norms)) for stage, norms in OPTIONS.items()},
            metric="score",
            time_attr="step",
            max_t=evaluations,
            do_minimize=False,
            random_seed=seed,
            grace_period=min_resource,
            points_to_evaluate=[dict(zip(STAGES, point, strict=True)) for point in first],
        )
        self._trials: list[Trial] = []

    def ask(self) -> tuple[int, Choice, int]:
        """Return number, choice and the full budget."""
        config = self._scheduler.suggest().config
        trial = Trial(len(self._trials), config, datetime.datetime.now(datetime.UTC))
        self._trials.append(trial)
        self._scheduler.on_trial_add(trial)
        return trial.trial_id, tuple(str(config[stage]) for stage in STAGES), self._evaluations

    def report(self, number: int, step: int, score: float) -> bool:
        """Report an evaluation; the scheduler decides."""
        result = {"score": score, "step": step}
        decision = self._scheduler.on_trial_result(self._trials[number], result)
        return bool(decision == SchedulerDecision.STOP)

    def finish(self, number: int, outcome: Outcome, step: int, score: float) -> None:
        """Tell the scheduler; a stopped trial it stopped itself."""
        trial = self._trials[number]
        if outcome == "failed":
            self._scheduler.on_trial_error(trial)
        elif outcome == "complete":
            self._scheduler.on_trial_complete(trial, {"score": score, "step": step})
        else:
            self._scheduler.on_trial_remove(trial)
