"""Duplicates: configurations suggested again are answered from the record, never trained twice."""

from __future__ import annotations

import random
from collections.abc import Sequence

from optuna import Study, Trial
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from normsearch.samplers.fixed import FixedParametersSampler
from normsearch.search.single_norms import SingleNormTuning
from normsearch.space.interface import AnySpace
from normsearch.storage.optuna_access import store_value
from normsearch.storage.trial_states import DUPLICATE_OF, is_repeat, mark_infeasible

_PATIENCE = 10  # repetitions in a row after which another sampler is used
_DRAWS = 100  # uniform draws without a new configuration after which a space counts as exhausted


def waits(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> bool:
    """Whether a repetition waits for a trial that is still being trained."""
    return is_repeat(trial) and not trials[trial.user_attrs[DUPLICATE_OF]].state.is_finished()


def find_original(trials: Sequence[FrozenTrial], number: int) -> FrozenTrial | None:
    """Return the first trial before `number` of its configuration, if its record can be reused.

    A failure that the configuration does not explain (such as a dead worker) cannot.
    """
    own = trials[number].user_attrs
    values, norm_map = own["values"], own["norm_map"]
    for trial in trials[:number]:
        known = trial.user_attrs
        if known.get("values") != values or known.get("norm_map") != norm_map:
            continue
        explained = known.get("failure", "").startswith(("nan", "norm"))
        if not is_repeat(trial) and (trial.state != TrialState.FAIL or explained):
            return trial
    return None


def answer(study: Study, trial: Trial, original: FrozenTrial) -> bool:
    """Finish `trial` with the curve and result of `original`; False while that is unfinished."""
    if DUPLICATE_OF not in trial.user_attrs:
        trial.set_user_attr(DUPLICATE_OF, original.number)
    if not original.state.is_finished():
        return False
    for step, value in original.intermediate_values.items():
        trial.set_user_attr(f"evaluation:{step}", original.user_attrs[f"evaluation:{step}"])
        store_value(trial, step, value)
    if "failure" in original.user_attrs:
        trial.set_user_attr("failure", original.user_attrs["failure"])
        if original.state == TrialState.PRUNED:
            mark_infeasible(trial)
    for name, above in original.constraints.items():
        if name not in trial.constraints:
            trial.set_constraint(name, above)
    values = original.values if original.state == TrialState.COMPLETE else None
    study.tell(trial.number, values, state=original.state, skip_if_finished=True)
    return True


class Freshness:
    """Replaces a sampler that repeats itself, and detects when a space is exhausted.

    Args:
        space: the study's space.
        sampler: the study's sampler.
        tuning: chooses the trials that train a single norm.
    """

    def __init__(self, space: AnySpace, sampler: BaseSampler, tuning: SingleNormTuning) -> None:
        self._space, self._sampler, self._tuning = space, sampler, tuning
        self._in_a_row = 0

    def note(self, repeated: bool) -> None:
        """Record whether the newest configuration was a repetition."""
        self._in_a_row = self._in_a_row + 1 if repeated else 0

    @property
    def exhausted(self) -> bool:
        """Whether so many draws found nothing new that the space counts as exhausted."""
        return self._in_a_row >= _PATIENCE + _DRAWS

    def sampler(self, trials: Sequence[FrozenTrial]) -> BaseSampler:
        """Return the sampler of the next trial: the study's, or one that avoids repetitions.

        A trial that tunes a single norm has all its parameters given.
        """
        if (params := self._tuning.next(trials)) is not None:
            return FixedParametersSampler(params, len(trials))
        if self._in_a_row < _PATIENCE:
            return self._sampler
        seed = len(trials)
        start = random.Random(seed).randrange(self._space.size or 1)
        return FixedParametersSampler(
            self._space.unseen([trial.params for trial in trials], start), seed
        )
