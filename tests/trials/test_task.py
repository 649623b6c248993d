import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from normsearch.config import PhantomConfig, TaskConfig
from normsearch.data import Case, Volume, fingerprint, write_volume
from normsearch.errors import ConfigError, DataError
from normsearch.trials.task import (
    check_fingerprint,
    data_folder,
    load_task,
    resolve_task,
    split_task,
    task_folds,
)
from tests.trials.test_training import CASES


def changed(pixel: float) -> list[Case]:
    image = CASES[0].image.copy()
    image[0, 0, 0, 0] += pixel
    return [replace(CASES[0], image=image), *CASES[1:]]


def test_changed_data_is_refused() -> None:
    known = fingerprint(CASES)
    assert check_fingerprint(CASES, known, "study.yaml") == known
    assert check_fingerprint(changed(0), known, "study.yaml") == known
    assert check_fingerprint(CASES, None, "study.yaml") == known
    found = fingerprint(changed(1e-3))
    with pytest.raises(DataError) as info:
        check_fingerprint(changed(1e-3), known, "study.yaml")
    assert str(info.value) == (
        f"study.yaml: must be trained on the data it started with (SHA-256 {known[:12]}…), got "
        f"{found[:12]}…; restore the data, or start a new study."
    )
    with pytest.raises(DataError, match="must be trained on the data it started with"):
        check_fingerprint(CASES[:3], known, "study.yaml")


def make_folder(root: Path) -> Path:
    (root / "images").mkdir(parents=True)
    (root / "labels").mkdir()
    return root


def test_where_data_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder(tmp_path / "base" / "lv")
    task = TaskConfig(data="lv")
    assert data_folder(task, tmp_path / "base") == folder
    assert data_folder(task, folder) == folder  # --data may be the data set itself
    assert data_folder(TaskConfig(data=str(folder)), tmp_path / "elsewhere") == folder
    assert data_folder(TaskConfig(data=str(folder)), None) == folder
    monkeypatch.chdir(tmp_path / "base")
    assert data_folder(task, None).resolve() == folder
    monkeypatch.setenv("HOME", str(tmp_path / "base"))
    assert data_folder(TaskConfig(data="~/lv"), None) == folder


@pytest.mark.parametrize("data", [True, False])
def test_data_that_are_not_there(
    data: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    base = tmp_path / "base" if data else None
    where = tmp_path / "base" / "lv" if data else Path("lv")
    expected = (
        f"{where}: must be a data set in one of the layouts manifest, nnunet, msd, folders, idx "
        "(see normsearch list layouts), and is not; "
        "give the folder that holds it with --data (or NORMSEARCH_DATA)."
    )
    (tmp_path / "base" / "lv").mkdir(parents=True)  # a folder, but without images/
    with pytest.raises(DataError) as info:
        load_task(TaskConfig(data="lv"), base)
    assert str(info.value) == expected


def test_labels_that_are_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.nrrd").write_bytes(b"")
    with pytest.raises(DataError, match=r"labels: must be a folder of images"):
        load_task(TaskConfig(data=str(tmp_path)), None)


def write_fashion(root: Path) -> Path:
    """Write five images of 4 x 6 pixels of the classes 0, 1 and 2 in IDX files."""
    root.mkdir()
    pixels = bytes(range(120))
    header = b"".join(side.to_bytes(4, "big") for side in (5, 4, 6))
    (root / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + header + pixels)
    classes = bytes([0, 1, 2, 1, 0])
    (root / "train-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\x05" + classes)
    return root


def test_classes_of_images_are_known_from_the_data(tmp_path: Path) -> None:
    write_fashion(tmp_path / "fashion")
    given = TaskConfig(data="fashion", intensity="minmax")
    task = resolve_task(given, tmp_path)
    assert (task.layout, task.kind, task.classes, task.outputs) == (
        "idx",
        "classification",
        (0, 1, 2),
        3,
    )
    assert resolve_task(task, tmp_path) == task
    cases = load_task(task, tmp_path)
    assert [case.label.tolist() for case in cases] == [[0], [1], [2], [1], [0]]
    with pytest.raises(ConfigError, match=r"have a class each, so sample must be slice and foregr"):
        resolve_task(given.model_copy(update={"sample": "volume"}), tmp_path)


@pytest.mark.parametrize("name", ["lv", "lv/manifest.csv"])
def test_a_manifest_and_a_folder_are_found_alike(name: str, tmp_path: Path) -> None:
    make_folder(tmp_path / "lv")
    for part in ("images", "labels"):
        array = np.eye(8, dtype=np.uint8)[None]
        write_volume(tmp_path / "lv" / part / "a.nrrd", Volume(array, (1.0, 1.0, 1.0)))
    table = "id,image,label\nx,images/a.nrrd,labels/a.nrrd\n"
    (tmp_path / "lv" / "manifest.csv").write_text(table)
    task = resolve_task(TaskConfig(data=name), tmp_path)
    assert task.layout == "manifest"
    assert [case.id for case in load_task(task, tmp_path)] == ["x"]


def test_prepared_cases_are_kept_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NORMSEARCH_CACHE", str(tmp_path / "cache"))
    make_folder(tmp_path / "lv")
    for part in ("images", "labels"):
        array = np.eye(8, dtype=np.uint8)[None]
        write_volume(tmp_path / "lv" / part / "a.nrrd", Volume(array, (1.0, 1.0, 1.0)))
    first = load_task(TaskConfig(data="lv"), tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache/cases").rglob("*")}
    assert fingerprint(load_task(TaskConfig(data="lv"), tmp_path)) == fingerprint(first)
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache/cases").rglob("*.b2nd")}
    assert len(after) == 2
    assert after.items() <= stamps.items()


def test_the_phantom_is_made_once_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NORMSEARCH_CACHE", str(tmp_path))
    task = TaskConfig(
        data="phantom",
        phantom=PhantomConfig(size=32, subjects=3),
        intensity=(-300, 700),
        test_folds=("3",),
        validation_folds=("2",),
    )
    folder = data_folder(task, Path("/nowhere"))
    assert folder == tmp_path / "phantom-32-3-0"
    stamps = {path: path.stat().st_mtime_ns for path in folder.rglob("*.nrrd")}
    cases = load_task(task, None)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.nrrd")} == stamps
    split = split_task(task, cases)
    assert [
        [case.fold for case in part] for part in (split.train, split.validation, split.test)
    ] == [
        ["1"],
        ["2"],
        ["3"],
    ]


def test_the_task_says_how_to_split() -> None:
    task = TaskConfig(data="x", validation_fraction=0.5, split_seed=3)
    split = split_task(task, CASES)
    assert (len(split.train), len(split.validation), len(split.test)) == (2, 2, 0)
    others = {
        tuple(
            case.id for case in split_task(TaskConfig(data="x", split_seed=seed), CASES).validation
        )
        for seed in range(8)
    }
    assert len(others) > 1


def write_masks(root: Path, masks: dict[str, np.ndarray]) -> Path:
    for name, mask in masks.items():
        image = np.arange(mask.size, dtype=np.int16).reshape(mask.shape)
        write_volume(root / "images" / f"{name}.nrrd", Volume(image, (1.0, 1.0, 1.0)))
        write_volume(root / "labels" / f"{name}.nrrd", Volume(mask, (1.0, 1.0, 1.0)))
    return root


def test_splits_with_lists_are_tested_in_turn(tmp_path: Path) -> None:
    mask = np.zeros((1, 16, 16), np.uint8)
    mask[:, 4:8, 4:8] = 1
    root = write_masks(tmp_path / "d", dict.fromkeys("abcd", mask))
    splits = [{"train": ["b", "c"], "val": ["a"]}, {"train": ["a"], "val": ["b"]}]
    (root / "splits_final.json").write_text(json.dumps(splits))
    task = TaskConfig(data=str(root), size=(16, 16))
    assert task_folds(task, None) == ("0", "1")
    with pytest.warns(UserWarning, match="d in neither list of splits? 0"):
        cases = load_task(task, None)
    parts = {}
    for fold in ("0", "1"):
        turn = task.model_copy(update={"validation": "test", "test_folds": (fold,)})
        split = split_task(turn, cases)
        parts[fold] = [[case.id for case in part] for part in (split.train, split.validation)]
    assert parts == {"0": [["b", "c"], ["a"]], "1": [["a"], ["b"]]}
    splits[1]["val"] = ["a", "b"]
    splits[1]["train"] = ["c"]
    (root / "splits_final.json").write_text(json.dumps(splits))
    with pytest.raises(DataError, match=r"each case in one fold at most .* got a in several"):
        task_folds(task, None)


def test_a_task_may_ignore_values(tmp_path: Path) -> None:
    mask = np.zeros((1, 16, 16), np.uint8)
    mask[:, 4:8, 4:8], mask[:, 12:] = 1, 7
    root = write_masks(tmp_path / "d", {"a": mask, "b": mask})
    for case in load_task(TaskConfig(data=str(root), ignore=(7,)), None):
        np.testing.assert_array_equal(case.label, np.where(mask == 7, 255, mask))
    with pytest.raises(ValueError, match="ignore must not share label values with foreground"):
        TaskConfig(data=str(root), ignore=(7,), foreground=(1, 7))


def test_smeared_masks_are_one_warning_of_a_study(tmp_path: Path) -> None:
    ramp = np.clip(np.add.outer(np.arange(40), np.arange(40)) * 4 - 60, 0, 255)
    root = write_masks(tmp_path / "d", dict.fromkeys("abc", ramp.astype(np.uint8)[None]))
    for _ in range(2):  # the second time from the cache
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            load_task(TaskConfig(data=str(root)), None)
        (told,) = [
            str(one.message)
            for one in caught
            if "only the values of its classes" in str(one.message)
        ]
        assert "threshold the mask" in told
        assert "and 2 like it" in told
