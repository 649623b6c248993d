"""The score of a validation case is the Dice of the mask that predict writes for its files."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk
import torch

from normsearch.config import TrialConfig
from normsearch.data import write_volume
from normsearch.training import load_checkpoint
from normsearch.trials.measured_task import measure_task
from normsearch.trials.model import rebuild
from normsearch.trials.prediction import predict_files
from normsearch.trials.task import load_task, sample_shape, split_task, training_geometry
from normsearch.trials.training import train_trial

NETWORKS = {
    "slice": {"name": "unet2d", "first_channels": 4, "depth": 1},
    "stack": {"name": "unet2d", "first_channels": 4, "depth": 1},
    "slab": {"name": "res_unet3d", "first_channels": 4, "depth": 1},
    "volume": {"name": "res_unet3d", "first_channels": 4, "depth": 1},
}
SIDES = [(8, 20, 24), (8, 14, 30), (10, 20, 12), (6, 24, 24)]  # larger and smaller than a sample


def make_data(folder: Path) -> None:
    """Four subjects whose label 2, at the edge, is cut off by a crop to 16 x 16."""
    for number, sides in enumerate(SIDES):
        random = np.random.default_rng(number)
        label = np.zeros(sides, np.uint8)
        label[2:6, 5:11, 5:9] = 1
        label[:, :3, :] = 2
        image = random.normal(0, 5, sides) + 100 * (label == 1) + 200 * (label == 2)
        for kind, array in (("images", image.astype(np.float32)), ("labels", label)):
            path = folder / kind / f"c{number}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(array.T, np.diag([-1.0, -1, 1, 1])), path)


def trial(folder: Path, kind: str, /, **task: Any) -> TrialConfig:
    whole = {"data": str(folder), "sample": kind, "intensity": "minmax",
             "validation_fraction": 0.7, **({"depth": 4} if kind == "slab" else {})}  # fmt: skip
    return TrialConfig.model_validate(
        {
            "study": "s", "number": 0, "task": {**whole, **task}, "network": NETWORKS[kind],
            "training": {"samples": 16, "evaluations": 1, "schedule": "constant"},
            "norm_map": {"*": "IN"}, "learning_rate": 0.05, "batch_size": 2,
        }
    )  # fmt: skip


def dice(mask: npt.NDArray[Any], truth: npt.NDArray[Any], value: int) -> float:
    overlap = 2 * ((mask == value) & (truth == value)).sum()
    return float(overlap / ((mask == value).sum() + (truth == value).sum()))


def scored_by_anybody(
    config: TrialConfig, folder: Path, work: Path, truths: dict[int, list[int]]
) -> None:
    """Train, predict each validation file, and compare the Dice with the reported ones.

    `truths` are the label values that stand for each value of a mask.
    """
    split = split_task(config.task, load_task(config.task, None))
    (record,) = train_trial(config, split, work)
    shape = sample_shape(config.task, split.train)
    state = load_checkpoint(work / "checkpoint.pt")
    assert state is not None
    config = config.model_copy(update={"sample_shape": shape})
    network = rebuild(config, state["network"], work)
    assert len(split.validation) >= 2
    for case in split.validation:
        made = predict_files(
            network, (folder / "images" / f"{case.id}.nii.gz",), config.task, shape
        )
        assert made.mask is not None
        write_volume(work / "mask.nii.gz", made.mask)
        mask = np.asarray(nibabel.load(work / "mask.nii.gz").dataobj)
        label = np.asarray(nibabel.load(folder / "labels" / f"{case.id}.nii.gz").dataobj)
        assert mask.shape == label.shape
        merged = np.full(label.shape, 255)
        for value, values in truths.items():
            merged[np.isin(label, values)] = value
        found = np.mean([dice(mask, merged, value) for value in truths])
        assert record["cases"][case.id] == pytest.approx(found, abs=1e-6)


@pytest.mark.parametrize("sample", ["slice", "stack", "slab", "volume"])
@pytest.mark.parametrize("fit", ["pad", "resize"])
def test_the_reported_score_is_that_of_the_files(sample: str, fit: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    make_data(tmp_path / "d")
    size = [4, 16, 16] if sample == "volume" else [16, 16]
    config = trial(tmp_path / "d", sample, size=size, fit=fit, classes=[1, 2])
    scored_by_anybody(config, tmp_path / "d", tmp_path, {1: [1], 2: [2]})


@pytest.mark.parametrize(
    ("task", "truths"),
    [
        ({}, {1: [1, 2]}),
        ({"foreground": [0]}, {1: [0]}),
        ({"classes": [0, 2]}, {0: [0], 2: [2]}),  # background, the value 1 here, is 1 in masks
    ],
)
def test_foreground_and_classes_of_any_value(
    task: dict[str, Any], truths: dict[int, list[int]], tmp_path: Path
) -> None:
    make_data(tmp_path / "d")
    config = trial(tmp_path / "d", "slice", size=[16, 16], fit="pad", **task)
    scored_by_anybody(config, tmp_path / "d", tmp_path, truths)


def turned_data(folder: Path) -> None:
    """Four subjects of unlike spacings, sides and stored orders of axes."""
    steps = [(2.0, 0.8, 1.1), (3.0, 1.0, 1.0), (2.5, 0.9, 0.7), (2.2, 1.2, 0.9)]
    # Of a voxel's step along each stored axis (x, y, z of a NIfTI file), the axis and the sign.
    turns = [((0, 1, 2), (1, 1, 1)), ((2, 0, 1), (-1, 1, -1)),
             ((1, 2, 0), (1, -1, 1)), ((0, 2, 1), (-1, -1, 1))]  # fmt: skip
    for number, (spacing, (order, signs)) in enumerate(zip(steps, turns, strict=True)):
        random = np.random.default_rng(number)
        sides = [round(length / step) for length, step in zip((20, 18, 20), spacing, strict=True)]
        z, y, x = np.meshgrid(
            *(np.arange(n) * s for n, s in zip(sides, spacing, strict=True)), indexing="ij"
        )
        label = np.zeros(sides, np.uint8)
        label[(z - 9) ** 2 + (y - 7 - number) ** 2 + (x - 8) ** 2 < 25] = 1
        label[:, :3] = 2
        image = random.normal(0, 5, sides) + 100 * (label == 1) + 200 * (label == 2)
        for kind, array in (("images", image.astype(np.float32)), ("labels", label)):
            affine = np.zeros((4, 4))
            for axis, (source, sign) in enumerate(zip(order, signs, strict=True)):
                affine[source, axis] = sign * spacing[::-1][source]
            affine[3, 3] = 1
            stored = array.T.transpose(order)
            for axis, sign in enumerate(signs):
                stored = stored if sign > 0 else np.flip(stored, axis)
            path = folder / kind / f"c{number}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(stored), affine), path)


def itk_dice(mask: Path, truth: Path, value: int) -> float:
    """Return the Dice of SimpleITK for two files, on the grid of the truth's file."""
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    made, known = (sitk.ReadImage(str(path), sitk.sitkUInt8) for path in (mask, truth))
    for one, other in zip(
        (made.GetDirection(), made.GetOrigin(), made.GetSpacing(), made.GetSize()),
        (known.GetDirection(), known.GetOrigin(), known.GetSpacing(), known.GetSize()),
        strict=True,
    ):
        assert one == pytest.approx(other, abs=1e-5)
    overlap.Execute(known, made)
    return float(overlap.GetDiceCoefficient(value))


@pytest.mark.parametrize(
    ("sample", "task"),
    [
        ("slice", {"spacing": "median", "size": [24, 24], "fit": "pad"}),
        ("slice", {"spacing": [2.0, 1.5, 1.5], "size": [16, 16], "fit": "pad"}),
        ("stack", {"spacing": [0.7, 1.3], "size": [16, 16], "fit": "pad"}),
        ("slab", {"spacing": [4.0, 1.0, 1.0], "size": [16, 16], "fit": "pad"}),
        ("volume", {"spacing": "median", "size": [8, 16, 16], "fit": "pad"}),
        ("volume", {"spacing": [5.0, 1.0, 1.0], "size": [4, 24, 24], "fit": "pad",
                    "intensity": "ct"}),
    ],
)  # fmt: skip
def test_simpleitk_finds_the_reported_score_in_masks_of_resampled_images(
    sample: str, task: dict[str, Any], tmp_path: Path
) -> None:
    turned_data(tmp_path / "d")
    config = trial(tmp_path / "d", sample, classes=[1, 2], **task)
    samples = 200 if sample in ("slice", "stack") else 60
    training = config.training.changed({"samples": samples})
    update = {"task": measure_task(config.task, None), "training": training, "learning_rate": 0.2}
    config = config.model_copy(update=update)
    cases = load_task(config.task, None)
    split = split_task(config.task, cases)
    (record,) = train_trial(config, split, tmp_path / "t")
    state = load_checkpoint(tmp_path / "t" / "checkpoint.pt")
    assert state is not None
    shape = sample_shape(config.task, split.train)
    network = rebuild(config.model_copy(update={"sample_shape": shape}), state["network"], tmp_path)
    assert any(case.own_label is not None for case in split.validation)
    for case in split.validation:
        image = tmp_path / "d" / "images" / f"{case.id}.nii.gz"
        made = predict_files(
            network, (image,), config.task, shape,
            geometry=training_geometry(split.train), any_spacing=sample == "stack",
        ).mask  # fmt: skip
        assert made is not None
        write_volume(tmp_path / "mask.nii.gz", made)
        truth = tmp_path / "d" / "labels" / f"{case.id}.nii.gz"
        found = [itk_dice(tmp_path / "mask.nii.gz", truth, value) for value in (1, 2)]
        assert record["cases"][case.id] == pytest.approx(np.mean(found), abs=1e-6)
    assert max(record["cases"].values()) > 0.1  # there is something to compare


@pytest.mark.parametrize(("network", "size"), [("slice", [16, 16]), ("volume", [4, 16, 16])])
def test_patches_are_put_together_to_the_mask_that_is_scored(
    network: str, size: list[int], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    make_data(tmp_path / "d")
    config = trial(tmp_path / "d", network, sample="patch", size=size, classes=[1, 2])
    scored_by_anybody(config, tmp_path / "d", tmp_path, {1: [1], 2: [2]})
