"""The order of a search's configurations: by score, and after a race by the posterior."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence

from optuna.trial import FrozenTrial

from normsearch.config.metric import Direction
from normsearch.storage.objectives import score
from normsearch.storage.trial_states import (
    REPLICATE_OF,
    eligible,
    is_repeat,
    is_replicate,
    single_norm,
)

RACE, ROUND, ENTRANTS = "race", "round", "entrants"
"""Attributes of a replicate: the trials asked for when its race began, the number of its round from
1, and how many configurations the round trains."""


def rank(trials: Sequence[FrozenTrial], direction: Direction) -> list[int]:
    """Return the numbers of the trials that may be the best, the best first.

    Until a race has finished a round, these are all `eligible` trials by score, but for its
    replicates. From then on they are the `candidates` by the posterior, but for two: first comes
    the best of those that the newest race trained, for only these have proved themselves in further
    trainings, and likewise no single norm comes before the best one that it trained, and no mixture
    before the best mixture. One that a round left out is first if those that it kept turn out
    worse.
    """
    raced = entered(trials)
    if not raced:
        return [n for n in by_score(trials, direction) if not is_replicate(trials[n])]
    ordered = by_posterior(candidates(trials), trials, direction)
    proven = [number for number in ordered if number in raced]
    leaders = {single_norm(trials[number]) is None: number for number in reversed(proven)}
    found = dict.fromkeys(proven[:1])  # an ordered set
    for number in ordered:
        found[leaders.get(single_norm(trials[number]) is None, number)] = None
        found[number] = None
    return list(found)


def by_score(trials: Iterable[FrozenTrial], direction: Direction) -> list[int]:
    """Return the numbers of the `eligible` trials, the best score first."""
    best_first = sorted(eligible(trials), key=score, reverse=direction == "maximize")
    return [trial.number for trial in best_first]


def candidates(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the first `eligible` trial of each configuration."""
    found: dict[str, FrozenTrial] = {}
    for trial in eligible(trials):
        if not is_replicate(trial):
            chosen = [trial.user_attrs.get(name) for name in ("values", "norm_map")]
            found.setdefault(json.dumps(chosen, sort_keys=True), trial)
    return list(found.values())


def by_posterior(
    some: Iterable[FrozenTrial], trials: Sequence[FrozenTrial], direction: Direction
) -> list[int]:
    """Return the numbers of `some` candidates, that with the best posterior mean first.

    The posterior is of all `trials`; see `posterior_means`. Where it has no mean, and among equal
    ones, the mean score of a configuration's trainings decides.
    """
    from normsearch.samplers.fitted import posterior_means

    sign = 1 if direction == "maximize" else -1
    means = posterior_means([trial for trial in trials if not is_repeat(trial)], sign)

    def merit(trial: FrozenTrial) -> tuple[float, float, int]:
        scores = [score(one) for one in trainings(trials, trial.number)]
        known = [one for one in scores if not math.isnan(one)]
        number = trial.number
        return means.get(number, -math.inf), sign * sum(known) / len(known), -number

    return [trial.number for trial in sorted(some, key=merit, reverse=True)]


def trainings(trials: Sequence[FrozenTrial], number: int) -> list[FrozenTrial]:
    """Return a trial and its replicates, whatever became of them."""
    again = [trial for trial in trials if trial.user_attrs.get(REPLICATE_OF) == number]
    return [trials[number], *again]


def entered(trials: Sequence[FrozenTrial]) -> set[int]:
    """Return whose configurations the finished rounds of the newest race trained.

    Of races without a finished round there is nothing.
    """
    replicates = [trial for trial in trials if is_replicate(trial)]
    for race in dict.fromkeys(trial.user_attrs[RACE] for trial in reversed(replicates)):
        done = [one for one in rounds(replicates, race).values() if is_finished(one)]
        if done:
            return {trial.user_attrs[REPLICATE_OF] for one in done for trial in one}
    return set()


def rounds(trials: Iterable[FrozenTrial], race: int) -> dict[int, list[FrozenTrial]]:
    """Return the trials of each round of a race, in order."""
    found: dict[int, list[FrozenTrial]] = {}
    for trial in trials:
        if is_replicate(trial) and trial.user_attrs[RACE] == race:
            found.setdefault(trial.user_attrs[ROUND], []).append(trial)
    return dict(sorted(found.items()))


def is_finished(one: Sequence[FrozenTrial]) -> bool:
    """Whether all trials of a round are there and finished."""
    whole = len(one) >= one[0].user_attrs[ENTRANTS]
    return whole and all(trial.state.is_finished() for trial in one)
