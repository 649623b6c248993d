import sys
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms.intensity.array import RandBiasField
from monai.transforms.io.array import SaveImage

from normsearch.data import Augmentation, Transform, is_random_transform
from normsearch.errors import ConfigError, DataError
from normsearch.labels import IGNORED


@pytest.fixture(autouse=True)
def module() -> Iterator[types.ModuleType]:
    """A module of the user's."""
    found = types.ModuleType("my_changes")
    sys.modules["my_changes"] = found

    class Shift:
        def __init__(self, by: float = 1.0) -> None:
            self.by = by

        def __call__(self, image: Any, label: Any, random: Any) -> Any:
            return image + self.by, label

    def add(image: Any, label: Any, random: Any, most: float = 1.0) -> Any:
        return image + most * random.random(), label

    def crop(image: Any, label: Any, random: Any) -> Any:
        return image[..., 1:], label

    for name, made in (("Shift", Shift), ("add", add), ("crop", crop)):
        setattr(found, name, made)
    yield found
    del sys.modules["my_changes"]


def batch(*sides: int, count: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(0)
    images = torch.from_numpy(random.random((count, 1, *sides), np.float32))
    labels = torch.zeros(count, *sides, dtype=torch.uint8)
    labels[:, 2:8, 3:10] = 2
    labels[:, 9:11] = IGNORED
    return images, labels


def of(name: str, **arguments: Any) -> Transform:
    return Transform(f"monai.transforms:{name}", arguments=arguments)


def test_an_intensity_of_monai_changes_the_image_alone() -> None:
    images, labels = batch(12, 14)
    noise = of("RandGaussianNoise", prob=1.0, mean=0.0, std=0.5)
    changed, same = Augmentation(transforms=(noise,), seed=3)(images, labels, range(6))
    assert type(changed) is torch.Tensor
    assert torch.equal(same, labels)
    away = changed - images
    assert 0.1 < float(away.std()) < 0.5  # MONAI draws the deviation below the given one
    assert (away.flatten(1).std(1) > 0).all()


@pytest.mark.parametrize(
    "transform",
    [
        of("RandFlipd", prob=1.0, spatial_axis=0),
        of("RandRotated", prob=1.0, range_x=0.6),
        of("RandAffined", prob=1.0, rotate_range=0.5, scale_range=0.2),
        of("Rand2DElasticd", prob=1.0, spacing=(5, 5), magnitude_range=(1, 2)),
        of("RandZoomd", prob=1.0, min_zoom=0.7, max_zoom=1.3),
        of("RandGridDistortiond", prob=1.0),
        of("RandSmoothDeformd", prob=1.0, spatial_size=(32, 32), rand_size=(4, 4), def_range=0.1),
        of("Transposed", indices=[0, 2, 1]),
    ],
    ids=lambda transform: transform.name.partition(":")[2],
)
def test_labels_of_monai_move_with_the_image_and_keep_their_values(transform: Transform) -> None:
    labels = batch(32, 32)[1]
    images = (labels == 2).float()[:, None]
    moved, marks = Augmentation(transforms=(transform,))(images, labels, range(6))
    assert {*marks.unique().tolist()} <= {0, 2, IGNORED}
    assert not torch.equal(marks, labels)
    assert ((moved[:, 0] > 0.5) == (marks == 2)).float().mean() > 0.96


def test_flips_of_monai_are_exact() -> None:
    images, labels = batch(12, 14)
    flip = of("RandFlipd", prob=1.0, spatial_axis=1)
    moved, marks = Augmentation(transforms=(flip,))(images, labels, range(6))
    assert torch.equal(moved, images.flip(-1))
    assert torch.equal(marks, labels.flip(-1))


def test_changes_depend_on_seed_and_number_alone_in_any_thread() -> None:
    images, labels = batch(12, 14, count=24)
    transforms = (of("RandBiasField", prob=0.5), of("RandAffined", prob=0.5, rotate_range=0.5),
                  "my_changes:add")  # fmt: skip
    vary = Augmentation(transforms=transforms, seed=5)
    whole = vary(images, labels, range(24))

    def one(number: int) -> tuple[torch.Tensor, torch.Tensor]:
        return vary(images[number : number + 1], labels[number : number + 1], [number])

    with ThreadPoolExecutor(8) as pool:
        for number, (image, label) in enumerate(pool.map(one, range(24))):
            assert torch.equal(image[0], whole[0][number])
            assert torch.equal(label[0], whole[1][number])
    other = Augmentation(transforms=transforms, seed=6)(images, labels, range(24))
    assert not torch.equal(other[0], whole[0])


def test_a_probability_is_drawn_before_the_transform() -> None:
    images, labels = batch(4, 4, count=400)
    shift = Transform("my_changes:Shift", 0.25, arguments={"by": 2.0})
    changed = Augmentation(transforms=(shift,))(images, labels, range(400))[0]
    shifts = (changed - images)[:, 0, 0, 0].round(decimals=4)
    assert {*shifts.tolist()} == {0.0, 2.0}
    assert float((shifts == 2).float().mean()) == pytest.approx(0.25, abs=0.06)


def test_functions_take_arguments() -> None:
    images, labels = batch(12, 14)
    add = Transform("my_changes:add", arguments={"most": 100.0})
    away = Augmentation(transforms=(add,))(images, labels, range(6))[0] - images
    assert away.max() > 2


def test_the_class_of_an_image_stays_what_it_is() -> None:
    images, classes = batch(12, 14)[0], torch.arange(6, dtype=torch.uint8)
    transforms = (of("RandFlipd", prob=1.0), of("RandBiasField", prob=1.0))
    changed, same = Augmentation(transforms=transforms)(images, classes, range(6))
    assert torch.equal(same, classes)
    assert not torch.equal(changed, images)


@pytest.mark.parametrize(
    ("transform", "error", "message"),
    [
        (of("RandFlip", prob=1.0), ConfigError, "moves the image alone; use .*RandFlipd"),
        (of("Transpose", indices=[0, 2, 1]), ConfigError, "image alone; use .*Transposed"),
        (of("RandFlipd", prob=1.0, keys=["image"]), DataError, "image alone; leave its keys out"),
        (of("RandGaussianNois"), ConfigError, "'RandGaussianNois'. Did you mean 'RandGaussianNoi"),
        (of("RandGaussianNoise", sdt=1), ConfigError, "must accept its arguments, .*'sdt'"),
        (
            of("RandRotated", prob=1.0, range_x=0.5, mode="bilinear"), DataError,
            r"RandRotated must keep the values of a label, .* mode to \[bilinear, nearest\]",
        ),
        (of("RandSpatialCropd", roi_size=[4, 4]), DataError, r"shapes it was given, \(1, 12, 14\)"),
        (Transform("my_changes:crop"), DataError, "my_changes:crop must return image and label in"),
        (Transform("my_changes:missing"), ConfigError, "transforms: my_changes:missing.*'missing'"),
    ],
    ids=lambda value: getattr(value, "name", None),
)  # fmt: skip
def test_what_cannot_be_used(transform: Transform, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Augmentation(transforms=(transform,))(*batch(12, 14), range(6))


def test_random_transforms_of_monai_alone_are_harmless() -> None:
    class Own(RandBiasField):
        pass

    assert is_random_transform(RandBiasField)
    for other in (SaveImage, Own, RandBiasField(), print, torch.nn.Module):
        assert not is_random_transform(other)
