"""What a confirmation says of made-up trainings: the comparison, what it leaves out, its words."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from normsearch.config import TrialConfig
from normsearch.confirmation.arm_table import MIXTURE, SINGLE
from normsearch.confirmation.comparison import confirmation
from normsearch.confirmation.export import plain, write_confirmation
from normsearch.confirmation.power import needed_cases
from normsearch.confirmation.score_table import with_empty_truth
from normsearch.confirmation.statistics import compare
from normsearch.confirmation.summary_text import few_cases, sentences
from normsearch.errors import StudyError
from normsearch.storage.records import StudyRecord
from tests.made_up_confirmation import SEARCH, Scores, changed

MadeUp = Callable[..., StudyRecord]
CASES = [f"c{index}" for index in range(12)]
#: How much better than the others an arm truly is.
SHIFTS = {"IN": 0.0, "BN": 0.0, "mixed": 0.2}


def arms_study(**space: Any) -> dict[str, Any]:
    arms = [
        {"name": name, "norm": norm, "learning_rate": 0.05, "batch_size": 2}
        for name, norm in (("IN", "IN"), ("BN", "BN"), ("mixed", {"*": "IN", "enc1.*": "BN"}))
    ]
    origin = {
        "study": "made-up",
        "trials": {"IN": 2, "BN": 1, "mixed": 17},
        "scores": {"IN": 0.8, "BN": 0.7, "mixed": 0.9},
    }
    found = {"arms": arms, "seeds": 3, "reference": "IN", "origin": origin, **space}
    task = {"data": "none", "test_folds": ["3"], "validation": "test"}
    kept = {key: SEARCH[key] for key in ("network", "training")}
    return {"name": "made-up-confirm", "task": task, "space": found, **kept}


def training(trial: TrialConfig) -> dict[str, float]:
    """Case + arm + training, drawn from what the trial is."""
    seed, arm = trial.network.seed, str(trial.arm)
    luck = np.random.default_rng([seed, zlib.crc32(arm.encode())])
    case = np.random.default_rng(0).normal(0.6, 0.1, len(CASES))
    scores = case + SHIFTS[arm] + luck.normal(0, 0.01) + luck.normal(0, 0.02, len(CASES))
    return dict(zip(CASES, scores.tolist(), strict=True))


def test_the_table_is_the_comparison_of_the_recorded_cases(made_up: MadeUp) -> None:
    record = made_up(arms_study(), training)
    found = confirmation(record)
    expected = compare(with_empty_truth(record.cases()), "IN")
    pd.testing.assert_frame_equal(found.table[expected.columns], expected)
    assert found.finished
    assert found.table["arm"].tolist()[0] == "mixed"
    assert found.table.set_index("arm")["trial"].to_dict() == {"IN": 2, "BN": 1, "mixed": 17}
    assert found.table.set_index("arm").loc["mixed", "search_score"] == 0.9
    assert found.table.set_index("arm")["verdict"].to_dict() == {
        "mixed": "better", "IN": "reference", "BN": "no difference found",
    }  # fmt: skip
    table = found.table.set_index("arm")
    assert table["role"].to_dict() == {"IN": SINGLE, "BN": SINGLE, "mixed": MIXTURE}
    assert set(table["learning_rate"]) == {0.05}
    assert set(table["batch_size"]) == {2}
    assert set(table["steps"]) == {45}
    said = sentences(found)
    row = table.loc["mixed"]
    assert said[0] == (
        "Mixed is better than IN, the single norm that the search ranked first: "
        f"{row['difference']:+.3f}, 95% interval {row['total_low']:+.3f} to "
        f"{row['total_high']:+.3f}, p {row['p_holm']:.2g}, both at the same setting."
    )
    assert said[1] == "Mixed is better than every single norm trained here (p < 0.05 for each)."
    assert said[2].startswith("No difference shown between IN and BN (95% interval −0.0")
    assert said[2].endswith("not evidence of equality.")
    assert "search ranked first by validation Dice (0.800), chosen before" in said[3]
    assert "another training set was not sampled" in said[4]
    text = " ".join(said)
    assert "From seed to seed the mean Dice of an arm varies by 0.0" in text
    assert "If spreads are as estimated here, a true difference of 0.02 between mixed and" in text
    assert "with so few seeds, true power may be well below" in text
    assert "Where no training collapsed, up to 63% of trainings may still do so" in text
    assert "riedman" not in text


def test_files_hold_what_the_run_shows(made_up: MadeUp) -> None:
    record = made_up(arms_study(), training)
    found = write_confirmation(record)
    table = pd.read_csv(record.folder / "confirmation.csv")
    pd.testing.assert_frame_equal(table, found.table, check_dtype=False)
    told = json.loads((record.folder / "confirmation.json").read_text())
    assert told == plain(found)
    assert [row["arm"] for row in told["arms"]] == list(found.table["arm"])
    assert told["arms"][0]["hd95"] is None
    assert (told["confirms"], told["reference"], told["seeds"]) == ("made-up", "IN", 3)
    power = told["power"]["found"]
    assert 0 <= power["low"] <= power["estimate"] <= power["high"] <= 1
    assert (told["scored_on"], told["trainings"], told["hd95_unit"]) == ("test", [9, 9], "mm")
    assert told["spread"]["seed"] == pytest.approx(0.01, rel=0.8)


def test_a_failed_training_is_told_and_its_arm_judged_by_the_others(made_up: MadeUp) -> None:
    def one_fails(trial: TrialConfig) -> dict[str, float] | str:
        lost = trial.arm == "mixed" and trial.network.seed == 1
        return "the loss is not finite" if lost else training(trial)

    record = made_up(arms_study(), one_fails)
    found = confirmation(record)
    row = found.table.set_index("arm").loc["mixed"]
    assert (row["seeds"], row["failed"], row["verdict"]) == (2, 1, "better")
    cases = record.cases()
    expected = compare(cases[~((cases.arm == "mixed") & (cases.seed == 1))], "IN")
    pd.testing.assert_frame_equal(found.comparison.table[expected.columns], expected)
    (said,) = [text for text in sentences(found) if "failed" in text]
    assert said.startswith("1 training of mixed failed (nan: the loss is not finite); it is compa")
    assert "by its other 2 seeds, and failures are not counted against it" in said


def test_an_arm_that_never_trained_stands_in_the_table(made_up: MadeUp) -> None:
    def never(trial: TrialConfig) -> dict[str, float] | str:
        return "no" if trial.arm == "BN" else training(trial)

    found = confirmation(made_up(arms_study(), never))
    last = found.table.iloc[-1]
    assert (last["arm"], last["verdict"], last["seeds"], last["failed"]) == (
        "BN", "not trained", 0, 3,
    )  # fmt: skip
    assert any("3 trainings of BN failed (nan: no); it has no score" in t for t in sentences(found))
    json.dumps(plain(found), allow_nan=False)


def test_where_the_reference_never_trained_the_next_single_norm_stands_in(made_up: MadeUp) -> None:
    def never(trial: TrialConfig) -> dict[str, float] | str:
        return "no" if trial.arm == "IN" else training(trial)

    found = confirmation(made_up(arms_study(), never))
    assert found.reference == "BN"
    assert any(text.startswith("BN takes the place of IN") for text in sentences(found))


def test_nothing_trained_and_a_search_are_refused(made_up: MadeUp) -> None:
    with pytest.raises(StudyError, match="must have a finished training of an arm"):
        confirmation(made_up(arms_study(), lambda trial: "no"))
    with pytest.raises(StudyError, match="must be a study of fixed trainings, and is a search"):
        confirmation(made_up(SEARCH, lambda trial: {"a": 0.5}))


def test_an_unfinished_one_has_means_of_whole_seeds_and_no_verdict(made_up: MadeUp) -> None:
    record = made_up(arms_study(folds=["1", "2"]), by_fold(training), trials=8)
    found = confirmation(record)
    assert not found.finished
    said = sentences(found)
    assert said[0] == "Not finished: 8 of 18 trainings; no verdict before the end."
    assert not any("better" in text or "interval" in text for text in said)
    assert found.table["mean"].notna().all()
    others = found.table[found.table["arm"] != "IN"]
    assert others[["p", "p_holm", "low", "total_low"]].isna().all(axis=None)
    assert set(found.table["verdict"]) == {"reference", "not finished"}
    json.dumps(plain(found), allow_nan=False)
    assert found.table.set_index("arm")["seeds"].to_dict() == {"mixed": 2, "IN": 3, "BN": 3}
    assert found.cases == 6


def by_fold(scores: Callable[[TrialConfig], dict[str, float]]) -> Scores:
    """Half of the cases lie in fold 1, half in fold 2."""
    half = {"1": CASES[:6], "2": CASES[6:]}

    def own(trial: TrialConfig) -> dict[str, float]:
        return {case: scores(trial)[case] for case in half[trial.task.test_folds[0]]}

    return own


def test_folds_together_hold_every_case_once(made_up: MadeUp) -> None:
    whole = confirmation(made_up(arms_study(), training))
    space = arms_study(folds=["1", "2"])
    space["name"] = "by-fold"
    space["space"]["origin"]["seen_folds"] = ["1"]
    parts = confirmation(made_up(space, by_fold(training)))
    pd.testing.assert_frame_equal(parts.table, whole.table)
    assert parts.cases == 12
    assert any("trained or validated on fold 1" in text for text in sentences(parts))
    assert not any("optimistic" in text for text in sentences(whole))


def test_cases_without_foreground_are_left_out_and_counted(made_up: MadeUp) -> None:
    def empty(trial: TrialConfig) -> dict[str, float]:
        found = training(trial)
        if trial.arm == "BN":
            found["c3"] = math.nan
        return found

    found = confirmation(made_up(arms_study(), empty))
    assert (found.cases, found.cases_left_out) == (11, 1)
    assert any(text.startswith("1 case without any foreground") for text in sentences(found))


def test_a_missed_case_makes_hd95_worse_and_is_counted(made_up: MadeUp) -> None:
    record = made_up(arms_study(), training)
    header = "case,class,hd95,surface_dice,missed\n"
    for row in record.trials().to_dict("records"):
        missed = row["arm"] == "BN" and row["seed"] == 0
        text = f"c0,1,{'100.0,0.0,1' if missed else '4.0,0.9,0'}\nc1,1,2.0,0.7,0\nc2,1,,,0\n"
        path = record.folder / "trials" / f"{row['number']:04d}" / "surfaces.csv"
        path.write_text(header + text)
    found = confirmation(record)
    table = found.table.set_index("arm")
    # c0 over three seeds: (100 + 4 + 4) / 3 = 36; with c1's 2: 19 ± 24.04
    assert table.loc["BN", "hd95"] == pytest.approx(19)
    assert table.loc["BN", "hd95_sd"] == pytest.approx(34 / math.sqrt(2))
    assert table.loc["BN", "surface_dice"] == pytest.approx((0.6 + 0.7) / 2)
    assert table.loc["IN", "hd95"] == pytest.approx(3)
    assert table["missed"].to_dict() == {"mixed": 0, "IN": 0, "BN": 1}
    assert any(text.startswith("1 of 27 segmentations are missed") for text in sentences(found))


@pytest.mark.parametrize(
    ("validation", "kind"), [("test", "test"), ("held_out", "validation"), ("training", "training")]
)
def test_what_is_scored_is_named(made_up: MadeUp, validation: str, kind: str) -> None:
    found = confirmation(made_up(changed(arms_study(), task__validation=validation), training))
    assert (found.scored_on, plain(found)["scored_on"]) == (kind, kind)
    assert found.folds == (("3",) if kind == "test" else ())
    text = " ".join(sentences(found)).replace("not of test cases", "")
    assert ("test case" in text) is False
    assert (f"The scores are of {kind} cases" in text) is (kind != "test")


def test_steps_and_settings_that_differ_are_columns(made_up: MadeUp) -> None:
    raw = arms_study()
    raw["space"]["arms"][1] |= {"learning_rate": 0.1, "training": {"schedule": "constant"}}
    table = confirmation(made_up(raw, training)).table.set_index("arm")
    assert table["learning_rate"].to_dict() == {"mixed": 0.05, "IN": 0.05, "BN": 0.1}
    assert table["schedule"].to_dict() == {"mixed": "cosine", "IN": "cosine", "BN": "constant"}
    assert "weight_decay" not in table


def test_the_unit_of_distances_is_that_of_the_files(made_up: MadeUp) -> None:
    record = made_up(arms_study(), training)
    for number in record.trials()["number"]:
        path = record.folder / "trials" / f"{number:04d}" / "surfaces.csv"
        path.write_text("case,class,hd95,surface_dice,missed,unit\nc0,1,2.0,0.7,0,pixels\n")
    found = confirmation(record)
    assert found.hd95_unit == "pixels"
    assert set(found.table["hd95_unit"]) == {"pixels"}


def test_what_lies_at_the_end_of_its_range_is_said_once_for_all_its_arms(made_up: MadeUp) -> None:
    raw = arms_study()
    told = ["The learning rate 0.05 lies at the upper end."]
    raw["space"]["origin"]["edges"] = {"IN": told, "mixed": told}
    said = sentences(confirmation(made_up(raw, training)))
    assert said[-1] == "IN, mixed: the learning rate 0.05 lies at the upper end."


@pytest.mark.parametrize(("comparisons", "cases"), [(1, 6), (2, 7), (5, 8), (10, 9)])
def test_with_fewer_cases_no_difference_can_be_found(comparisons: int, cases: int) -> None:
    assert needed_cases(comparisons) == cases
    assert few_cases(cases, comparisons) is None
    assert f"takes {cases} cases" in str(few_cases(cases - 1, comparisons))
