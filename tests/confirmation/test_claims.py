"""What may be claimed of a mixture: both comparisons, and Holm's correction over all arms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from normsearch.confirmation.arm_table import Roles
from normsearch.confirmation.claims import BY_SETTING, UNEQUAL, UNTUNED, judged
from normsearch.confirmation.comparison import compared
from normsearch.confirmation.statistics import NO_DIFFERENCE, compare, holm

BESIDE: dict[str, str | None] = {"trial 7": "BN at trial 7's setting"}


def study(shifts: dict[str, float], random: np.random.Generator, seeds: int = 5) -> pd.DataFrame:
    """Scores of 15 cases: case + arm by case + training, all normal."""
    case = random.normal(0.8, 0.1, 15)
    rows = []
    for arm, shift in shifts.items():
        own = case + shift + random.normal(0, 0.02, 15)
        for seed in range(seeds):
            scores = own + random.normal(0, 0.01)
            rows += [(arm, seed, f"c{i}", score) for i, score in enumerate(scores)]
    return pd.DataFrame(rows, columns=["arm", "seed", "case", "score"])


@pytest.mark.parametrize(
    ("mixture", "at_setting", "verdict"),
    [
        (0.2, 0.0, "better"),
        (0.2, 0.2, BY_SETTING),
        (0.0, 0.0, NO_DIFFERENCE),
        (-0.2, 0.0, "worse"),
        (0.0, -0.2, BY_SETTING),
        (0.1, 0.3, BY_SETTING),
    ],
)
def test_a_mixture_must_beat_the_reference_at_both_settings(
    mixture: float, at_setting: float, verdict: str
) -> None:
    shifts = {"BN": 0.0, "IN": 0.0, "trial 7": mixture, "BN at trial 7's setting": at_setting}
    scores = study(shifts, np.random.default_rng(3))
    table = judged(scores, compare(scores, "BN"), "BN", BESIDE).set_index("arm")
    assert table.loc["trial 7", "verdict"] == verdict
    assert table.loc["BN", "verdict"] == "reference"
    row = table.loc["trial 7"]
    means = scores.groupby("arm")["score"].mean()
    away = means["trial 7"] - means["BN at trial 7's setting"]
    assert row["beside_difference"] == pytest.approx(away)
    for which, ends in (("reference", ("total_low", "total_high")),
                        ("beside", ("beside_low", "beside_high"))):  # fmt: skip
        holds = row[ends[0]] <= 0 <= row[ends[1]]
        assert holds == (row[f"{which}_verdict"] == NO_DIFFERENCE)


def test_p_values_are_corrected_with_the_larger_one_of_a_mixture() -> None:
    shifts = {"BN": 0.0, "IN": 0.01, "trial 7": 0.06, "BN at trial 7's setting": 0.03}
    scores = study(shifts, np.random.default_rng(5))
    first = compare(scores, "BN").set_index("arm")["p"]
    second = compare(scores, "BN at trial 7's setting").set_index("arm")["p"]["trial 7"]
    larger = first.copy()
    larger["trial 7"] = max(first["trial 7"], second)
    expected = dict(zip(larger.index, holm(larger), strict=True))
    table = judged(scores, compare(scores, "BN"), "BN", BESIDE).set_index("arm")
    assert max(table.loc["trial 7", ["p_holm", "beside_p"]]) == pytest.approx(expected["trial 7"])
    assert table.loc["IN", "p_holm"] == pytest.approx(expected["IN"])


def test_without_a_training_at_its_setting_no_mixture_is_better() -> None:
    scores = study({"BN": 0.0, "trial 7": 0.2}, np.random.default_rng(3))
    for beside in (BESIDE, {"trial 7": None}):
        table = judged(scores, compare(scores, "BN"), "BN", beside).set_index("arm")
        assert table.loc["trial 7", "verdict"] == UNEQUAL
    table = judged(scores, compare(scores, "BN"), "BN", {"trial 7": "BN"}).set_index("arm")
    assert table.loc["trial 7", "verdict"] == "better"


def test_single_norms_that_a_better_mixture_does_not_beat_are_named() -> None:
    shifts = {"BN": 0.0, "IN": 0.2, "LN": -0.1, "trial 7": 0.2}
    scores = study(shifts, np.random.default_rng(3))
    roles = Roles(("BN", "IN", "LN"), ("trial 7",), {"trial 7": "BN"})
    found = compared(scores, "BN", roles=roles)
    assert found.not_beaten == {"trial 7": ["IN"]}
    assert compared(scores, "BN", roles=roles, tested=False).power is None


def test_of_100_studies_in_which_settings_alone_matter_few_claim_more() -> None:
    """Mixtures at a better setting than the reference's own are no better mixtures.

    Of 100 draws of seeds, 99 pass at a level of 5%; at 20%, 1 of 100 does.
    """
    random = np.random.default_rng(11)
    shifts = {"BN": 0.0, "IN": 0.0, "LN": 0.0, "trial 7": 0.1, "trial 9": 0.0,
              "BN at trial 7's setting": 0.1}  # fmt: skip
    beside = {**BESIDE, "trial 9": "BN"}
    wrong = 0
    for _ in range(100):
        scores = study(shifts, random, seeds=3)
        own = compare(scores[scores["arm"] != BESIDE["trial 7"]], "BN")
        claims = judged(scores, own, "BN", beside)["verdict"]
        wrong += bool(claims.isin(["better", "worse"]).any())
    assert wrong <= stats.binom.ppf(0.99, 100, 0.05)


def test_a_single_norm_is_worse_only_where_the_reference_at_its_setting_is_better_too() -> None:
    shifts = {"BN": 0.2, "IN": 0.0, "LN": 0.0, "BN at LN's setting": 0.0, "GN-2": -0.2}
    scores = study(shifts, np.random.default_rng(5))
    beside = dict.fromkeys(("IN", "LN", "GN-2"), "BN at LN's setting")
    roles = Roles(("BN", "IN", "LN", "GN-2"), (), beside)
    verdicts = compared(scores, "BN", roles=roles).table.set_index("arm")["verdict"]
    assert verdicts.to_dict() == {
        "BN": "reference", "IN": BY_SETTING, "LN": BY_SETTING, "GN-2": "worse",
        "BN at LN's setting": "",
    }  # fmt: skip


def test_no_verdict_on_a_single_norm_that_was_completed_at_too_few_settings() -> None:
    shifts = {"BN": 0.0, "IN": 0.2, "LN": -0.2, "GN-2": 0.0}
    scores = study(shifts, np.random.default_rng(5))
    roles = Roles(("BN", "IN", "LN", "GN-2"), untuned=("IN", "GN-2"))
    verdicts = compared(scores, "BN", roles=roles).table.set_index("arm")["verdict"]
    assert verdicts.to_dict() == {
        "BN": "reference", "IN": UNTUNED, "LN": "worse", "GN-2": NO_DIFFERENCE,
    }  # fmt: skip


def test_where_less_is_better_the_same_is_found_with_its_own_sign() -> None:
    roles = Roles(("BN", "IN"), ("trial 7",), BESIDE)
    shifts = {"BN": 0.0, "IN": -0.2, "trial 7": 0.2, "BN at trial 7's setting": 0.0}
    scores = study(shifts, np.random.default_rng(3))
    more = compared(scores.assign(score=-scores["score"]), "BN", roles=roles)
    less = compared(scores, "BN", roles=roles, direction="minimize")
    assert list(less.table["arm"]) == list(more.table["arm"])
    found, other = (table.set_index("arm") for table in (less.table, more.table))
    assert (found.loc["IN", "verdict"], found.loc["trial 7", "verdict"]) == ("better", "worse")
    means = scores.groupby("arm")["score"].mean()
    assert found["mean"].to_dict() == pytest.approx(means.to_dict())
    assert found.loc["IN", "difference"] == pytest.approx(means["IN"] - means["BN"])
    for low, high in (("low", "high"), ("total_low", "total_high"), ("beside_low", "beside_high")):
        assert (found[low].dropna() <= found[high].dropna()).all()
        pd.testing.assert_series_equal(found[low], -other[high], check_names=False)
    same = ["verdict", "p_holm", "rank", "collapsed", "sd"]
    pd.testing.assert_frame_equal(found[same], other[same])
    assert less.not_beaten == more.not_beaten


def test_a_training_that_needs_twice_as_much_has_collapsed() -> None:
    scores = study({"BN": 0.0, "IN": 0.0}, np.random.default_rng(3))
    bad = (scores["arm"] == "IN") & (scores["seed"] == 2)
    scores.loc[bad, "score"] *= 3
    table = compared(scores, "BN", direction="minimize").table.set_index("arm")
    assert table["collapsed"].to_dict() == {"BN": 0, "IN": 1}
