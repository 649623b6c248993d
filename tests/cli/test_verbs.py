"""The commands for a user: a study in this process, its results, and errors."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import nrrd
import numpy as np
import pytest
import yaml

import normsearch as package
from normsearch.analysis import FIGURES
from normsearch.errors import StudyError

from .conftest import Outcome

Call = Callable[..., Outcome]


@pytest.fixture
def finished(normsearch: Call, study_file: Path, data_set: Path) -> Outcome:
    """Return the outcome of a whole local run called tiny."""
    return normsearch("run", study_file, "--data", data_set, "--local")


def states(normsearch: Call) -> dict[str, int]:
    return json.loads(normsearch("status", "tiny", "--json").out)["states"]


def test_run_tells_progress_and_outcome(finished: Outcome) -> None:
    assert finished.code == 0
    assert finished.out.startswith("Best validation Dice 0.")
    assert "normsearch report tiny" in finished.out
    single = "Best single norm: " in finished.out
    assert single or "in every slot; no mixture of norms was better." in finished.out
    lines = finished.err.splitlines()
    assert "0/6 done" in lines[0]
    assert len([line for line in lines if line.startswith("trial ")]) == 6
    assert "6/6 done" in lines[-1]
    assert "best Dice 0." in lines[-1]
    assert "0:00 left" in lines[-1]


def test_run_folder_is_as_designed(finished: Outcome) -> None:
    run = Path("runs/tiny")
    study = yaml.safe_load((run / "study.yaml").read_text())
    assert study["space"]["norm"]["choices"] == ["none", "BN", "IN", "SN"]
    assert len(study["fingerprint"]) == 64
    assert "torch" in study["versions"]
    assert study["versions"]["kernels"] in ("c", "torch")
    assert (run / "journal.log").is_file()
    assert (run / "local.json").stat().st_mode & 0o077 == 0
    for number in range(6):
        trial = json.loads((run / "trials" / f"{number:04d}" / "trial.json").read_text())
        assert trial["number"] == number
        cases = (run / "trials" / f"{number:04d}" / "cases.csv").read_text().splitlines()
        assert cases[0] == "case,evaluation,score,dice_1,tp_1,fp_1,fn_1"
        assert cases[1].startswith("s2,")  # the validation subject, and it alone
        assert len(cases) == 2
    assert not list(run.glob(".*"))


def test_status(finished: Outcome, normsearch: Call) -> None:
    found = json.loads(normsearch("status", "tiny", "--json").out)
    assert found["name"] == "tiny"
    assert (found["asked"], found["metric"]) == (6, "dice")
    assert sum(found["states"].values()) == 6
    assert found["states"]["RUNNING"] == found["states"]["INTERRUPTED"] == 0
    assert [trial["baseline"] for trial in found["trials"][:4]] == ["none", "BN", "IN", "SN"]
    assert found["best"]["score"] == max(t["score"] for t in found["trials"] if t["score"])
    table = normsearch("status", "tiny").out
    assert "6 asked for" in table
    assert "COMPLETE" in table
    assert "SN" in table


def test_best(finished: Outcome, normsearch: Call) -> None:
    found = json.loads(normsearch("best", "tiny", "--json").out)
    assert next(iter(found["norm_map"])) == "enc1.conv1.norm"
    assert len(found["norm_map"]) == 7
    assert found["best_single_norm"]["score"] <= found["score"]
    text = normsearch("best", "tiny").out
    assert f"Trial {found['number']} of tiny" in text
    assert "normsearch train" in text


def test_load_study(finished: Outcome) -> None:
    record = package.load_study("tiny")
    assert len(record.trials()) == 6
    assert record.best is not None
    assert list(record.norm_map(3).values()) == ["SN"] * 7
    weights = record.learnt(3)["enc1.conv1.norm"]["mean"]
    assert sum(weights.values()) == pytest.approx(1)
    history = record.history()
    assert list(history.columns[:2]) == ["number", "evaluation"]
    assert set(history["number"]) == set(range(6))
    with pytest.raises(StudyError, match="from 0 to 5, got 9"):
        record.norm_map(9)


def test_load_study_looks_where_the_command_line_does(
    finished: Outcome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NORMSEARCH_RUNS", str(Path("runs").resolve()))
    monkeypatch.chdir(tmp_path)
    assert package.load_study("tiny").name == "tiny"


def test_plot_and_report(finished: Outcome, normsearch: Call) -> None:
    drawn = normsearch("plot", "all", "tiny")
    assert drawn.code == 0
    assert Path("runs/tiny/report/search_history.png").stat().st_size > 5000
    kinds = {Path(line).stem for line in drawn.out.splitlines()}
    told = "Not drawn, as tiny has nothing for them: "
    (line,) = (line for line in drawn.err.splitlines() if line.startswith(told))
    skipped = line.removeprefix(told).partition("; `normsearch plot ")[0].split(", ")
    assert kinds | {*skipped} == set(FIGURES)
    assert not kinds & {*skipped}
    assert normsearch("plot", "search_history", "tiny", "-o", "x.svg").out == "x.svg\n"
    assert Path("x.svg").read_text().startswith("<?xml")
    report = normsearch("report", "tiny")
    assert report.out == "runs/tiny/report/report.html\n"
    assert "tiny" in Path(report.out.strip()).read_text()
    unknown = normsearch("plot", "search_histery", "tiny")
    assert unknown.code == 1
    assert "Did you mean 'search_history'?" in unknown.err


def test_train_again_gives_the_same_score(
    finished: Outcome, normsearch: Call, data_set: Path
) -> None:
    found = json.loads(normsearch("best", "tiny", "--json").out)
    again = normsearch("train", found["trial_file"], "--data", data_set, "-o", "again", "--json")
    assert again.code == 0
    record = json.loads(again.out)
    assert (record["score"], record["metric"]) == (found["score"], found["metric"])
    assert Path("again/checkpoint.pt").is_file()


def test_resume_with_more_trials(finished: Outcome, normsearch: Call) -> None:
    nothing_left = normsearch("resume", "tiny", "--local")
    assert nothing_left.code == 0
    assert sum(states(normsearch).values()) == 6
    assert normsearch("resume", "tiny", "--trials", 9, "--local").code == 0
    assert sum(states(normsearch).values()) == 9
    assert states(normsearch)["RUNNING"] == 0


def test_resume_refuses_changed_data(finished: Outcome, normsearch: Call, data_set: Path) -> None:
    path = data_set / "squares" / "images" / "s0.nrrd"
    array, header = nrrd.read(str(path))
    array[:, :, 0] += 40
    nrrd.write(str(path), array, header)
    refused = normsearch("resume", "tiny", "--trials", 9, "--local")
    assert refused.code == 1
    assert "must be trained on the data it started with" in refused.err


def test_sqlite_storage(normsearch: Call, study_file: Path, data_set: Path) -> None:
    url = "sqlite:///study.db"
    run = normsearch("run", study_file, "--data", data_set, "--local", "--storage", url)
    assert run.code == 0
    assert not Path("runs/tiny/journal.log").exists()
    assert sum(states(normsearch).values()) == 6


def test_lists(normsearch: Call) -> None:
    assert "Group Normalization" in normsearch("list", "norms").out
    assert "quickstart" in json.loads(normsearch("list", "studies", "--json").out)
    assert "per_layer" in normsearch("list", "spaces").out
    assert "unet2d" in normsearch("list", "networks").out


def drop_one_row(root: Path) -> None:
    label = root / "labels" / "s1.nrrd"
    array, header = nrrd.read(str(label))
    header.pop("sizes")
    nrrd.write(str(label), array[:, :-1], header)


def truncate(root: Path) -> None:
    image = root / "images" / "s1.nrrd"
    image.write_bytes(image.read_bytes()[:-40])


def remove_label(root: Path) -> None:
    (root / "labels" / "s1.nrrd").unlink()


def poison(root: Path) -> None:
    image = root / "images" / "s1.nrrd"
    array, header = nrrd.read(str(image))
    nrrd.write(str(image), np.where(array > 50, np.nan, array).astype(np.float32), header)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (drop_one_row, ["s1", "shape", "16"]),
        (truncate, ["images/s1.nrrd"]),
        (remove_label, ["s1", "label"]),
        (poison, ["s1", "NaN"]),
    ],
)
def test_bad_data_is_one_sentence_and_leaves_nothing(
    normsearch: Call,
    study_file: Path,
    data_set: Path,
    spoil: Callable[[Path], None],
    said: list[str],
) -> None:
    spoil(data_set / "squares")
    refused = normsearch("run", study_file, "--data", data_set, "--local")
    assert refused.code == 1
    assert len(refused.err.splitlines()) == 1
    for word in said:
        assert word in refused.err
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "space.norm.choices=[BN, INN]",
            "space.norm.choices[1]: must be one of none, BN, SyncBN, BRN, ",
        ),
        (
            "space.norm.choices=[BN, INN]",
            "IN-axisnone, got 'INN'. Did you mean 'IN'?",
        ),
        ("training.smaples=3", "training.smaples: unknown key"),
        ("training.smaples=3", "Did you mean 'samples'?"),
        (
            "space.norm.choices=[GN-3]",
            "must fit the channels of at least one slot (4, 8), got GN-3",
        ),
        ("network.depth=5", "needs two image sides that 32 divides, got 16 x 16"),
        (
            "network.name=unet3d",
            "network must be one of unet2d, res_unet3d, classifier, resnet or module:function, got",
        ),
        ("task.data=circles", "must be a data set in one of the layouts"),
        ("task.test_folds=[9]", "got '9'"),
        ("name=a/b", "name: "),
        ("search.trials=many", "search.trials: "),
    ],
)
def test_mistakes_in_a_study_are_one_sentence_and_leave_nothing(
    normsearch: Call, study_file: Path, data_set: Path, override: str, said: str
) -> None:
    refused = normsearch("run", study_file, "--data", data_set, "--local", "--set", override)
    assert refused.code == 1
    assert said in refused.err
    assert len(refused.err.splitlines()) == 1
    assert not Path("runs").exists()


def test_an_address_where_no_cluster_is(normsearch: Call, study_file: Path, data_set: Path) -> None:
    with socket.socket() as taken:  # bound, but nothing listens
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        refused = normsearch("run", study_file, "--data", data_set, "--address", address)
    assert refused.code == 1
    assert f"--address {address}: must be a running Ray cluster" in refused.err
    assert len(refused.err.splitlines()) == 1
    assert not Path("runs").exists()


def test_an_ipv6_address_is_looked_for_without_its_brackets(
    normsearch: Call, study_file: Path, data_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(where: tuple[str, int], timeout: float) -> None:
        raise OSError(f"looked for {where}")

    monkeypatch.setattr("normsearch.cli.options.socket.create_connection", refuse)
    refused = normsearch("run", study_file, "--data", data_set, "--address", "[fe80::1]:6379")
    assert "looked for ('fe80::1', 6379)" in refused.err


def test_a_group_count_that_divides_nothing(
    normsearch: Call, study_file: Path, data_set: Path
) -> None:
    sets = ["--set", "space.norm.choices=[GN]", "--set", "space.norm.groups=[3]"]
    refused = normsearch("run", study_file, "--data", data_set, "--local", *sets)
    assert refused.code == 1
    assert f"{study_file}: space.norm.groups[0]: must fit" in refused.err


def test_a_run_name_that_exists_is_refused_and_untouched(
    finished: Outcome, normsearch: Call, study_file: Path, data_set: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")}
    refused = normsearch("run", study_file, "--data", data_set, "--local")
    assert refused.code == 1
    assert "normsearch resume tiny" in refused.err
    assert "--name" in refused.err
    assert {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")} == before


def test_missing_files_and_runs(normsearch: Call, finished: Outcome) -> None:
    for arguments, said in [
        (("run", "nowhere.yaml"), "nowhere.yaml: must be a YAML file or one of "),
        (("run", "quickstrat"), "Did you mean 'quickstart'?"),
        (("resume", "tinny"), "tinny: must be one of tiny. Did you mean 'tiny'?"),
        (("train", "nowhere.json"), "nowhere.json: must be an existing file"),
    ]:
        refused = normsearch(*arguments)
        assert refused.code == 1
        assert said in refused.err
        assert "Traceback" not in refused.err


def test_best_of_a_study_without_a_complete_trial(normsearch: Call, finished: Outcome) -> None:
    shutil.rmtree("runs/tiny/trials")
    Path("runs/tiny/journal.log").unlink()
    refused = normsearch("best", "tiny")
    assert refused.code == 1
    assert "normsearch resume tiny" in refused.err


def test_wrong_usage_is_code_2(normsearch: Call) -> None:
    assert normsearch("frobnicate").code == 2
    assert normsearch("run").code == 2
    assert normsearch("list", "colours").code == 2


def test_version(normsearch: Call) -> None:
    assert normsearch("--version").out == f"normsearch {package.__version__}\n"
