"""The posterior by which a race decides: of the trials alone, and wiser than single scores."""

import random
from typing import Any

import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from normsearch.samplers.fitted import estimate, posterior_means

NORMS = ("none", "BN", "IN", "GN", "SN", "LN")
SPACE: dict[str, BaseDistribution] = {
    name: CategoricalDistribution(NORMS) for name in ("one", "two", "three")
}


def numbered(rows: list[tuple[tuple[str, ...], float | None]]) -> list[FrozenTrial]:
    """Return trials of these norms with these scores; None for one that failed."""
    trials = []
    for number, (norms, score) in enumerate(rows):
        given: dict[str, Any] = {"params": dict(zip(SPACE, norms, strict=True))}
        if score is None:
            trial = create_trial(state=TrialState.FAIL, distributions=SPACE, **given)
        else:
            trial = create_trial(
                value=score, intermediate_values={9: score}, distributions=SPACE, **given
            )
        trial.number = number
        trials.append(trial)
    return trials


def drawn(count: int, seed: int = 0) -> list[tuple[tuple[str, ...], float | None]]:
    """Return configurations whose scores are noise about 0.5."""
    made = random.Random(seed)
    return [(tuple(made.choice(NORMS) for _ in SPACE), made.gauss(0.5, 0.02)) for _ in range(count)]


LUCKY, STEADY = ("SN", "LN", "GN"), ("GN", "SN", "LN")


def test_three_good_trainings_beat_one_better_score() -> None:
    rows = [*drawn(12), (LUCKY, 0.60), *[(STEADY, score) for score in (0.59, 0.60, 0.585)]]
    means = posterior_means(numbered(rows))
    assert means[13] == means[14] == means[15]  # of the configuration, not of the trial
    assert means[13] > means[12] > max(means[number] for number in range(12))


def test_a_failed_training_counts_as_the_worst() -> None:
    rows = [*drawn(12), (LUCKY, 0.60), (STEADY, 0.60)]
    alone = posterior_means(numbered(rows))
    assert alone[12] == pytest.approx(alone[13], abs=0.3)
    failed = posterior_means(numbered([*rows, (LUCKY, None)]))
    assert failed[12] < failed[13] - 0.3


def test_the_same_trials_give_the_same_means_and_minimizing_mirrors_them() -> None:
    rows = [*drawn(15), (LUCKY, 0.60)]
    means = posterior_means(numbered(rows))
    assert posterior_means(numbered(rows)) == means
    negated = [(norms, -score if score is not None else None) for norms, score in rows]
    assert posterior_means(numbered(negated), sign=-1) == means


def test_without_scores_or_choices_there_is_no_mean() -> None:
    assert posterior_means([]) == {}
    assert posterior_means(numbered([(LUCKY, None), (STEADY, None)])) == {}
    assert posterior_means([create_trial(value=0.5)]) == {}


def test_an_estimate_is_in_the_unit_of_the_scores() -> None:
    rows = [*drawn(12), *[(STEADY, score) for score in (0.59, 0.60, 0.585)]]
    found = estimate(numbered(rows), 13)
    assert found is not None
    assert 0.52 < found.mean < 0.60  # between the others and its own scores
    assert found.low < found.mean < found.high
    assert found.high - found.low < 0.08
    lower = [(norms, 7 - 10 * score if score is not None else None) for norms, score in rows]
    mirrored = estimate(numbered(lower), 13, sign=-1)
    assert mirrored is not None
    assert mirrored.mean == pytest.approx(7 - 10 * found.mean)
    assert (mirrored.low, mirrored.high) == pytest.approx((7 - 10 * found.high, 7 - 10 * found.low))


def test_estimates_have_the_order_of_the_means() -> None:
    trials = numbered([*drawn(12), (LUCKY, 0.60)])
    means = posterior_means(trials)
    estimates = {n: found.mean for n in range(13) if (found := estimate(trials, n))}
    assert sorted(estimates, key=estimates.__getitem__) == sorted(means, key=means.__getitem__)
    assert estimate(numbered([(LUCKY, None)]), 0) is None
