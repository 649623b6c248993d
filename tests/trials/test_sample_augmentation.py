"""The augmentation of a task: presets on its samples, the try before a run, and pictures."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from normsearch.config import (
    NetworkConfig,
    StudyConfig,
    TaskConfig,
    TrainingConfig,
    TrialConfig,
)
from normsearch.config.reading import validate
from normsearch.data import Augmentation, Case, SampleLoader
from normsearch.errors import ConfigError, DataError
from normsearch.labels import IGNORED
from normsearch.trials.sample_augmentation import (
    augmentation_of,
    pictures,
    try_transforms,
    write_pictures,
)
from normsearch.trials.training import training_loader


def make_case(
    name: str, sides: tuple[int, int, int] = (6, 16, 16), step: float = 1.0, channels: int = 1
) -> Case:
    random = np.random.default_rng(sum(map(ord, name)))
    label = np.zeros(sides, np.uint8)
    label[2:4, 4:9, 5:12], label[0] = 1, IGNORED
    image = random.normal(size=(sides[0], channels, *sides[1:])).astype(np.float32)
    return Case(name, name, "", image + label[:, None] % 2, label, (step, 1.0, 1.0))


CASES = [make_case("a"), make_case("b"), make_case("c")]


def task(augmentation: object, **given: Any) -> TaskConfig:
    return TaskConfig.model_validate({"data": "d", "augmentation": augmentation, **given})


def mirrored(found: Augmentation) -> list[str]:
    listed = [one for one in found.transforms if not isinstance(one, str)]
    return [axis for one in listed if one.name == "mirroring" for axis in one.axes]


@pytest.mark.parametrize(
    ("given", "axes"),
    [
        ({}, []),  # slices turn by 180 degrees
        ({"plane": "coronal"}, []),
        ({"plane": "sagittal"}, ["y", "x"]),
        ({"sample": "volume"}, ["z", "y"]),
        ({"sample": "volume", "plane": "sagittal"}, ["y", "x"]),
    ],
)
def test_a_preset_does_not_mirror_left_to_right(given: dict[str, Any], axes: list[str]) -> None:
    assert mirrored(augmentation_of(task("nnunet", **given), CASES, 0)) == axes
    asked = {"preset": "nnunet", "mirror": ["x"]}
    assert mirrored(augmentation_of(task(asked, **given), CASES, 0)) == ["x"]


@pytest.mark.parametrize(
    ("sample", "step", "in_plane"),
    [("slice", 9.0, False), ("volume", 1.0, False), ("volume", 9.0, True), ("slab", 1.0, False)],
)
def test_far_slices_change_in_plane(sample: str, step: float, in_plane: bool) -> None:
    cases = [make_case("a", step=step), make_case("b", step=step)]
    found = augmentation_of(task("nnunet", sample=sample), cases, 3)
    assert (found.in_plane, found.seed) == (in_plane, 3)


def test_the_users_list_follows_the_preset() -> None:
    given = {"preset": "nnunet", "transforms": ["cutout"]}
    found = augmentation_of(task(given), CASES, 0).transforms
    of_preset = augmentation_of(task("nnunet"), CASES, 0).transforms
    assert found[:-1] == of_preset
    assert getattr(found[-1], "name", None) == "cutout"


def test_slices_of_a_stack_change_alike() -> None:
    cases = [make_case("a", channels=2)]
    found = augmentation_of(task(["gamma"], sample="stack", depth=5), cases, 0)
    assert found.slices == 5
    images = torch.from_numpy(cases[0].image[:1]).repeat(4, 5, 1, 1)
    changed, _ = found(images, torch.zeros(4, 16, 16, dtype=torch.uint8), range(4))
    torch.testing.assert_close(changed[:, :2], changed[:, 8:])


def test_batches_of_any_size_and_a_resumed_trial_have_the_same_samples() -> None:
    changes = ["elastic", {"name": "noise", "probability": 0.5}, "monai.transforms:RandBiasField"]
    given = {"preset": "nnunet", "mirror": ["y", "x"], "transforms": changes}

    def drawn(batch_size: int, start: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        trial = TrialConfig(
            study="s", number=0, task=task(given), network=NetworkConfig(),
            training=TrainingConfig(augmentation_seed=3), norm_map={}, learning_rate=0.1,
            batch_size=batch_size,
        )  # fmt: skip
        batches = training_loader(trial, CASES).batches(start)
        found = list(islice(batches, (24 - start) // batch_size))
        return torch.cat([image for image, _ in found]), torch.cat([label for _, label in found])

    images, labels = drawn(6)
    plain = next(SampleLoader(CASES, 24, 0).batches(0))[0]
    assert 6 < (images != plain).flatten(1).any(1).sum() <= 24
    for batch_size, start in ((1, 0), (8, 0), (4, 12)):
        other = drawn(batch_size, start)
        assert torch.equal(other[0], images[start:])
        assert torch.equal(other[1], labels[start:])


def test_without_transforms_nothing_but_the_configuration_counts() -> None:
    given = {"rotation": [-60, 60, 2], "flip": ["y"], "scale": [0.9, 1.1]}
    expected = Augmentation((-60, 60, 2), ("y",), (0.9, 1.1), seed=4)
    assert augmentation_of(task(given), CASES, 4) == expected
    assert not augmentation_of(task("none"), CASES, 4).varies


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        ({"name": "monai.transforms:RandAffine"}, "moves the image alone; use .*RandAffined"),
        (
            {"name": "monai.transforms:RandGaussianNoise", "arguments": {"sigma": 1}},
            "must accept its arguments",
        ),
        ({"name": "monai.transforms:RandIntensityRemap"}, "must change a sample in the same way"),
        (
            {"name": "operator:add", "probability": 0.001},
            r"operator:add must change an image of shape \(1, 16, 16\), and says",
        ),
    ],
)  # fmt: skip
def test_transforms_are_tried_before_the_first_trial(
    transform: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=f"task.augmentation.transforms: .*{message}"):
        try_transforms(task([transform]), CASES)


def test_transforms_of_small_chance_are_tried_too() -> None:
    oblong = [make_case("a", (6, 16, 12))]  # a half turn fits, a quarter does not
    with pytest.raises(DataError, match=r"shapes it was given, \(1, 16, 12\) and \(16, 12\)"):
        try_transforms(task(["monai.transforms:RandRotate90d"]), oblong)


def test_pictures_are_samples_with_the_most_foreground(tmp_path: Path) -> None:
    config = task([{"name": "brightness", "probability": 1, "range": [2, 2]}])
    found = pictures(config, CASES, augmentation_of(config, CASES, 0))
    assert found["image"].shape == found["label"].shape == (2, 7, 16, 16)
    assert found["label"].sum(axis=(2, 3)).tolist() == [[35] * 7] * 2
    for images in found["image"]:
        for changed in images[1:]:
            np.testing.assert_array_equal(changed, images[0] * 2)


@pytest.mark.parametrize("sample", ["stack", "slab", "volume"])
def test_pictures_of_other_samples(sample: str) -> None:
    config = task("nnunet", sample=sample, classes=[1])
    found = pictures(config, CASES, augmentation_of(config, CASES, 0))
    assert found["image"].shape == found["label"].shape == (2, 7, 16, 16)
    assert found["label"][:, 0].sum(axis=(1, 2)).tolist() == [35, 35]
    assert {*np.unique(found["label"]).tolist()} == {0, 1}
    originals = {case.image[place, 0].tobytes() for case in CASES for place in range(6)}
    assert {image.tobytes() for image in found["image"][:, 0]} <= originals


def test_a_run_without_augmentation_has_no_pictures(tmp_path: Path) -> None:
    def study(augmentation: object) -> StudyConfig:
        raw = {
            "name": "s",
            "task": {"data": "d", "augmentation": augmentation},
            "space": {"norm": {"choices": ["BN"]}, "learning_rate": 0.1, "batch_size": [2]},
        }
        return validate(StudyConfig, raw, "s.yaml")

    write_pictures(tmp_path, study("none"), CASES)
    write_pictures(tmp_path, study("nnunet"), ())
    assert list(tmp_path.iterdir()) == []
    write_pictures(tmp_path, study("nnunet"), CASES)
    (path,) = tmp_path.iterdir()
    before = path.read_bytes()
    write_pictures(tmp_path, study("light"), CASES)  # a resumed run keeps its own
    assert path.read_bytes() == before
    with np.load(path) as archive:
        assert {*archive} == {"image", "label"}
