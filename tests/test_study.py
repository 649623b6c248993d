"""The front door: a study in Python does what the command line does."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.figure import Figure
from torch import nn

import normsearch
from normsearch.cli.main import main
from normsearch.config.reading import read_study
from normsearch.data import read_volume
from normsearch.errors import ConfigError, DataError, NetworkError, StudyError
from normsearch.networks import UNet2d
from normsearch.storage.run_folder import create_run

MEASURED = ["seconds", "peak_memory_bytes"]  # differ from run to run


def results(study: normsearch.Study) -> pd.DataFrame:
    return study.trials().drop(columns=MEASURED)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NORMSEARCH_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture
def by_command(runs: Path, study_file: Path, data_set: Path, monkeypatch: Any) -> normsearch.Study:
    words = ["normsearch", "run", str(study_file), "--name", "by-command", "--local"]
    monkeypatch.setattr(sys, "argv", [*words, "--data", str(data_set)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code in (0, None)
    return normsearch.open_study("by-command")


def in_memory(data_set: Path) -> list[dict[str, Any]]:
    root = data_set / "squares"
    return [
        {
            "image": read_volume(root / "images" / f"s{index}.nrrd").array,
            "label": read_volume(root / "labels" / f"s{index}.nrrd").array,
            "id": f"s{index}",
            "fold": str(index),
        }
        for index in range(4)
    ]


def keys(study_file: Path) -> dict[str, Any]:
    raw = yaml.safe_load(study_file.read_text())
    return {key: raw[key] for key in ("task", "network", "training", "space", "search")}


def test_python_and_the_command_line_agree_to_the_last_bit(
    by_command: normsearch.Study, study_file: Path, data_set: Path
) -> None:
    loaded = normsearch.Study.load(study_file, ["name=loaded"], data=data_set)
    of_keys = normsearch.Study("of-keys", data=data_set, **keys(study_file))
    parts = keys(study_file)
    del parts["task"]["data"]
    of_arrays = normsearch.Study("of-arrays", data=in_memory(data_set), **parts)
    for study in (loaded, of_keys, of_arrays):
        study.run(executor="local")
        pd.testing.assert_frame_equal(results(study), results(by_command), check_exact=True)
        assert study.norm_map() == by_command.norm_map()


def test_pairs_of_files_are_a_data_set(runs: Path, study_file: Path, data_set: Path) -> None:
    root = data_set / "squares"
    pairs = [
        (root / "images" / f"s{i}.nrrd", str(root / "labels" / f"s{i}.nrrd")) for i in range(4)
    ]
    parts = keys(study_file) | {"task": {}, "search": {"trials": 2}}
    study = normsearch.Study("pairs", data=pairs, **parts)
    prepared = study.prepare()
    assert [case.id for case in prepared.cases] == ["s0", "s1", "s2", "s3"]
    assert prepared.cases[0].spacing == (2.0, 1.0, 1.0)
    assert not runs.exists()


def test_a_run_in_memory_is_resumed_in_python_alone(
    runs: Path, study_file: Path, data_set: Path
) -> None:
    parts = keys(study_file) | {"search": {"trials": 2}}
    del parts["task"]["data"]
    normsearch.Study("memory", data=in_memory(data_set), **parts).run(executor="local")
    with pytest.raises(DataError, match=r"task\.data: .*was in memory.*open_study\(NAME, data"):
        normsearch.open_study("memory").resume(trials=3, executor="local")
    again = normsearch.open_study("memory", data=in_memory(data_set))
    assert again.resume(trials=3, executor="local").record.best is not None
    in_turn = again.confirmation(seeds=1, folds="all")
    assert in_turn.config.space.folds == ("0", "1", "2", "3")
    with pytest.raises(DataError, match=r"task\.data: .*\.confirm\(\)"):
        normsearch.open_study("memory").confirmation(folds="all")
    other = in_memory(data_set)
    other[0]["image"] = other[0]["image"] + 1000 * np.eye(16, dtype=np.int16)
    with pytest.raises(DataError, match="must be trained on the data it started with"):
        normsearch.open_study("memory", data=other).resume(trials=4, executor="local")


@pytest.mark.parametrize(
    ("items", "told"),
    [
        ([], "data: must hold at least one case"),
        ([1], r"data\[0\]: must be a pair"),
        ([(np.zeros((4, 8, 8)), "mask.nrrd")], "ndarray and str"),
        ([(np.zeros((4, 8, 8), complex), np.zeros((4, 8, 8)))], r"data\[0\]\.image: .*complex"),
        ([(np.zeros(8), np.zeros(8))], r"data\[0\]\.label: .*\(8,\)"),
        ([(np.zeros((4, 8, 8)), np.zeros((4, 8, 9)))], r"case-0000.*shape"),
        ([(np.zeros((4, 8, 8)), np.full((4, 8, 8), 0.5))], "whole numbers"),
    ],
)
def test_items_that_are_no_cases(items: list[Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        normsearch.Study("bad", data=items).prepare()


def test_two_cases_of_one_id(data_set: Path) -> None:
    items = in_memory(data_set)
    items[1]["id"] = "s0"
    with pytest.raises(DataError, match="s0 twice"):
        normsearch.Study("bad", data=items).prepare()


def small(in_channels: int, out_channels: int) -> nn.Module:
    """A network of the user's own."""
    return UNet2d(in_channels, out_channels, first_channels=4, depth=1)


def test_a_network_as_a_function(runs: Path, study_file: Path, data_set: Path) -> None:
    def local(in_channels: int, out_channels: int) -> nn.Module:
        return small(in_channels, out_channels)

    parts = keys(study_file) | {"search": {"trials": 4, "baselines": False}}
    scores = []
    for number, network in enumerate((small, local)):
        study = normsearch.Study(f"own-{number}", data=data_set, **parts | {"network": network})
        with nullcontext() if network is small else pytest.warns(UserWarning, match="<locals>"):
            study.run(executor="local")
        scores.append(study.trials()["last_score"].tolist())
    assert scores[0] == scores[1]
    with pytest.raises(StudyError, match=r"<locals>.*must be a network that can be imported"):
        study.export(runs / "model")
    assert not (runs / "model").exists()


def test_a_run_is_opened_drawn_reported_and_exported(
    by_command: normsearch.Study, tmp_path: Path
) -> None:
    assert by_command.best is not None
    assert by_command.finished
    assert by_command.best["number"] == by_command.record.best
    assert isinstance(by_command.plot("search_history"), Figure)
    with pytest.raises(StudyError, match="Did you mean"):
        by_command.plot("search_histroy")
    page = by_command.report(tmp_path / "page.html")
    assert page.is_file()
    number, files, _ = by_command.export(tmp_path / "model")
    assert number == by_command.record.best
    assert all(file.is_file() for file in files)
    with pytest.raises(StudyError, match="99"):
        by_command.norm_map(99)


def test_what_a_notebook_shows(by_command: normsearch.Study, study_file: Path) -> None:
    assert "6 asked" not in repr(by_command)
    assert repr(by_command).startswith("<Study by-command: ")
    assert "best Dice" in repr(by_command)
    html = by_command._repr_html_()
    assert all(slot in html for slot in by_command.norm_map())
    assert repr(normsearch.Study.load(study_file)) == "<Study tiny: not begun, 6 trials asked for>"


def test_a_run_that_was_killed_before_its_first_trial(
    runs: Path, study_file: Path, data_set: Path
) -> None:
    study = normsearch.Study.load(study_file, data=data_set)
    create_run(runs / "tiny", study.config, {})
    study = normsearch.open_study("tiny", data=data_set)
    assert "ended before its first one; resume it with `normsearch resume tiny`" in repr(study)
    assert "ended before its first one" in study._repr_html_()
    assert not study.finished
    with pytest.raises(StudyError, match="tiny: the run must have a trial"):
        study.trials()
    events = list[Any]()
    study.resume(trials=3, executor="local", callbacks=[events.append])
    assert (events[0].kind, events[0].record["asked"]) == ("began", 3)
    assert events[0].record["metric"] == "Dice"
    assert repr(study).startswith("<Study tiny: ")
    assert "COMPLETE" in repr(study)


def test_a_run_is_not_begun_twice(by_command: normsearch.Study, study_file: Path) -> None:
    again = normsearch.Study.load(study_file, ["name=by-command"])
    with pytest.raises(StudyError, match="by-command: the run's name must be new"):
        again.run(executor="local")
    with pytest.raises(StudyError, match=r"tiny: must hold a run.*run\(\)"):
        normsearch.Study.load(study_file).resume()


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"training": {"sampels": 10}}, r"Study\('x'\): training\.sampels: unknown key"),
        ({"space": "per_leyer"}, "per_leyer.*per_layer"),
        ({"network": 5}, "network"),
    ],
)
def test_parts_are_checked_as_files_are(parts: dict[str, Any], told: str) -> None:
    with pytest.raises((ConfigError, NetworkError), match=told):
        normsearch.Study("x", task="phantom", **parts)


def test_everything_public_is_listed() -> None:
    assert set(normsearch.__all__) <= set(dir(normsearch))
    for name in normsearch.__all__:
        assert getattr(normsearch, name) is not None
    with pytest.raises(AttributeError, match="Stduy"):
        normsearch.Stduy  # noqa: B018


def test_importing_normsearch_is_light() -> None:
    code = (
        "import sys, normsearch; dir(normsearch); print({'optuna', 'torch'} & {*sys.modules}); "
        "normsearch.Study; print({'ray', 'scipy.ndimage', 'scipy.stats'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["set()", "set()"]


def test_a_shipped_study_is_the_one_of_its_file() -> None:
    assert normsearch.Study.load("quickstart").config == read_study("quickstart")[0]


def test_a_script_called_again_resumes_its_run(
    runs: Path, study_file: Path, data_set: Path
) -> None:
    parts = keys(study_file)
    few = normsearch.Study("again", data=data_set, **parts | {"search": {"trials": 4}})
    few.run(executor="local", resume=True)
    more = normsearch.Study("again", data=data_set, **parts | {"search": {"trials": 6}})
    more.run(executor="local", resume=True)
    whole = normsearch.Study("whole", data=data_set, **parts | {"search": {"trials": 6}})
    whole.run(executor="local")
    finished = more.trials()["state"].isin(["COMPLETE", "PRUNED"])
    assert int(finished.sum()) == 6
    other = parts | {"training": {"samples": 30, "evaluations": 3}}
    with pytest.raises(StudyError, match="of the same data, network, training and space"):
        normsearch.Study("again", data=data_set, **other).run(executor="local", resume=True)
