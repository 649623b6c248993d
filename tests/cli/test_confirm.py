"""`normsearch confirm`: what it trains and prints, how it resumes, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import normsearch as package
from normsearch.config import TrialConfig
from normsearch.confirmation import held_out
from normsearch.data import read_volume, write_volume

from .conftest import Outcome
from .test_interrupt import wait_for
from .test_running import driver

Call = Callable[..., Outcome]
FEW = ["--seeds", 2, "--top", 1, "--local"]


class PowerCut(BaseException):
    """Ends the process, as far as the trainer can tell."""


@pytest.fixture
def searched(normsearch: Call, study_file: Path, data_set: Path) -> Call:
    """Return the command line, after a search called tiny of two single norms and one other."""
    study = yaml.safe_load(study_file.read_text())
    study["space"]["norm"]["choices"] = ["BN", "IN"]
    study["training"] = {"samples": 24, "evaluations": 2, "statistics_samples": 4}
    mixture = {"norm": {"*": "BN", "enc1.*": "IN"}, "learning_rate": 0.05}
    study["search"] = {"trials": 3, "pruner": "none", "points": [mixture]}
    study_file.write_text(yaml.safe_dump(study))
    found = normsearch("run", study_file, "--data", data_set, "--local")
    assert found.code == 0, found.err
    return normsearch


def scores(name: str) -> dict[int, float]:
    table = package.load_study(name).trials()
    return dict(zip(table["number"], table["score"], strict=True))


def test_confirm_tests_on_the_fold_that_was_held_out(searched: Call) -> None:
    found = searched("confirm", "tiny", *FEW)
    assert found.code == 0, found.err
    assert "4 arms (" in found.err
    assert "at trial 2's setting)" in found.err
    assert "8 trainings; compared with" in found.err
    assert "With 1 test case and 2 comparisons no difference can be found" in found.err
    assert "--folds all tests on every subject" in found.err
    assert "tiny-confirm: 1 test case, fold 3, 2 seeds" in found.out
    assert "HD95 (mm)" in found.out
    assert "Not tested for want of a second case" in found.out
    record = package.load_study("tiny-confirm")
    cases = record.cases()
    assert set(cases["case"]) == {"s3"}
    assert sorted(cases["arm"].value_counts()) == [2, 2, 2, 2]
    table = pd.read_csv("runs/tiny-confirm/confirmation.csv")
    means = cases.groupby("arm")["score"].mean()
    assert table.set_index("arm")["mean"].to_dict() == pytest.approx(means.to_dict())
    table = table.set_index("arm")
    (beside,) = [arm for arm in table.index if " at trial 2's setting" in arm]
    assert table.loc["trial 2", "learning_rate"] == table.loc[beside, "learning_rate"] == 0.05
    assert table.loc[beside, "role"] == "reference at another setting"
    assert set(table["steps"]) == {12}
    trial = json.loads(Path("runs/tiny-confirm/trials/0000/trial.json").read_text())
    assert trial["task"]["validation"] == "test"
    status = searched("status", "tiny-confirm").out
    assert "8 COMPLETE; 8 asked for" in status

    again = searched("confirm", "tiny", "--json")
    told = json.loads(again.out)
    assert told["finished"]
    assert (
        told["sentences"]
        == json.loads(Path("runs/tiny-confirm/confirmation.json").read_text())["sentences"]
    )
    assert len(package.load_study("tiny-confirm").trials()) == 8
    other = searched("confirm", "tiny", "--seeds", 3, "--local")
    assert other.code == 1
    assert "tiny-confirm: must be resumed as it started, with --seeds 2" in other.err


def test_a_metric_that_is_minimized(
    normsearch: Call, study_file: Path, data_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("my_error.py").write_text(
        "def wrong(prediction, truth, spacing):\n"
        "    return float((prediction != truth).float().mean())\n"
    )
    monkeypatch.syspath_prepend(str(Path.cwd()))
    metric = {"name": "my_error:wrong", "direction": "minimize", "label": "wrong share"}
    study = yaml.safe_load(study_file.read_text())
    study["space"]["norm"]["choices"] = ["none", "IN"]
    study["training"] = {"samples": 24, "evaluations": 2, "metric": metric}
    study["search"] = {"trials": 2, "pruner": "none"}
    study_file.write_text(yaml.safe_dump(study))
    assert normsearch("run", study_file, "--data", data_set, "--local").code == 0
    found = normsearch("confirm", "tiny", "--folds", "all", "--seeds", 2, "--local")
    assert found.code == 0, found.err
    validation = {name: scores("tiny")[number] for number, name in enumerate(["none", "IN"])}
    reference = min(validation, key=lambda name: validation[name])
    told = json.loads(Path("runs/tiny-confirm/confirmation.json").read_text())
    assert (told["metric"], told["direction"]) == ("wrong share", "minimize")
    assert (told["reference"], told["reference_score"]) == (reference, validation[reference])
    cases = package.load_study("tiny-confirm").cases()
    means = cases.groupby("arm")["score"].mean().sort_values()
    assert [arm["arm"] for arm in told["arms"]] == list(means.index)
    for rank, arm in enumerate(told["arms"], 1):
        assert arm["mean"] == pytest.approx(means[arm["arm"]])
        assert arm["difference"] == pytest.approx(means[arm["arm"]] - means[reference])
        assert arm["rank"] == pytest.approx(rank)
        assert arm["total_low"] <= arm["difference"] <= arm["total_high"]
    assert "A lower wrong share is better." in told["sentences"]
    assert "wrong share [95% CI]" in found.out
    assert normsearch("report", "tiny-confirm").code == 0


def test_what_cannot_be_confirmed(searched: Call, study_file: Path, data_set: Path) -> None:
    words = ["run", study_file, "--data", data_set, "--local", "--name", "open"]
    assert searched(*words, "--set", "task.test_folds=[]", "--set", "search.trials=2").code == 0
    refused = searched("confirm", "open", "--local")
    assert refused.code == 1
    assert "open: must have held out test_folds to be confirmed on" in refused.err
    (data_set / "squares" / "folds.csv").unlink()
    refused = searched("confirm", "open", "--local", "--folds", "all")
    assert refused.code == 1
    assert "must name at least two folds to test on each in turn, got none" in refused.err
    assert not Path("runs/open-confirm").exists()
    assert searched("confirm", "nothing").code == 1


def test_all_folds_in_turn(searched: Call) -> None:
    found = searched("confirm", "tiny", "--folds", "all", "--seeds", 1, "--top", 0, "--local")
    assert found.code == 0, found.err
    assert "2 arms (" in found.err
    assert "x 4 folds, 8 trainings" in found.err
    cases = package.load_study("tiny-confirm").cases()
    assert cases.groupby("case")["fold"].unique().str[0].to_dict() == {
        f"s{fold}": str(fold) for fold in range(4)
    }
    assert "The search trained or validated on fold 0, 1, 2" in found.out
    assert "Not tested for want of a second seed" in found.out


def test_a_poisoned_test_fold_changes_nothing_before_confirm(
    searched: Call, study_file: Path, data_set: Path
) -> None:
    """The search must not see the held-out subjects: with their labels shuffled it is the same."""
    clean, best = scores("tiny"), searched("best", "tiny", "--json").out
    assert searched("confirm", "tiny", *FEW).code == 0
    tested = scores("tiny-confirm")
    label = data_set / "squares" / "labels" / "s3.nrrd"
    volume = read_volume(label)
    shuffled = np.random.default_rng(0).permutation(volume.array.ravel())
    label.unlink()
    write_volume(label, replace(volume, array=shuffled.reshape(volume.array.shape)))
    refused = searched("resume", "tiny", "--trials", 4, "--local")
    assert "must be trained on the data it started with" in refused.err

    for name in ("tiny", "tiny-confirm"):
        shutil.move(f"runs/{name}", f"runs/clean-{name}")
    assert searched("run", study_file, "--data", data_set, "--local").code == 0
    assert scores("tiny") == clean
    assert searched("best", "tiny", "--json").out == best
    assert searched("confirm", "tiny", *FEW).code == 0
    poisoned = scores("tiny-confirm")
    assert poisoned.keys() == tested.keys()
    assert all(poisoned[number] < tested[number] for number in tested if tested[number] > 0.1)
    assert max(tested.values()) > 0.1


def test_a_crash_between_checkpoint_and_surfaces_is_gone_on_with(
    searched: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = held_out.measure

    def crash(trial: TrialConfig, *rest: Any) -> None:
        if trial.number == 1:
            raise PowerCut
        measured(trial, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(held_out, "measure", crash)
        with pytest.raises(PowerCut):
            searched("confirm", "tiny", *FEW)
    assert list(package.load_study("tiny-confirm").trials()["state"]) == ["COMPLETE", "RUNNING"]
    found = searched("confirm", "tiny", "--local")
    assert found.code == 0, found.err
    _all_eight_are_there()
    resumed = searched("resume", "tiny-confirm", "--local")
    assert resumed.code == 0
    assert resumed.out == found.out


def test_a_study_of_arms_on_validation_subjects_speaks_of_no_test_cases(
    normsearch: Call, study_file: Path, data_set: Path
) -> None:
    study = yaml.safe_load(study_file.read_text())
    arms = [{"name": n, "norm": n, "learning_rate": 0.1, "batch_size": 2} for n in ("BN", "IN")]
    study |= {"space": {"arms": arms, "seeds": 2}, "search": {}}
    study["training"] = {"samples": 24, "evaluations": 2, "statistics_samples": 4}
    study_file.write_text(yaml.safe_dump(study))
    found = normsearch("run", study_file, "--data", data_set, "--local")
    assert found.code == 0, found.err
    assert "tiny: 1 validation case, fold 2, 2 seeds" in found.out
    assert "The scores are of validation cases, not of test cases." in found.out
    assert json.loads(Path("runs/tiny/confirmation.json").read_text())["scored_on"] == "validation"
    told = f"{found.out} {found.err}".replace("not of test cases", "")
    assert "test case" not in told


@pytest.mark.slow
def test_killed_and_gone_on_with(searched: Call, tmp_path: Path) -> None:
    log = tmp_path / "stderr.txt"
    with driver(log, "confirm", "tiny", *FEW) as process:
        wait_for(lambda: "trial 1" in log.read_text(), process, log)
        process.kill()
        process.wait()
    found = searched("confirm", "tiny", "--local")
    assert found.code == 0, found.err
    _all_eight_are_there()


def _all_eight_are_there() -> None:
    table = package.load_study("tiny-confirm").trials()
    assert list(table["state"]) == ["COMPLETE"] * 8
    assert table.groupby(["arm", "seed"]).size().tolist() == [1] * 8
    for number in range(8):
        assert Path(f"runs/tiny-confirm/trials/{number:04d}/surfaces.csv").is_file()


def test_looks_say_what_they_cost_and_decide(searched: Call) -> None:
    looks = ("confirm", "tiny", "--top", 0, "--design", "looks", "--local")
    refused = searched(*looks, "--seeds", 3)
    assert refused.code == 1
    assert "seeds must be left out with design looks" in refused.err
    few = searched("confirm", "tiny", "--top", 0, "--trainings", 3, "--local")
    assert few.code == 1
    assert "must have 4 trainings at least to test anything, and got 3; allow it more" in few.err
    assert not Path("runs/tiny-confirm").exists()
    found = searched(*looks)
    assert found.code == 0, found.err
    assert "x up to 8 seeds, judged in looks; compared with" in found.err
    assert "4 trainings up to the next look, at most 16 in all" in found.err
    assert "--design fixed trains 10." in found.err
    assert "tiny-confirm: Judged after 2 seeds, against" in found.err
    assert "tiny-confirm: Finished with 4 trainings." in found.err  # one case tells nothing
    assert "1 test case, fold 3, up to 2 seeds" in found.out
    assert "exhausted" not in found.err
    shown = searched("status", "tiny-confirm")
    assert "4 COMPLETE; 4 asked for" in shown.out
    assert "Finished with 4 trainings." in shown.out
    listed = searched("status")
    assert "4 of at most 16" in listed.out
    assert searched(*looks).out == found.out
    assert package.open_study("runs/tiny-confirm").finished
    other = searched("confirm", "tiny", "--design", "fixed", "--local")
    assert other.code == 1
    assert "must be resumed as it started, with --design looks" in other.err
    for again in (
        searched(*looks, "--trainings", 15),
        searched(*looks, "--trainings", 16),
        searched("resume", "tiny-confirm", "--local"),
    ):
        assert again.code == 0, again.err
        assert again.err == (
            "tiny-confirm: nothing is trained, as it is finished; this is its result.\n"
        )
        assert again.out == found.out


@pytest.mark.slow
def test_looks_with_two_workers(searched: Call) -> None:
    found = searched("confirm", "tiny", "--top", 0, "--design", "looks", "--workers", 2)
    assert found.code == 0, found.err
    assert "Finished with 4 trainings." in found.err
    assert list(package.load_study("tiny-confirm").trials()["state"]) == ["COMPLETE"] * 4
