"""Settings that are measured on the cases of a task, and on which of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from normsearch.config import ForegroundIntensities, TaskConfig
from normsearch.data import Case, Volume, write_volume
from normsearch.errors import ConfigError, DataError
from normsearch.trials.measured_task import measure_task, preparation_text, with_recorded
from normsearch.trials.task import load_task, resolve_task

SPACINGS = {"a": (2.0, 1.0, 1.0), "b": (3.0, 0.8, 1.0), "c": (4.0, 0.9, 1.5), "d": (9.0, 9.0, 9.0)}


def write(root: Path, spacings: dict[str, tuple[float, ...]] = SPACINGS) -> Path:
    """Cases of folds 0, 1, ..., whose foreground has the values 100 + 100 times their number."""
    rows = ["id,fold"]
    for number, (name, spacing) in enumerate(spacings.items()):
        label = np.zeros((4, 12, 12), np.uint8)
        label[1:3, 3:9, 3:9] = 1
        noise = np.random.default_rng(number).normal(0, 5, label.shape)
        image = (100.0 * (number + 1) * label + noise).astype(np.float32)
        for part, array in (("images", image), ("labels", label)):
            write_volume(root / part / f"{name}.nrrd", Volume(array, spacing))
        rows.append(f"{name},{number}")
    (root / "folds.csv").write_text("\n".join(rows) + "\n")
    return root


def task(root: Path, **settings: Any) -> TaskConfig:
    folds = {"test_folds": ("3",), "validation_folds": ("2",)}
    return TaskConfig(**{"data": str(root), "sample": "volume", **folds, **settings})


def foreground(root: Path, *names: str) -> np.ndarray:
    (*cases,) = load_task(TaskConfig(data=str(root), intensity=(0.0, 1e3)), None)
    return np.concatenate([c.image[:, 0][c.label > 0] * 1e3 for c in cases if c.id in names])


def test_the_median_spacing_is_of_all_cases_but_the_test_cases(tmp_path: Path) -> None:
    found = measure_task(task(write(tmp_path), spacing="median"), None)
    assert found.spacing == (3.0, 0.9, 1.0)
    assert found.unmeasured == ()
    assert measure_task(found, None) is found  # measured once


def test_samples_of_slices_keep_the_slices(tmp_path: Path) -> None:
    found = measure_task(task(write(tmp_path), sample="slice", spacing="median"), None)
    assert found.spacing == (0.9, 1.0)


def test_ct_is_measured_on_training_cases_alone(tmp_path: Path) -> None:
    root = write(tmp_path)
    found = measure_task(task(root, intensity="ct"), None)
    assert found.foreground_intensities is not None
    (row,) = found.foreground_intensities
    values = foreground(root, "a", "b")  # c is validated on, d tested
    assert row.mean == pytest.approx(values.mean(), abs=1.5)
    assert row.std == pytest.approx(values.std(), abs=1.5)
    ends = np.percentile(values, (0.5, 99.5))
    assert (row.percentile_00_5, row.percentile_99_5) == pytest.approx(ends, abs=5)
    assert measure_task(task(root, intensity="ct"), None) == found


def test_both_are_measured_together(tmp_path: Path) -> None:
    root = write(tmp_path)
    both = measure_task(task(root, spacing="median", intensity="ct"), None)
    assert both.spacing == (3.0, 0.9, 1.0)
    assert (
        both.foreground_intensities
        == measure_task(task(root, intensity="ct"), None).foreground_intensities
    )


def test_a_test_on_the_test_folds_measures_none_of_them(tmp_path: Path) -> None:
    arms = task(write(tmp_path), spacing="median", intensity="ct", validation="test",
                validation_folds=None)  # fmt: skip
    found = measure_task(arms, None)
    assert found.spacing == (3.0, 0.9, 1.0)
    assert found.foreground_intensities is not None
    assert 195 < found.foreground_intensities[0].mean < 205  # of a, b and c


def test_no_case_of_folds_in_turn_is_measured(tmp_path: Path) -> None:
    arms = task(write(tmp_path), spacing="median", intensity="ct", validation="test",
                validation_folds=None, test_folds=())  # fmt: skip
    found = measure_task(arms, None, in_turn=("2", "3"))
    assert found.spacing == (2.5, 0.9, 1.0)
    assert found.foreground_intensities is not None
    assert 145 < found.foreground_intensities[0].mean < 155
    with pytest.raises(DataError, match=r"test folds 0, 1, 2, 3 to measure spacing: median and in"):
        measure_task(arms, None, in_turn=tuple("0123"))


def test_a_data_set_in_memory_is_measured_alike(tmp_path: Path) -> None:
    root = write(tmp_path)
    given = task(root, spacing="median", intensity="ct")
    items = [
        {"image": root / "images" / f"{name}.nrrd", "label": root / "labels" / f"{name}.nrrd",
         "fold": str(number) }
        for number, name in enumerate(SPACINGS)
    ]  # fmt: skip
    found = measure_task(given, None, items)
    assert found == measure_task(given, None)
    assert [case.id for case in load_task(found, None, items)] == [*SPACINGS]


def test_prepared_cases_cannot_be_measured_or_resampled() -> None:
    case = Case("x", "x", "", np.zeros((1, 1, 4, 4), np.float32), np.zeros((1, 4, 4), np.uint8),
                (1.0, 1.0, 1.0))  # fmt: skip
    for settings in ({"spacing": "median"}, {"intensity": "ct"}):
        with pytest.raises(DataError, match=r"data\[0\]: must be stored values .* got the prepar"):
            measure_task(TaskConfig(data="memory", **settings), None, [case])
    with pytest.raises(DataError, match=r"data\[0\]: must be stored values"):
        load_task(TaskConfig(data="memory", spacing=(1.0, 1.0)), None, [case])


def test_a_case_of_unknown_spacing_is_named(tmp_path: Path) -> None:
    unknown = (float("nan"),) * 3
    root = write(tmp_path, {**SPACINGS, "b": unknown, "d": unknown})
    with pytest.raises(DataError, match=r"task\.spacing: median, and it is unknown in b; add it"):
        measure_task(task(root, spacing="median"), None)
    flat = measure_task(task(root, spacing="median", test_folds=("1", "3")), None)
    assert flat.spacing == (3.0, 0.95, 1.25)


def test_slices_of_unknown_distance_are_no_matter_to_samples_of_slices(tmp_path: Path) -> None:
    nan = float("nan")
    root = write(tmp_path, {name: (nan, *step[1:]) for name, step in SPACINGS.items()})
    found = measure_task(task(root, sample="slice", spacing="median"), None)
    assert found.spacing == (0.9, 1.0)


def test_faults_of_all_cases_are_told(tmp_path: Path) -> None:
    root = write(tmp_path)
    for name in "ad":  # one to train on, and one that is not measured
        write_volume(
            root / "images" / f"{name}.nrrd", Volume(np.full((4, 12, 12), np.nan), (1.0,) * 3)
        )
    with pytest.raises(DataError) as info:
        measure_task(task(root, spacing="median"), None)
    for name in "ad":
        assert f"{name}.nrrd: must have finite voxels alone" in str(info.value)


def test_training_cases_without_foreground(tmp_path: Path) -> None:
    root = write(tmp_path)
    for name in "ab":
        write_volume(
            root / "labels" / f"{name}.nrrd",
            Volume(np.zeros((4, 12, 12), np.uint8), SPACINGS[name]),
        )
    with pytest.raises(DataError, match=r"must have foreground for task\.intensity: ct, got none"):
        measure_task(task(root, intensity="ct"), None)


def test_a_run_that_goes_on_has_the_numbers_it_began_with(tmp_path: Path) -> None:
    root = write(tmp_path)
    given = task(root, spacing="median", intensity="ct")
    recorded = measure_task(resolve_task(given, None), None)
    assert with_recorded(given, recorded) == recorded
    other = given.model_copy(update={"spacing": (1.0, 1.0, 1.0), "layout": "folders"})
    assert with_recorded(other, recorded).spacing == (1.0, 1.0, 1.0)
    assert with_recorded(recorded, given) == recorded


def test_numbers_come_back_from_a_file(tmp_path: Path) -> None:
    found = measure_task(task(write(tmp_path), spacing="median", intensity="ct"), None)
    assert TaskConfig.model_validate(json.loads(found.model_dump_json())) == found


def test_images_with_a_class_are_not_resampled(tmp_path: Path) -> None:
    from tests.trials.test_task import write_fashion

    write_fashion(tmp_path / "fashion")
    given = TaskConfig(data="fashion", intensity="minmax", spacing="median")
    with pytest.raises(ConfigError, match="spacing and intensity ct left out"):
        resolve_task(given, tmp_path)


def test_what_is_done_to_the_cases_is_told(tmp_path: Path) -> None:
    measured = measure_task(task(write(tmp_path), spacing="median", intensity="ct"), None)
    assert measured.foreground_intensities is not None
    row = measured.foreground_intensities[0]
    resampled, ct = preparation_text(measured, load_task(measured, None))
    assert resampled == "4 cases resampled to 3.0 x 0.9 x 1.0 mm"
    assert ct == (
        f"intensities clipped to {row.percentile_00_5:g} to {row.percentile_99_5:g}, then less "
        f"{row.mean:.4g}, divided by {row.std:.4g} (foreground of training cases)"
    )
    one = task(tmp_path, sample="slice", spacing=(1.0, 1.0))
    assert preparation_text(one, load_task(one, None)) == [
        "3 of 4 cases resampled to 1.0 x 1.0 mm within slices"
    ]
    same = task(tmp_path, sample="slice", spacing=(1.0, 1.0))
    there = [case for case in load_task(same, None) if case.id == "a"]
    assert preparation_text(same, there) == ["1 case already at 1.0 x 1.0 mm within slices"]
    assert preparation_text(task(tmp_path), []) == []


def test_two_channels_are_told_apart() -> None:
    rows = [ForegroundIntensities(percentile_00_5=0, percentile_99_5=9, mean=4, std=2)] * 2
    found = preparation_text(TaskConfig(data="x", intensity="ct", foreground_intensities=rows), [])
    assert [text.split(" clipped")[0] for text in found] == [
        "intensities of channel 0", "intensities of channel 1"
    ]  # fmt: skip
