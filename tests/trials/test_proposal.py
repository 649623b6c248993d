"""What is proposed for data sets of each kind, from what `inspect` saw of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from normsearch.config import StudyConfig
from normsearch.config.reading import validate
from normsearch.data import CaseFiles, DataSet, Report
from normsearch.data.cases import SplitLists
from normsearch.data.validate import Look
from normsearch.errors import DataError
from normsearch.trials.proposal import nested, propose, sample_kind

ANISOTROPIC = {"shape": (12, 256, 256), "spacing": (8.0, 1.4, 1.4)}


def report(
    *,
    cases: int = 5,
    shape: tuple[int, ...] = (36, 50, 35),
    spacing: tuple[float, ...] = (1.0, 1.0, 1.0),
    intensity: tuple[float, float] = (0.0, 900.0),
    channels: int = 1,
    values: tuple[int, ...] = (1,),
    filled: float = 1.0,
    folds: tuple[str, ...] = (),
    kind: Any = "segmentation",
    lists: SplitLists | None = None,
    regions: dict[str, tuple[int, ...]] | None = None,
    channel_names: tuple[str, ...] = (),
) -> Report:
    """Return the report of a made-up data set of equal cases, one subject each."""
    names = [f"c{number}" for number in range(cases)]
    files = [
        CaseFiles(name, name, folds[n % len(folds)] if folds else "", (Path(name),), Path(name),
                  lists=lists)
        for n, name in enumerate(names)
    ]  # fmt: skip
    voxels = {0: 1000, **dict.fromkeys(values, 50)}
    looks = [Look(name, shape, channels, spacing, intensity, voxels, filled) for name in names]
    layout = "idx" if kind == "classification" else "folders"
    data_set = DataSet(
        Path("d"), layout, kind, files, [], {}, regions=regions or {}, channel_names=channel_names
    )
    return Report(data_set, looks, [])


def settings(found: Report, **how: Any) -> dict[str, Any]:
    lines = propose(found, "study", "d", **how)
    assert all(line.reason for line in lines if line.key not in ("name", "task.size"))
    return nested(lines)


def test_isotropic_volumes_are_cut_into_patches_of_volumes() -> None:
    found = settings(report(values=(1, 2)))
    assert found["task"]["sample"] == "patch"
    assert found["task"]["spacing"] == "median"
    assert found["task"]["classes"] == [1, 2]
    channels = {"channels": [16, 32, 64, 128], "strides": [2, 2, 2]}
    assert found["network"] == {
        "name": "monai.networks.nets:UNet",
        "arguments": {"spatial_dims": 3, **channels, "num_res_units": 2},
    }
    assert found["task"]["augmentation"] == "light"
    assert found["training"]["loss"] == "dice_cross_entropy"
    assert found["training"]["optimizer"] == "adamw"
    assert found["training"]["samples"] == 2400
    assert found["space"]["batch_size"] == {"choices": [2], "default": 2}


@pytest.mark.parametrize(
    ("shape", "spacing", "reason"),
    [
        ((12, 256, 256), (8.0, 1.4, 1.4), "12 of them are few beside sides of 256 pixels"),
        ((20, 64, 64), (1.0, 1.0, 1.0), "20 of them are few beside sides of 64 pixels"),
        ((60, 64, 64), (4.0, 1.0, 1.0), "voxels of 4.0 x 1.0 x 1.0 mm are anisotropic"),
        ((1, 64, 64), (float("nan"), 1.0, 1.0), "the median image has 1 slice alone"),
    ],
)
def test_anisotropic_and_single_slices_are_cut_in_plane(
    shape: tuple[int, ...], spacing: tuple[float, ...], reason: str
) -> None:
    given = report(shape=shape, spacing=spacing)
    assert sample_kind(given).reason == f"slices, as {reason}"
    found = settings(given)
    assert found["network"]["name"] == "unet2d"
    assert found["training"]["loss"] == "bce_dice"
    assert found["space"]["batch_size"]["choices"] == [2, 4, 8]


def test_three_times_as_coarse_is_still_roughly_isotropic() -> None:
    assert sample_kind(report(shape=(40, 60, 60), spacing=(3.0, 1.0, 1.0))).axes == 3
    assert sample_kind(report(shape=(20, 60, 60))).axes == 3
    assert sample_kind(report(shape=(19, 60, 60))).axes == 2


def test_sides_are_of_the_median_spacing() -> None:
    """The median spacing is 2 mm, at which 40 voxels of 1 mm are 20."""
    coarse, fine = report(shape=(40, 40, 40), spacing=(2.0,) * 3), report(shape=(40, 40, 40))
    both = Report(coarse.data_set, [*coarse.looks[:3], *fine.looks[:2]], [])
    kind = sample_kind(both)
    assert kind.spacing == (2.0, 2.0, 2.0)
    assert kind.sides == (40.0, 40.0, 40.0)
    most_fine = Report(coarse.data_set, [*coarse.looks[:1], *fine.looks[:2]], [])
    assert sample_kind(most_fine).sides == (40.0, 40.0, 40.0)
    assert sample_kind(most_fine).spacing == (1.0, 1.0, 1.0)


def test_an_unknown_spacing_is_not_resampled() -> None:
    found = settings(report(spacing=(float("nan"), 1.0, 1.0)))
    assert found["task"]["spacing"] == "none"


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"intensity": (-1024.0, 1900.0)}, "ct"),
        ({"intensity": (-1024.0, 1900.0), "channels": 2}, "zscore"),
        ({"intensity": (-1024.0, 100.0)}, "zscore"),
        ({"intensity": (0.0, 1900.0)}, "zscore"),
        ({"intensity": (0.0, 1900.0), "filled": 0.74}, "zscore_body"),
        ({"intensity": (0.0, 255.0)}, "percentile"),
    ],
)
def test_intensity(given: dict[str, Any], rule: str) -> None:
    assert settings(report(**given))["task"]["intensity"] == rule


@pytest.mark.parametrize(
    ("given", "split"),
    [
        ({"cases": 12}, {"folds": 5, "test_folds": ["5"], "validation_folds": ["4"]}),
        ({"cases": 3}, {"folds": 3, "test_folds": ["3"], "validation_folds": ["2"]}),
        ({"cases": 2}, {"validation_fraction": 0.5}),
        ({"cases": 1}, {"validation": "training"}),
        ({"folds": ("a", "b", "c")}, {"test_folds": ["c"], "validation_folds": ["b"]}),
        ({"folds": ("test", "train")}, {"test_folds": ["test"], "validation_fraction": 0.25}),
        (
            {"folds": ("test", "train", "val")},
            {"test_folds": ["test"], "validation_folds": ["val"]},
        ),
        ({"folds": ("1",)}, {"validation_fraction": 0.25}),
    ],
)
def test_split(given: dict[str, Any], split: dict[str, Any]) -> None:
    task = settings(report(**given))["task"]
    keys = ("folds", "test_folds", "validation_folds", "validation", "validation_fraction")
    assert {key: task[key] for key in keys if key in task} == split


def test_each_fold_that_is_made_gets_a_subject_with_foreground() -> None:
    found = report(cases=6)
    found.looks[1::2] = [replace(look, voxels={0: 1000}) for look in found.looks[1::2]]
    assert settings(found)["task"]["folds"] == 3


def test_a_channel_named_ct_is_normalized_as_such_whatever_its_values() -> None:
    assert settings(report(channel_names=("CT",)))["task"]["intensity"] == "ct"
    assert settings(report(channel_names=("MRI",)))["task"]["intensity"] == "zscore"


def test_regions_are_no_names_of_label_values() -> None:
    found = report(values=(1, 2), regions={"whole": (1, 2), "core": (2,)})
    found.names.update({1: "whole", 2: "whole, core"})
    told = {line.key: line.reason for line in propose(found, "study", "d")}["task.classes"]
    assert told.startswith("separate classes: 1, 2; the regions of dataset.json overlap")


@pytest.mark.parametrize(("side", "depth"), [(64, 3), (35, 3), (31, 2), (16, 2), (15, 1), (3, 1)])
def test_depth_leaves_four_voxels_at_the_bottom(side: int, depth: int) -> None:
    network = settings(report(shape=(side, side, side)))["network"]
    strides = network.get("arguments", {}).get("strides", [])
    assert network.get("depth", len(strides)) == depth  # 2D below 8 slices


def test_images_with_a_class_each() -> None:
    found = settings(
        report(kind="classification", shape=(1, 28, 28), folds=("test", "train"), values=(0, 1),
               intensity=(0.0, 255.0))
    )  # fmt: skip
    assert found["task"]["sample"] == "slice"
    assert not {"size", "spacing", "classes"} & found["task"].keys()
    assert found["network"]["name"] == "classifier"
    assert found["task"]["augmentation"] == "none"
    assert found["training"]["loss"] == "cross_entropy"


def test_a_gpu_is_used_where_there_is_one() -> None:
    assert settings(report(), gpu=True)["search"]["resources"] == {"gpu": 1}
    assert "resources" not in settings(report())["search"]


@pytest.mark.parametrize("given", [{}, {"cases": 1}, ANISOTROPIC, {"values": (1, 2, 7)}])
def test_the_settings_are_a_study(given: dict[str, Any]) -> None:
    validate(StudyConfig, settings(report(**given)), "proposed")


def test_labels_without_foreground_are_refused() -> None:
    with pytest.raises(DataError, match="d: labels must hold foreground, got 0 alone"):
        settings(report(values=()))


def test_a_data_set_without_cases_is_refused() -> None:
    empty = Report(report().data_set, [], [])
    with pytest.raises(DataError, match="d: must hold at least one case"):
        settings(empty)
