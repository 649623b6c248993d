"""Judges of scores on made-up trainings: all three outcomes, and how often chance is believed."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from normsearch.errors import StudyError
from normsearch.findings.score_judges import (
    beats,
    correlation,
    gap_grows,
    in_order,
    rises_alone,
    trend,
)
from normsearch.search.rank_correlation import rank_correlations
from tests.findings.fake_measured import Factors, scored

NORMS = [{"norm": norm, "batch_size": 1} for norm in ("none", "BN", "IN")]
BATCHES = [
    {"norm": norm, "batch_size": batch} for norm in ("BN", "GN") for batch in (1, 2, 4, 8, 16)
]
GROUPS = [{"norm": f"GN-{g}", "groups": g, "batch_size": b} for g in (1, 4, 16) for b in (1, 4, 16)]


@pytest.mark.parametrize(
    ("shift", "outcome"),
    [(0.1, "reproduced"), (-0.1, "contradicted"), (0.0, "not distinguishable")],
)
def test_beats_in_three_outcomes(shift: float, outcome: str) -> None:
    parts = {"main": scored(NORMS, lambda arm: 0.8 + shift * (arm["norm"] == "IN"))}
    found = beats(parts, part="main", arms=["IN"], than=["none", "BN"])
    assert found.outcome == outcome
    assert found.low < found.estimate < found.high
    assert found.estimate == pytest.approx(shift, abs=0.03)


def test_beats_needs_every_pair() -> None:
    parts = {"main": scored(NORMS, lambda arm: 0.8 - 0.1 * (arm["norm"] == "none"))}
    found = beats(parts, part="main", arms=["IN"], than=["none", "BN"])
    assert found.outcome == "not distinguishable"
    assert found.words == "Holds: IN above none; not clear: IN above BN."


def test_a_lower_loss_beats() -> None:
    less = scored(NORMS, lambda arm: 0.8, loss=lambda arm: 0.3 - 0.1 * (arm["norm"] == "IN"))
    parts = {"main": less}
    found = beats(parts, part="main", arms=["IN"], than="BN", value="loss")
    assert (found.outcome, found.estimate) == ("reproduced", pytest.approx(0.1, abs=0.01))
    assert beats(parts, part="main", arms=["BN"], than="IN", value="loss").outcome == "contradicted"


def test_in_order_compares_neighbours() -> None:
    means = {"none": 0.6, "BN": 0.7, "IN": 0.8}
    parts = {"main": scored(NORMS, lambda arm: means[arm["norm"]])}
    assert in_order(parts, part="main", arms=["IN", "BN", "none"]).outcome == "reproduced"
    assert in_order(parts, part="main", arms=["BN", "IN", "none"]).outcome == "contradicted"


def test_an_unknown_arm_or_an_empty_choice_is_told() -> None:
    parts = {"main": scored(NORMS, lambda arm: 0.8)}
    with pytest.raises(StudyError, match="arms: must be among BN, IN, none, got SN"):
        beats(parts, part="main", arms=["SN"], than="BN")
    with pytest.raises(StudyError, match=r"must leave a training, and leaves none"):
        beats(parts, part="main", arms=["IN"], than="BN", where={"batch_size": 9})
    with pytest.raises(StudyError, match=r"where: must be among .*, got batch"):
        beats(parts, part="main", arms=["IN"], than="BN", where={"batch": 1})


@pytest.mark.parametrize(
    ("slope", "outcome"),
    [(0.02, "reproduced"), (-0.02, "contradicted"), (0.0, "not distinguishable")],
)
def test_trend_in_three_outcomes(slope: float, outcome: str) -> None:
    parts = {"main": scored(BATCHES, lambda arm: 0.5 + slope * np.log2(arm["batch_size"]))}
    given = {"part": "main", "factor": "batch_size", "where": {"norm": "BN"}}
    found = trend(parts, rises=True, **given)
    assert found.outcome == outcome
    assert np.isnan(found.low) or found.low <= found.estimate <= found.high
    opposite = {"reproduced": "contradicted", "contradicted": "reproduced"}
    turned = trend(parts, rises=False, **given)
    assert turned.outcome == opposite.get(outcome, outcome)
    assert turned.estimate == found.estimate  # with the sign that was measured


def test_rank_correlations_are_scipys() -> None:
    curves = pd.DataFrame(np.random.default_rng(1).normal(size=(3, 6)))
    expected = [stats.spearmanr(row, range(6)).statistic for row in curves.to_numpy()]
    assert rank_correlations(curves) == pytest.approx(expected)
    assert rank_correlations(pd.DataFrame([[1.0, 1.0, 1.0]])) == pytest.approx([0.0])


def test_p_of_a_correlation_is_that_of_all_permutations() -> None:
    curves = pd.DataFrame([[1.0, 2, 3], [1, 3, 2]])
    orders = [rank_correlations(pd.DataFrame([o]))[0] for o in itertools.permutations([1.0, 2, 3])]
    own = rank_correlations(curves).mean()
    exact = np.mean([abs(a + b) / 2 >= own - 1e-9 for a in orders for b in orders])
    p = correlation(curves, sign=1)[3]
    assert p >= exact - 0.03  # the larger of this and the t test's
    assert p == pytest.approx(max(exact, stats.ttest_1samp([1.0, 0.5], 0).pvalue), abs=0.03)


def test_batch_sizes_of_one_seed_are_no_further_evidence() -> None:
    """All batch sizes of a seed rise and fall together, as chance had it."""
    random, wrong = np.random.default_rng(3), 0
    index = pd.MultiIndex.from_product([(1, 4, 16), range(3)], names=["batch_size", "seed"])
    for _ in range(200):
        by_seed = random.normal(0, 1, (3, 4))
        curves = pd.DataFrame(np.tile(by_seed, (3, 1)) + random.normal(0, 0.3, (9, 4)), index)
        wrong += correlation(curves, sign=1)[3] < 0.05
    assert wrong <= stats.binom.ppf(0.99, 200, 0.05)


def test_equal_correlations_have_no_interval_and_permutations_decide() -> None:
    rising = pd.DataFrame([[1.0, 2, 3, 4]] * 3)
    estimate, low, high, p = correlation(rising, sign=1)
    assert estimate == pytest.approx(1)
    assert np.isnan([low, high]).all()
    assert 0 < p < 0.002  # 2 of 24³ orders
    assert correlation(rising.iloc[:2, :3], sign=1)[3] == pytest.approx(2 / 36, abs=0.02)
    assert np.isnan(correlation(rising.iloc[:1], sign=1)[3])


def test_a_gap_that_grows() -> None:
    own = {"BN": 0.2, "GN": 0.0}
    falling = {"main": scored(BATCHES, lambda arm: 0.8 - own[arm["norm"]] / arm["batch_size"])}
    given = {"part": "main", "of": "BN", "over": "GN", "factor": "batch_size"}
    assert gap_grows(falling, rises=False, **given).outcome == "reproduced"
    assert gap_grows(falling, rises=True, **given).outcome == "contradicted"
    both_fall = {"main": scored(BATCHES, lambda arm: 0.8 - 0.2 / arm["batch_size"])}
    assert gap_grows(both_fall, rises=False, **given).outcome == "not distinguishable"


def test_a_score_that_rises_alone() -> None:
    def rising(arm: Factors) -> float:
        return 0.6 + 0.1 * float(np.log(arm["groups"]))

    given = {"part": "main", "factor": "groups"}
    alone = {"main": scored(GROUPS, rising)}
    assert rises_alone(alone, **given).outcome == "reproduced"
    fitted = {"main": scored(GROUPS, rising, loss=lambda arm: 0.9 - rising(arm))}
    assert rises_alone(fitted, **given).outcome == "not distinguishable"
    falling = {"main": scored(GROUPS, lambda arm: 1 - rising(arm))}
    assert rises_alone(falling, **given).outcome == "contradicted"


def test_chance_is_believed_in_less_than_one_study_of_twenty() -> None:
    random, found = np.random.default_rng(5), []
    for _ in range(200):
        parts = {"main": scored(BATCHES[:5], lambda arm: 0.8, seeds=3, cases=8, random=random)}
        found.append(trend(parts, part="main", factor="batch_size", rises=True).outcome)
    assert (
        sum(outcome != "not distinguishable" for outcome in found) <= 17
    )  # 99.5% of Bin(200, .05)
