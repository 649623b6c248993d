"""Decisions in looks: written-out statistics, what is dropped and claimed, failed trainings."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from normsearch.config.arms import LOOKS
from normsearch.confirmation.looks import (
    DROPPED_BELOW,
    Measured,
    Pairs,
    State,
    begin,
    between,
    look,
    reach,
    trained,
    typical,
)
from normsearch.confirmation.spending import levels
from tests.benchmarks import statistics_looks
from tests.benchmarks.statistics_looks import Study

Array = npt.NDArray[np.float64]
ONE = Pairs((1, 2, 3), (0, 0, 0))


def drawn(gains: list[float], seed: int = 0, cases: int = 15) -> Array:
    random = np.random.default_rng(seed)
    arms = len(gains)
    scores = random.normal(0.8, 0.1, cases) + random.normal(0, 0.01, (arms, 8, cases))
    scores = scores + random.normal(0, 0.01, (arms, 8, 1)) + np.array(gains)[:, None, None]
    return np.asarray(scores)


def judged(scores: Array, pairs: Pairs = ONE) -> dict[int, tuple[State, Measured]]:
    """All looks of a study, also those after the last decision."""
    state, found = begin(len(scores), pairs), {}
    for seeds in LOOKS:
        state, measured = look(state, scores, seeds, pairs)
        found[seeds] = state, measured
    return found


def test_the_statistic_is_the_written_out_one() -> None:
    scores = drawn([0.0, 0.02, 0.0, 0.01])[:, :3]
    _, found = look(begin(4, ONE), scores, 3, ONE)
    means = scores.mean(axis=2)
    variances = means.var(axis=1, ddof=1)
    usual = np.median(variances) / (stats.chi2.median(2) / 2)
    for place, arm in enumerate((1, 2, 3)):
        away = scores[arm].mean(axis=0) - scores[0].mean(axis=0)
        parts = [away.var(ddof=1) / 15]
        squares = [parts[0] ** 2 / 14]
        for one in (0, arm):
            v = max(variances[one], usual)
            free = 2 + max(0, 8 / 2 - 2) * (usual / v) ** 2
            parts.append(v / 3)
            squares.append((v / 3) ** 2 / free)
        error = math.sqrt(sum(parts))
        freedom = sum(parts) ** 2 / sum(squares)
        assert found.difference[place] == pytest.approx(away.mean())
        assert found.error[place] == pytest.approx(error)
        assert found.free[place] == pytest.approx(freedom)
        assert found.t[place] == pytest.approx(away.mean() / error)
        assert found.p[place] == pytest.approx(stats.t.sf(away.mean() / error, freedom))
        half = stats.t.isf(levels(3, LOOKS)[3], freedom) * error
        assert reach(found, 3, 3)[place] == pytest.approx(half)


def test_the_typical_variance_is_unbiased_for_equal_arms() -> None:
    random = np.random.default_rng(1)
    free = np.array([1.0, 1, 2, 4, 4, 7, 7, 0])
    variance = random.chisquare(np.maximum(free, 1), (40_000, 8)) / np.maximum(free, 1)
    middle = np.median(typical(variance, np.broadcast_to(free, variance.shape)))
    assert middle == pytest.approx(1, abs=0.08)
    assert typical(np.ones((2, 3)), np.zeros((2, 3))).tolist() == [0, 0]
    assert typical(np.array([4.0, 9.0]), np.array([0.0, 3.0])) > 9


def test_a_large_gain_is_claimed_at_three_seeds_and_no_sooner() -> None:
    found = judged(drawn([0.0, 0.2, -0.1, 0.2]))
    assert not found[2][0].better.any()
    assert found[2][0].dropped.tolist() == [False, True, False]
    assert found[3][0].better.tolist() == [True, False, True]
    assert found[8][0].seeds.tolist() == [3, 2, 3]
    assert not found[3][0].open.any()
    assert not trained(found[3][0], ONE).any()


def test_a_dropped_arm_lies_below_the_bound_and_an_open_one_does_not() -> None:
    last = stats.norm.isf(levels(3)[8])
    for seed in range(20):
        before = np.ones(3, bool)
        for seeds, (state, measured) in judged(drawn([0, 0.01, 0, 0.02], seed)).items():
            low = measured.t < DROPPED_BELOW.get(seeds, -math.inf) * last
            now = before & ~state.open & ~state.better
            assert now.tolist() == (before & low & ~state.better).tolist()
            before = state.open


def test_each_claim_leaves_its_share_of_the_level_to_the_others() -> None:
    scores = drawn([0.0, 0.3, 0.0, 0.0], cases=40)
    scores[2] = scores[0] + np.random.default_rng(3).normal(0, 0.004, scores[0].shape)
    state, measured = look(begin(4, ONE), scores, 3, ONE)
    alone = (levels(3)[3] + levels(2)[3]) / 2
    target = stats.t.isf(alone, measured.free[1]) * measured.error[1]
    scores[2] += target - measured.difference[1]
    state, measured = look(begin(4, ONE), scores, 3, ONE)
    assert levels(3)[3] < measured.p[1] < levels(2)[3]
    assert state.better.tolist()[:2] == [True, True]
    assert state.share.tolist() == [3, 2, 1]
    scores[1] -= 0.3
    state, _ = look(begin(4, ONE), scores, 3, ONE)
    assert not state.better[1]


def test_an_arm_must_beat_the_reference_at_both_settings() -> None:
    both = Pairs((1, 1, 2), (0, 3, 0))
    found = judged(drawn([0.0, 0.2, 0.2, 0.2]), both)
    assert found[2][0].dropped.tolist() == [True, False]
    assert found[3][0].better.tolist() == [False, True]
    found = judged(drawn([0.0, 0.2, 0.2, 0.0]), both)
    assert found[3][0].better.tolist() == [True, True]
    first = trained(begin(4, both), both)
    assert first.tolist() == [True] * 4


def test_the_reference_at_a_setting_is_trained_no_longer_than_its_arms() -> None:
    both = Pairs((1, 1, 2), (0, 3, 0))
    state, _ = look(begin(4, both), drawn([0.0, -0.2, 0.03, 0.0]), 2, both)
    assert state.open.tolist() == [False, True]
    assert trained(state, both).tolist() == [True, False, True, False]


def test_decisions_do_not_depend_on_scores_of_later_seeds_or_of_decided_arms() -> None:
    scores = drawn([0.0, 0.02, -0.1, 0.01], seed=4)
    expected = judged(scores)
    changed = scores.copy()
    changed[2, 2:] += 1.0  # was dropped after two seeds
    for seeds, (state, _) in judged(changed).items():
        assert state.better.tolist() == expected[seeds][0].better.tolist()
        assert state.dropped.tolist() == expected[seeds][0].dropped.tolist()
        assert state.variance.tolist() == expected[seeds][0].variance.tolist()
    changed = scores.copy()
    changed[:, 5:] = np.nan
    assert judged(changed)[5][0].dropped.tolist() == expected[5][0].dropped.tolist()


def test_failed_trainings() -> None:
    scores = drawn([0.0, 0.2, 0.2, 0.2])
    scores[1, 0] = np.nan  # one of two seeds: not judged yet
    scores[2] = np.nan  # all failed: not pursued
    found = judged(scores)
    assert found[2][0].open.tolist() == [True, False, True]
    assert found[3][0].better.tolist() == [True, False, True]
    assert np.isnan(found[2][1].p).tolist() == [True, True, False]
    no_reference = drawn([0.0, 0.2, 0.2, 0.2])
    no_reference[0, 1] = np.nan
    assert judged(no_reference)[2][0].open.all()


def test_a_reference_that_has_no_training_at_a_setting_is_left_out_there() -> None:
    both = Pairs((1, 1), (0, 2))
    scores = drawn([0.0, 0.2, 0.0])
    scores[2] = np.nan
    assert judged(scores, both)[3][0].better.tolist() == [True]


def test_scores_without_spread_or_with_one_case_are_no_evidence() -> None:
    flat = np.full((4, 8, 15), 0.5)
    flat[1] += 0.1
    state, measured = look(begin(4, ONE), flat, 2, ONE)
    assert measured.p.tolist() == [1, 1, 1]
    assert state.dropped.all()
    state, measured = look(begin(4, ONE), drawn([0.0, 1, 1, 1], cases=1), 2, ONE)
    assert state.dropped.all()
    assert np.isnan(measured.p).all()


def test_many_studies_at_once_are_judged_as_one_by_one() -> None:
    scores = np.stack([drawn([0, 0.03, 0.02, 0], seed) for seed in range(12)])
    state = begin(4, ONE, (12,))
    for seeds in LOOKS:
        state, _ = look(state, scores, seeds, ONE)
    for study in range(12):
        one = judged(scores[study])[8][0]
        assert state.better[study].tolist() == one.better.tolist()
        assert state.dropped[study].tolist() == one.dropped.tolist()
        assert state.seeds[study].tolist() == one.seeds.tolist()


def test_arms_with_unequal_seeds_are_compared_by_all_of_them() -> None:
    scores = drawn([0.0, 0.1, 0.0, 0.0])
    state = judged(scores)[8][0]
    scores[2, 3:] = np.nan
    found = between(state, scores, Pairs((1,), (2,)))
    expected = scores[1].mean() - scores[2, :3].mean()
    assert found.difference.tolist() == pytest.approx([expected])
    assert found.error[0] > 0


def test_no_difference_is_claimed_where_there_is_none_and_half_the_trainings_are_saved() -> None:
    """2,000 studies of eight arms; `python -m tests.benchmarks.statistics_looks` measures more."""
    found = statistics_looks.errors(Study("unstable arms", 8, 15), 2000)
    assert found["wrong"] <= 3.5
    assert found["intervals hold"] >= 95
    assert statistics_looks.errors(Study("normal", 8, 15), 2000)["of fixed"] <= 50


def test_a_good_arm_is_found_as_often_as_by_five_seeds_each() -> None:
    found = statistics_looks.gains(Study("normal", 8, 45, (0.03,), 0.015), 1000)
    assert found["found"] >= found["found, fixed"]
    assert found["saved"] >= 40
    assert found["wrong"] <= 4
