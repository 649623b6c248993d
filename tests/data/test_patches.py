import itertools
from typing import Any

import numpy as np
import pytest
import torch

from normsearch.data import Augmentation, Case, Patches, PatchLoader
from normsearch.errors import DataError

SIZES = [(4, 6), (3, 4, 6)]


class Sliced:
    """An array that gives only basic slices, as chunks on a disk do, and counts what it gives."""

    def __init__(self, array: np.ndarray) -> None:
        self._array, self.given, self.largest = array, 0, 0
        self.shape, self.ndim = array.shape, array.ndim

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, key: Any) -> np.ndarray:
        keys = key if isinstance(key, tuple) else (key,)
        assert all(isinstance(one, slice | int) for one in keys), key
        found = self._array[key].copy()
        self.given += found.size
        self.largest = max(self.largest, found.size)
        return found


def make_case(name: str, sides: tuple[int, int, int] = (5, 12, 15), channels: int = 2) -> Case:
    """Voxels hold their own number; class 1 lies in a corner, class 2 in one voxel."""
    numbers = np.arange(np.prod(sides), dtype=np.float32).reshape(sides)
    image = np.stack([numbers + channel * 10_000 for channel in range(channels)], 1)
    label = np.zeros(sides, np.uint8)
    label[: sides[0] // 2, :3, :3] = 1
    label[sides[0] - 1, sides[1] - 1, sides[2] // 2] = 2
    for array in (image, label):
        array.setflags(write=False)
    return Case(name, name, "", image, label, (1.0, 1.0, 1.0))


@pytest.mark.parametrize("size", SIZES)
def test_image_and_label_are_cut_from_one_place(size: tuple[int, ...]) -> None:
    case, patches = make_case("a"), Patches(size)
    for number in range(50):
        random = np.random.default_rng(number)
        z, y, x = patches.place(case, random)
        image, label = patches.draw(case, np.random.default_rng(number))
        assert (image.shape, label.shape) == ((2, *size), size)
        assert (image.dtype, label.dtype) == (np.float32, np.uint8)
        depth = size[0] if len(size) == 3 else 1
        box = (slice(z, z + depth), slice(y, y + size[-2]), slice(x, x + size[-1]))
        for channel in range(2):
            whole = case.image[:, channel][box]
            np.testing.assert_array_equal(image[channel], whole.reshape(size))
        np.testing.assert_array_equal(label, case.label[box].reshape(size))


@pytest.mark.parametrize("size", SIZES)
def test_places_lie_inside_and_anywhere(size: tuple[int, ...]) -> None:
    case, patches = make_case("a"), Patches(size, 0.0)
    places = {patches.place(case, np.random.default_rng(number)) for number in range(20_000)}
    box = size if len(size) == 3 else (1, *size)
    room = [side - own + 1 for side, own in zip(case.label.shape, box, strict=True)]
    assert places == set(itertools.product(*map(range, room)))


@pytest.mark.parametrize("size", SIZES)
def test_a_patch_on_foreground_is_centred_as_far_as_it_lies_inside(size: tuple[int, ...]) -> None:
    case, patches = make_case("a"), Patches(size, 1.0)
    box = np.array(size if len(size) == 3 else (1, *size))
    last = np.array(case.label.shape) - box
    wanted = {
        tuple(np.clip(np.array(voxel) - box // 2, 0, last).tolist())
        for voxel in np.argwhere(case.label > 0).tolist()
    }
    found = {patches.place(case, np.random.default_rng(number)) for number in range(2000)}
    assert found == wanted


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0.0), (1 / 3, 1 / 3), (1.0, 1.0)])
def test_the_share_on_foreground(share: float, expected: float) -> None:
    label = np.zeros((1, 200, 200), np.uint8)
    label[0, 100, 100] = 1  # hardly ever met by chance
    case = Case("a", "a", "", np.zeros((1, 1, 200, 200), np.float32), label, (1.0, 1.0, 1.0))
    patches = Patches((2, 2), share)
    met = sum(patches.draw(case, np.random.default_rng(n))[1].any() for n in range(900))
    assert abs(met - 900 * expected) < 4 * 15  # binomial, 4 standard deviations


def test_a_case_without_foreground_is_cut_anywhere() -> None:
    case = make_case("a")
    empty = Case("b", "b", "", case.image, np.zeros_like(case.label), (1.0, 1.0, 1.0))
    places = {Patches((4, 6), 1.0).place(empty, np.random.default_rng(n)) for n in range(200)}
    assert len(places) > 100


@pytest.mark.parametrize(("size", "sides"), [((8, 16), (3, 5, 20)), ((4, 8, 16), (3, 9, 13))])
def test_a_smaller_image_is_padded_around_its_centre(
    size: tuple[int, ...], sides: tuple[int, int, int]
) -> None:
    case = make_case("a", sides)
    image, label = Patches(size).draw(case, np.random.default_rng(0))
    assert (image.shape, label.shape) == ((2, *size), size)
    z, y, x = Patches(size).place(case, np.random.default_rng(0))
    box = size if len(size) == 3 else (1, *size)
    own = case.image[z : z + box[0], :, y : y + box[1], x : x + box[2]].swapaxes(0, 1)
    margins = [
        (max(want - side, 0) // 2, -(-max(want - side, 0) // 2))
        for want, side in zip(box, sides, strict=True)
    ]
    for channel in range(2):
        least = case.image[:, channel].min()
        padded = np.pad(own[channel], margins, constant_values=least)
        np.testing.assert_array_equal(image[channel], padded.reshape(size))
    truth = np.pad(case.label[z : z + box[0], y : y + box[1], x : x + box[2]], margins)
    np.testing.assert_array_equal(label, truth.reshape(size))


CASES = [make_case("a"), make_case("b", (3, 9, 11)), make_case("c", (2, 5, 5))]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("start", [0, 1, 7, 1000])
def test_a_patch_depends_on_seed_and_number_alone(size: tuple[int, ...], start: int) -> None:
    augment = Augmentation(flip=("x",), scale=(0.5, 2.0), seed=3)

    def images(batch_size: int, first: int, count: int, workers: int = 0) -> list[Any]:
        loader = PatchLoader(
            CASES, Patches(size), batch_size, 5, outputs=3, augment=augment, workers=workers
        )
        batches = list(itertools.islice(loader.batches(first), -(-count // batch_size)))
        loader.close()
        return [torch.cat(part)[:count] for part in zip(*batches, strict=True)]

    ones = images(1, 0, start + 12)
    for batch_size, workers in ((4, 0), (5, 1), (3, 3)):
        for found, expected in zip(images(batch_size, start, 12, workers), ones, strict=True):
            assert torch.equal(found, expected[start:])


def test_seeds_give_other_patches_and_cases_come_alike() -> None:
    batches = [PatchLoader(CASES, Patches((4, 6)), 8, seed).batch(0)[0] for seed in range(4)]
    assert len({one.numpy().tobytes() for one in batches}) == 4
    loader, met = PatchLoader(CASES, Patches((4, 6)), 1, 0), dict.fromkeys("abc", 0)
    cut = Patches.cut
    with pytest.MonkeyPatch.context() as patch:

        def counted(self: Patches, case: Case, first: Any) -> Any:
            met[case.id] += 1
            return cut(self, case, first)

        patch.setattr(Patches, "cut", counted)
        for number in range(900):
            loader.sample(number)
    assert all(abs(count - 300) < 4 * 15 for count in met.values())


def test_labels_take_the_form_of_the_loss() -> None:
    images, labels = PatchLoader(CASES, Patches((4, 6)), 2, 0).batch(0)
    assert (images.shape, labels.shape) == ((2, 2, 4, 6), (2, 1, 4, 6))
    assert images.dtype == labels.dtype == torch.float32
    _, labels = PatchLoader(CASES, Patches((3, 4, 6)), 2, 0, outputs=3).batch(0)
    assert (labels.shape, labels.dtype) == ((2, 3, 4, 6), torch.int64)


@pytest.mark.parametrize("size", SIZES)
def test_a_case_on_a_disk_is_only_sliced(size: tuple[int, ...]) -> None:
    case = make_case("a", (9, 30, 40))
    image, label = Sliced(case.image), Sliced(case.label)
    lazy: Any = Case("a", "a", "", image, label, (1.0, 1.0, 1.0))
    random = [np.random.default_rng(number) for number in range(40)]
    Patches(size, 1.0).draw(lazy, np.random.default_rng(0))
    searched = label.given  # the foreground is found now, and not again
    image.given = label.given = 0
    for own in random:
        Patches(size).draw(lazy, own)
    assert searched >= case.label.size
    assert label.given == 40 * np.prod(size)
    assert image.given == 40 * 2 * np.prod(size)
    assert image.largest == 2 * np.prod(size)


@pytest.mark.parametrize(
    ("cases", "batch_size", "message"),
    [
        ([], 2, "at least one case .* got 0 cases"),
        (CASES, 0, "batch size 0"),
        ([*CASES, make_case("d", channels=3)], 2, "number of channels, got 2 in a and 3 in d"),
    ],
)
def test_impossible_loaders(cases: list[Case], batch_size: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        PatchLoader(cases, Patches((4, 6)), batch_size, 0)
