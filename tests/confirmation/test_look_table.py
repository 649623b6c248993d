"""Verdicts, intervals and sentences of a confirmation in looks."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from normsearch.analysis.critical_difference import compute
from normsearch.analysis.evidence import compared as reported
from normsearch.config import ArmsConfig
from normsearch.config.arms import LOOKS
from normsearch.config.metric import Bounds
from normsearch.confirmation.arm_table import Roles, roles_of
from normsearch.confirmation.claims import BY_SETTING, UNEQUAL, UNTUNED
from normsearch.confirmation.comparison import Comparison, compared, confirmation
from normsearch.confirmation.export import write_confirmation
from normsearch.confirmation.look_course import Course
from normsearch.confirmation.look_table import not_beaten_in_looks
from normsearch.confirmation.spending import levels
from normsearch.confirmation.summary_text import sentences
from normsearch.errors import StudyError
from tests.confirmation.look_driver import GAINS, raw_study
from tests.confirmation.look_driver import scores as trained
from tests.confirmation.test_look_course import MadeUp, followed, space, table

UNIT: Bounds = (0.0, 1.0)


def both(
    gains: dict[str, float], arms: ArmsConfig | None = None, **more: Any
) -> tuple[Course, Comparison]:
    """The course of made-up scores to its end, and the comparison by it."""
    arms, rows = arms or space(), table(gains)
    found = followed(rows, arms)[-1]
    rows = rows[[key in set(found.due) for key in zip(rows["seed"], rows["arm"], strict=True)]]
    roles = more.pop("roles", roles_of(arms))
    return found, compared(rows, str(found.reference), roles=roles, course=found, **more)


def by_arm(found: Comparison) -> pd.DataFrame:
    return found.table.set_index("arm")


def test_verdicts_are_the_decisions_and_none_is_worse() -> None:
    found, comparison = both(GAINS)
    rows = by_arm(comparison)
    assert rows.loc["IN", "verdict"] == "reference"
    for arm, told, seeds in found.decided():
        expected = {"better": "better", "not pursued": f"not pursued after {seeds} seeds"}
        assert rows.loc[arm, "verdict"] == expected.get(told, "no difference found")
        assert rows.loc[arm, "seeds"] == seeds
    assert rows.loc["mixed", "verdict"] == "better"
    assert rows.loc["other", "verdict"] == "not pursued after 2 seeds"
    assert "worse" not in set(rows["verdict"])
    assert comparison.power is None


def test_a_difference_and_its_interval_are_those_of_the_arms_last_look() -> None:
    found, comparison = both(GAINS)
    rows = by_arm(comparison)
    scores = table(GAINS)
    for arm, told, seeds in found.decided():
        part = scores[scores["seed"] < seeds].groupby("arm")["score"].mean()
        assert rows.loc[arm, "difference"] == pytest.approx(part[arm] - part["IN"])
        pair = [found.arms[place] for place in found.pairs.arm].index(arm)
        measured = found.measured[seeds]
        level = levels(6, LOOKS)[seeds]
        half = stats.t.isf(level, measured.free[pair]) * measured.error[pair]
        low = measured.difference[pair] - half
        low = max(low, 0) if told == "better" else low
        assert rows.loc[arm, "total_low"] == pytest.approx(low)
        assert rows.loc[arm, "total_high"] == pytest.approx(measured.difference[pair] + half)
    assert rows.loc["IN", ["total_low", "total_high"]].tolist() == [0, 0]


def test_p_is_below_5_percent_for_better_arms_alone() -> None:
    for gain in (0.02, 0.03, 0.05, 0.1):
        rows = by_arm(both({**GAINS, "mixed": gain})[1])
        significant = rows["p_holm"] < 0.05
        assert set(rows.index[significant]) == set(rows.index[rows["verdict"] == "better"])
        assert (rows.loc[rows["seeds"] == 2, "p_holm"].isna()).all()


def test_intervals_end_with_the_metric_and_a_minimized_metric_is_turned() -> None:
    _, plain = both(GAINS)
    rows = table({arm: -gain for arm, gain in GAINS.items()})
    arms = space()
    found = followed(rows, arms, direction="minimize")[-1]
    rows = rows[[key in set(found.due) for key in zip(rows["seed"], rows["arm"], strict=True)]]
    turned = by_arm(compared(rows, "IN", roles=roles_of(arms), course=found, direction="minimize"))
    assert turned.loc["mixed", "verdict"] == "better"
    assert turned.loc["mixed", "difference"] < 0
    assert turned.loc["mixed", "total_high"] <= 0
    low, high = turned.loc["none", ["total_low", "total_high"]]
    assert low < turned.loc["none", "difference"] < high
    narrow = by_arm(both(GAINS, bounds=(0.55, 0.75))[1])
    assert narrow[["total_low", "total_high"]].abs().max().max() <= 0.2 + 1e-12
    assert by_arm(plain)[["total_low", "total_high"]].abs().max().max() > 0.2


def test_a_difference_must_hold_at_both_settings() -> None:
    arms = raw_study()["space"]["arms"]
    more = [{**arms[0], "name": "IN at mixed's setting", "learning_rate": 0.1}]
    origin = raw_study()["space"]["origin"]
    origin = {**origin, "beside": {**origin["beside"], "mixed": "IN at mixed's setting"}}
    wide = space(arms=[*arms, *more], origin=origin)
    _, found = both({**GAINS, "IN at mixed's setting": 0.0}, wide)
    row = by_arm(found).loc["mixed"]
    assert row["verdict"] == row["beside_verdict"] == "better"
    assert row["beside"] == "IN at mixed's setting"
    assert row["beside_p"] < 0.05
    assert row["beside_low"] <= row["beside_difference"] <= row["beside_high"]
    _, found = both({**GAINS, "IN at mixed's setting": 0.08}, wide)
    row = by_arm(found).loc["mixed"]
    assert row["verdict"] in ("not pursued after 2 seeds", "not pursued after 3 seeds", BY_SETTING)
    _, found = both(GAINS, wide)  # no training of the reference at the setting
    assert by_arm(found).loc["mixed", "verdict"] == UNEQUAL


def test_an_untuned_single_norm_gets_no_verdict() -> None:
    roles = roles_of(space())
    untuned = Roles(roles.singles, roles.mixtures, roles.beside, ("BN", "none"))
    rows = by_arm(both({**GAINS, "BN": 0.1}, roles=untuned)[1])
    assert rows.loc["BN", "verdict"] == UNTUNED
    assert rows.loc["none", "verdict"] == "not pursued after 2 seeds"


def test_single_norms_with_fewer_seeds_are_beaten_only_by_a_wide_margin() -> None:
    found, comparison = both({**GAINS, "mixed": 0.2})
    assert comparison.not_beaten == {"mixed": []}
    found, comparison = both({**GAINS, "mixed": 0.06})
    left = comparison.not_beaten["mixed"]
    assert left
    assert not_beaten_in_looks(found, [], ["BN"]) == {}
    pair = found.arms.index("mixed"), found.arms.index("none")
    scores = found.scores[found.judged]
    assert np.isnan(scores[pair[1], 2:]).all()
    assert "none" not in left


def test_the_words_and_files_of_a_finished_run(made_up: MadeUp) -> None:
    record = made_up(raw_study(), trained)
    found = write_confirmation(record)
    assert found.finished
    assert found.trainings == (len(record.trials()), len(record.trials()))
    assert found.seeds == int(found.table["seeds"].max()) < 8
    said = sentences(found)
    assert said[0].startswith("Mixed is better than IN, the single norm that the search ranked")
    text = " ".join(said)
    assert "Other was not pursued after 2 seeds (difference −0." in text
    assert "They are not shown to be worse, and their means are on average too low" in text
    assert f"Arms have 2 to {found.seeds} seeds. A difference is that after the arm's last" in text
    assert "nan" not in text.replace("nan: made to fail", "")
    assert " worse than" not in text
    written = json.loads((record.folder / "confirmation.json").read_text())
    assert written["design"] == "looks"
    assert written["decisions"]["mixed"] == ["better", 3]
    assert written["decisions"]["other"] == ["not pursued", 2]
    page = reported(record)
    assert page["up_to"] == "up to "
    seeds = {row["arm"]: row["seeds"] for row in page["arms"]}
    assert seeds["other"] == "2" != seeds["mixed"]


def test_the_words_of_an_unfinished_run(made_up: MadeUp) -> None:
    record = made_up(raw_study(), trained, trials=15)
    text = " ".join(sentences(confirmation(record)))
    assert text.startswith("Not finished: 15 of 17 trainings; open arms have no verdict. Judged")
    assert "open: GN-2, mixed. 17 trainings up to the next look" in text
    assert "Mixed" not in text
    early = made_up({**raw_study(), "name": "early"}, trained, trials=5)
    found = confirmation(early)
    assert set(found.table["verdict"]) <= {"reference", "not finished", "not trained"}
    text = " ".join(sentences(found))
    assert text.startswith("Not finished: 5 of 14 trainings; open arms have no verdict. 14 train")


def test_unequal_seeds_are_no_ground_for_a_critical_difference(made_up: MadeUp) -> None:
    record = made_up(raw_study(), trained)
    with pytest.raises(StudyError, match="needs equal seeds of all arms, and a confirmation in"):
        compute(record)


def test_one_case_is_not_tested() -> None:
    rows = table(GAINS)
    rows = rows[rows["case"] == "3-c0"]
    found = followed(rows, space())[-1]
    assert found.judged == 2
    rows = rows[rows["seed"] < 2]
    told = by_arm(compared(rows, "IN", roles=roles_of(space()), course=found))
    assert set(told["verdict"]) == {"reference", "not tested"}
    assert math.isnan(told.loc["mixed", "total_low"])
