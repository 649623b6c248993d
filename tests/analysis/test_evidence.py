"""What a confirmation and verdicts add to a report."""

from __future__ import annotations

from pathlib import Path

import pytest

from normsearch.analysis import evidence
from normsearch.analysis.evidence import compared, comparison_of, verdicts
from normsearch.confirmation.comparison import confirmation
from normsearch.errors import StudyError
from normsearch.findings.results import write_result
from tests.analysis.fake_confirmation import FOUND, arms_study, confirmed_study
from tests.analysis.fake_study import fake_study
from tests.analysis.recorded_study import confirmed_runs
from tests.analysis.test_report import text_of


def test_a_study_of_arms_is_its_own_comparison(tmp_path: Path) -> None:
    study = arms_study(tmp_path)
    assert comparison_of(study) is study
    assert compared(study) == {}


def test_a_search_is_confirmed_by_the_run_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = confirmed_study(tmp_path, monkeypatch)
    other = comparison_of(study)
    assert other is not None
    assert other.name == "fake-confirm"
    assert comparison_of(fake_study(folder=tmp_path / "alone")) is None

    def not_begun(folder: Path) -> None:
        raise StudyError(f"{folder}: must hold a study that has begun")

    monkeypatch.setattr(evidence, "open_study", not_begun)
    assert comparison_of(study) is None


def test_arms_are_written_out_for_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = comparison_of(confirmed_study(tmp_path, monkeypatch))
    assert other is not None
    found = compared(other)
    assert found["lead"] == FOUND["sentences"][0]
    assert found["remarks"] == FOUND["sentences"][1:]
    assert found["surfaces"] is True
    best, reference, worse, absent = found["arms"]
    assert best == {
        "arm": "trial 17",
        "mean": "0.901 ± 0.041",
        "interval": "0.880 to 0.920",
        "setting": ["0.1", "4", "500"],
        "seed_sd": "0.0061",
        "seeds": "5",
        "failed": "0",
        "collapsed": "0 (≤ 45%)",
        "false_positives": "3",
        "beside": "+0.0181 (+0.0020 to +0.0342; p 0.021)",
        "difference": "+0.0213",
        "reach": "+0.0056 to +0.0371",
        "p": "0.013",
        "hd95": "3.2 ± 1.5",
        "surface_dice": "0.930 ± 0.020",
        "verdict": "better",
    }
    assert (reference["difference"], reference["reach"], reference["p"]) == ("–", "–", "–")
    assert (worse["difference"], worse["reach"]) == ("−0.0088", "−0.0256 to +0.0080")
    assert absent.pop("setting") == ["–", "–", "–"]
    assert set(absent.values()) == {"SN", "not trained", "–"}
    assert (found["empty"], found["beside"]) == (True, True)


def test_a_comparison_from_before_settings_were_recorded_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = {"learning_rate", "batch_size", "steps", "beside", "empty_cases", "collapsed"}
    arms = [{k: v for k, v in row.items() if k not in later} for row in FOUND["arms"]]
    old = {k: v for k, v in FOUND.items() if k not in ("scored_on", "reference", "hd95_unit")}
    study = confirmed_study(tmp_path, monkeypatch, {**old, "arms": arms})
    text = text_of(study, tmp_path / "r.html")
    assert "Confirmation Arm Verdict Dice, mean ± SD" in text
    assert "HD95 (mm)" in text


def test_an_unfinished_comparison_says_so_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {**FOUND, "finished": False, "sentences": ["Not finished: 1 of 9 trainings.", "More."]}
    other = comparison_of(confirmed_study(tmp_path, monkeypatch, found))
    assert other is not None
    assert compared(other)["lead"] == "Not finished: 1 of 9 trainings."
    assert compared(other)["remarks"] == ["More."]


def test_cases_that_the_search_had_seen_are_not_called_unseen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = confirmed_study(tmp_path, monkeypatch, {**FOUND, "seen_folds": ["1"]})
    text = text_of(study, tmp_path / "r.html")
    assert "with 5 seeds and scored on 14 test cases (run fake-confirm)." in text


def test_the_report_of_a_confirmed_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = text_of(confirmed_study(tmp_path, monkeypatch), tmp_path / "r.html")
    lead, search = (
        text.index("Trial 17 is better than GN-8"),
        text.index("In the search itself: On"),
    )
    assert lead < search < text.index("Confirmation Arm Verdict Dice, mean ± SD")
    assert (
        "with 5 seeds and scored on 14 test cases that the search never saw (run fake-confirm)"
        in text
    )
    assert "Only a confirmation can tell" not in text
    assert "not confirmed" not in text
    assert "trial 17 better 0.901 ± 0.041 0.880 to 0.920 +0.0213" in text
    assert "trial 17 0.1 4 500 5 0.0061 0 0 (≤ 45%) 3 3.2 ± 1.5" in text
    assert "HD95 (mm)" in text


def test_a_confirmation_that_has_not_ended_confirms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = text_of(confirmed_study(tmp_path, monkeypatch, None), tmp_path / "r.html")
    assert "Only a confirmation can tell (run fake-confirm has begun and has not ended)." in text
    assert "In the search itself" not in text


def test_the_report_of_a_study_of_arms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    confirmed_study(tmp_path, monkeypatch)
    text = text_of(arms_study(tmp_path / "fake-confirm"), tmp_path / "r.html")
    assert "Trial 17 is better than GN-8" in text
    assert "The arms compared Arm Verdict Dice" in text
    for word in ("search", "best mixture", "best norm map", "best trials"):
        assert word not in text.replace("that the search ranked", "").replace("normsearch", "")
    (tmp_path / "fake-confirm" / "confirmation.json").unlink()
    text = text_of(arms_study(tmp_path / "fake-confirm"), tmp_path / "r.html")
    assert "Not finished; no verdict before the end." in text


def test_the_verdicts_of_a_registered_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where results are looked for, beside those shipped
    assert verdicts(fake_study()) == []
    result = {
        "finding": "S1",
        "scale": "toy",
        "runs": ["other", "fake"],
        "date": "2999-01-01",
        "text": "BN fails",
        "paper": "5 of 6",
        "told": "Not clear. Few.",
        "flags": ["1 <diverged>"],
        "verdict": "not distinguishable",
        "metric": "Dice",
        "plan": "-",
        "advice": "",
        "interval": "95%",
        "contrasts": [
            {"name": "Dice", "outcome": "not distinguishable", "estimate": -0.031, "low": -0.0712,
             "high": None, "claim": "above", "margin": None, "unit": "Dice", "published": None,
             "ratio": False}
        ],
        "trainings": 6,
        "seeds": 3,
        "cases": 5,
        "experiment": "spine",
        "source": "-",
        "notes": "",
        "sha256": "0",
    }  # fmt: skip
    write_result(tmp_path / "results", result)
    write_result(tmp_path / "results", {**result, "finding": "S2", "runs": ["other"]})
    (row,) = verdicts(fake_study())
    assert row["ours"] == "Dice: -0.031 [-0.071, –]"
    text = text_of(fake_study(folder=tmp_path / "fake"), tmp_path / "r.html")
    assert (
        "S1. BN fails Not clear. Few. Published: 5 of 6 Here, at toy scale: Dice: -0.031 "
        "[-0.071, –] 1 <diverged>"
    ) in text


def test_what_confirm_leaves_is_read(tmp_path: Path) -> None:
    study = confirmed_runs(tmp_path / "search")
    other = comparison_of(study)
    assert other is not None
    found = compared(other)
    table = confirmation(other).table
    assert [row["arm"] for row in found["arms"]] == table["arm"].tolist()
    assert [row["verdict"] for row in found["arms"]] == table["verdict"].tolist()
    best = table.iloc[0]
    assert found["arms"][0]["mean"] == f"{best['mean']:.3f} ± {best['sd']:.3f}"
    assert (found["seeds"], found["cases"]) == (2, best["cases"])
    assert found["surfaces"] is False
    text = text_of(study, tmp_path / "r.html")
    assert found["lead"] in text
    assert all(remark in text for remark in found["remarks"])
