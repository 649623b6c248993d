import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from normsearch.data import TRANSFORMS, Augmentation, Transform
from normsearch.data.augment import rotate, rotate_labels
from normsearch.errors import DataError


def batch(*sides: int, count: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(count, 2, *sides, generator=generator)
    return images, (images[:, 0] * 4).to(torch.uint8)


@pytest.mark.parametrize("sides", [(6, 6), (4, 6, 6)])
@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_quarter_turns_are_exact(quarter: int, sides: tuple[int, ...]) -> None:
    images, labels = batch(*sides)
    angles = [90.0 * quarter] * len(images)
    torch.testing.assert_close(rotate(images, angles), torch.rot90(images, quarter, (-2, -1)))
    assert torch.equal(rotate_labels(labels, angles), torch.rot90(labels, quarter, (-2, -1)))


def test_a_turned_point_lands_where_trigonometry_says() -> None:
    y, x, angle = 20, 45, math.radians(30)
    image = torch.zeros(1, 1, 41, 61)
    image[0, 0, y, x] = 1.0
    found = np.unravel_index(int(rotate(image, [30.0]).argmax()), (41, 61))
    dy, dx = y - 20, x - 30
    # Counter-clockwise on a screen, whose y axis points down.
    expected = (
        20 + dy * math.cos(angle) - dx * math.sin(angle),
        30 + dy * math.sin(angle) + dx * math.cos(angle),
    )
    np.testing.assert_allclose(found, expected, atol=0.71)


def test_beyond_the_edge_is_the_smallest_value_and_background() -> None:
    image, label = torch.full((1, 1, 16, 16), 3.0), torch.ones(1, 16, 16, dtype=torch.uint8)
    image[0, 0, 8, 8] = -2.0
    assert rotate(image, [45.0])[0, 0, 0, 0] == -2
    assert rotate_labels(label, [45.0])[0, 0, 0] == 0


def test_labels_stay_labels_and_image_and_label_turn_alike() -> None:
    label = torch.zeros(3, 32, 32, dtype=torch.uint8)
    label[:, 8:20, 10:26] = 3
    images, labels = Augmentation((-60, 60, 2), ("y", "x"), seed=4)(
        label[:, None].float(), label, [0, 1, 2]
    )
    assert set(labels.unique().tolist()) == {0, 3}
    assert labels.dtype == torch.uint8
    agree = ((images[:, 0] > 1.5) == (labels > 0)).float().mean()
    assert agree > 0.98
    assert not torch.equal(labels, label)


@pytest.mark.parametrize("sides", [(8, 6), (3, 8, 6)])
def test_what_happens_to_a_sample_depends_on_seed_and_number_alone(sides: tuple[int, ...]) -> None:
    vary = Augmentation((-60, 60, 2), ("y", "x"), (0.5, 2.0), seed=3)
    images, labels = batch(*sides)
    whole = vary(images, labels, range(10, 16))
    for i in range(6):
        image, label = vary(images[i : i + 1], labels[i : i + 1], [10 + i])
        torch.testing.assert_close(image[0], whole[0][i], rtol=0, atol=0)
        assert torch.equal(label[0], whole[1][i])
    for other in (
        vary(images, labels, range(11, 17)),
        Augmentation((-60, 60, 2), seed=4)(images, labels, range(6)),
    ):
        assert not torch.equal(other[0], whole[0])


def test_angles_come_from_the_whole_grid() -> None:
    vary = Augmentation((-60, 60, 2))
    drawn = {vary._draw(number)[0] for number in range(2000)}
    assert drawn == set(np.arange(-60.0, 61, 2))
    assert {Augmentation((0, 1, 0.1))._draw(n)[0] for n in range(300)} == {
        0.1 * i for i in range(11)
    }


def test_flips_and_scales() -> None:
    images, labels = batch(2, 4, 6, count=64)
    flipped, marks = Augmentation(flip=("z", "y", "x"))(images, labels, range(64))
    seen = set()
    for i in range(64):
        axes = [
            flips
            for flips in [(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]
            if torch.equal(flipped[i], images[i].flip([axis + 1 for axis in flips]))
        ]
        assert len(axes) == 1
        assert torch.equal(marks[i], labels[i].flip(list(axes[0])))
        seen.add(axes[0])
    assert len(seen) == 8
    scaled, same = Augmentation(scale=(0.5, 2.0))(images, labels, range(64))
    factors = (scaled / images).flatten(1)
    assert (factors.amax(1) - factors.amin(1)).max() < 1e-5
    assert 0.5 <= factors.min() < 0.7 < 1.8 < factors.max() <= 2.0
    assert torch.equal(same, labels)


def test_the_class_of_an_image_stays_what_it_is() -> None:
    images, classes = batch(8, 8)[0], torch.arange(6, dtype=torch.uint8)
    varied, same = Augmentation((-60, 60, 2), ("x",))(images, classes, range(6))
    assert torch.equal(same, classes)
    assert not torch.equal(varied, images)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rotation": (60, -60, 2)}, "rotation must be lowest, highest and step"),
        ({"rotation": (-60, 60, 0)}, "rotation must be lowest, highest and step"),
        ({"scale": (0.0, 1.0)}, "scale must be lowest and highest factor above 0"),
        ({"flip": ("w",)}, "flip must be axes among z, y, x"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Augmentation(**settings)


ALL = (
    *(Transform(name, 0.5) for name in TRANSFORMS if name != "mirroring"),
    Transform("mirroring", axes=("y", "x")),
)


@pytest.mark.parametrize("sides", [(16, 12), (8, 16, 12)])
@pytest.mark.parametrize("in_plane", [False, True])
def test_transforms_depend_on_seed_and_number_alone(sides: tuple[int, ...], in_plane: bool) -> None:
    flat = in_plane and len(sides) == 3
    vary = Augmentation(transforms=ALL, seed=3, in_plane=flat)
    images, labels = batch(*sides, count=12)
    whole = vary(images, labels, range(12))
    with ThreadPoolExecutor(4) as pool:
        parts = zip(images.split(1), labels.split(1), [[i] for i in range(12)], strict=True)
        single = list(pool.map(lambda part: vary(*part), parts))
    for i, (image, label) in enumerate(single):
        assert torch.equal(image[0], whole[0][i])
        assert torch.equal(label[0], whole[1][i])
    assert whole[0].shape == images.shape
    assert whole[1].dtype == torch.uint8
    assert {*whole[1].unique().tolist()} <= {0, 1, 2, 3}
    other = Augmentation(transforms=ALL, seed=4, in_plane=flat)(images, labels, range(12))
    assert not torch.equal(other[0], whole[0])


def test_the_slices_of_a_stack_move_alike() -> None:
    """Two channels of three slices; slice 1 is the label's."""
    images, labels = batch(16, 16)
    stack = images.repeat(1, 3, 1, 1)  # lowest slice first, the channels of a slice together
    moves = tuple(one for one in ALL if one.name not in ("noise", "cutout"))
    moved, marks = Augmentation(transforms=moves, slices=3, seed=1)(stack, labels, range(6))
    torch.testing.assert_close(moved[:, :2], moved[:, 4:], rtol=1e-4, atol=1e-5)
    assert not torch.equal(moved, stack)
    assert marks.shape == labels.shape


def test_slices_of_an_in_plane_sample_move_as_slices_do() -> None:
    images, labels = batch(5, 16, 12)
    moves = (Transform("rotation", 1.0), Transform("scaling", 1.0), Transform("elastic", 1.0))
    moved, marks = Augmentation(transforms=moves, in_plane=True)(images, labels, range(6))
    for place in range(5):
        slices = Augmentation(transforms=moves)(images[:, :, place], labels[:, place], range(6))
        torch.testing.assert_close(moved[:, :, place], _with_floor(slices[0], images, moved, place))
        assert torch.equal(marks[:, place], slices[1])


def _with_floor(
    slices: torch.Tensor, images: torch.Tensor, moved: torch.Tensor, place: int
) -> torch.Tensor:
    """Leave out voxels near the border, where the minimum of the whole sample shows."""
    within = torch.zeros(slices.shape, dtype=torch.bool)
    within[..., 6:10, 4:8] = True
    return torch.where(within, slices, moved[:, :, place])


def test_images_alone_move_where_labels_are_classes() -> None:
    images, classes = batch(16, 12)[0], torch.arange(6, dtype=torch.uint8)
    changed, same = Augmentation(transforms=ALL)(images, classes, range(6))
    assert torch.equal(same, classes)
    assert not torch.equal(changed, images)


def test_single_changes_come_before_the_list() -> None:
    images, labels = batch(16, 12)
    first = Augmentation((-60, 60, 2), ("x",), (0.5, 2.0), seed=2)(images, labels, range(6))
    listed = Augmentation(transforms=ALL, seed=2)
    both = Augmentation((-60, 60, 2), ("x",), (0.5, 2.0), ALL, seed=2)(images, labels, range(6))
    for one, other in zip(both, listed(*first, range(6)), strict=True):
        assert torch.equal(one, other)


def test_single_changes_are_those_of_earlier_versions() -> None:
    """Sums that version 0.2.0 gave; runs and registered findings use these changes."""
    images, labels = batch(16, 12)
    vary = Augmentation((-60, 60, 2), ("y", "x"), (0.5, 2.0), seed=9)
    found, marks = vary(images, labels, range(6))
    sums = [292.98741136, 164.98583633, 238.47610616, 224.23420812, 283.78986802, 236.73597758]
    assert found.double().sum(dim=(1, 2, 3)).tolist() == pytest.approx(sums, rel=1e-7)
    assert marks.sum(dim=(1, 2)).tolist() == [255, 227, 233, 225, 239, 222]
