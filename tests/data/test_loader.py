import itertools
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from normsearch.data import SAMPLINGS, Augmentation, Case, SampleLoader
from normsearch.errors import DataError


def make_case(first: int, slices: int, *, width: int = 4) -> Case:
    """Return a read-only case whose slices hold their own numbers, as Ray's store would give it."""
    numbers = np.arange(first, first + slices)
    image = np.broadcast_to(numbers[:, None, None, None], (slices, 2, 3, width)).astype(np.float32)
    label = np.broadcast_to(numbers[:, None, None] % 2, (slices, 3, width)).astype(np.uint8)
    for array in (image, label):
        array.setflags(write=False)
    return Case(str(first), str(first), "", image, label, (1.0, 1.0, 1.0))


CASES = [make_case(0, 5), make_case(5, 1), make_case(6, 7)]


def test_shapes_types_and_that_image_and_label_belong_together() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        images, labels = next(SampleLoader(CASES, 4, seed=0).batches(0))
        images += 0  # the batch is its own memory
    assert images.shape == (4, 2, 3, 4)
    assert labels.shape == (4, 1, 3, 4)
    assert images.dtype == labels.dtype == torch.float32
    assert torch.equal(images[:, :1] % 2, labels)


@pytest.mark.parametrize("batch_size", [1, 4, 13, 30])
def test_each_epoch_shows_each_slice_once_in_another_order(batch_size: int) -> None:
    loader = SampleLoader(CASES, batch_size, seed=1)
    assert loader.samples_per_epoch == 13
    batches = itertools.islice(loader.batches(0), 40)
    shown = torch.cat([images[:, 0, 0, 0] for images, _ in batches]).tolist()
    assert len(shown) == 40 * batch_size
    epochs = [shown[i : i + 13] for i in range(0, len(shown) - 12, 13)]
    assert all(sorted(epoch) == list(range(13)) for epoch in epochs)
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("start", [0, 1, 12, 13, 14, 39, 1000])
def test_resuming_at_a_sample_goes_on_bit_by_bit(start: int) -> None:
    ones = SampleLoader(CASES, 1, seed=5).batches(0)
    expected = list(itertools.islice(ones, start, start + 30))
    resumed = itertools.islice(SampleLoader(CASES, 5, seed=5).batches(start), 6)
    for i, (images, labels) in enumerate(resumed):
        part = expected[5 * i : 5 * i + 5]
        assert torch.equal(images, torch.cat([image for image, _ in part]))
        assert torch.equal(labels, torch.cat([label for _, label in part]))


def test_seeds_give_other_orders() -> None:
    firsts = {
        tuple(next(SampleLoader(CASES, 13, seed).batches(0))[0][:, 0, 0, 0].tolist())
        for seed in range(5)
    }
    assert len(firsts) == 5


@pytest.mark.parametrize(
    ("cases", "batch_size", "message"),
    [
        ([], 4, "samples of one shape .* got shapes of no case"),
        (CASES, 0, "batch size 0"),
        (
            [*CASES, make_case(0, 2, width=5)],
            4,
            r"shapes \(2, 3, 4\), \(2, 3, 5\) and .*with task.size: \[16, 16\]",
        ),
    ],
)
def test_impossible_loaders(cases: list[Case], batch_size: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        SampleLoader(cases, batch_size, 0)


@pytest.mark.parametrize(
    ("name", "shape"), [("slice", (2,)), ("stack", (6,)), ("slab", (2, 3)), ("volume", (2, 5))]
)
def test_samples_of_every_kind(name: str, shape: tuple[int, ...]) -> None:
    cases = [make_case(0, 5), make_case(5, 5)]
    sampling = SAMPLINGS[name](3, 1)
    spatial = (*shape[1:], 3, 4)
    images, labels = next(SampleLoader(cases, 2, 0, sampling=sampling).batches(0))
    assert images.shape == (2, shape[0], *spatial)
    assert (labels.shape, labels.dtype) == ((2, 1, *spatial), torch.float32)
    images, labels = next(SampleLoader(cases, 2, 0, sampling=sampling, outputs=3).batches(0))
    assert (labels.shape, labels.dtype) == ((2, *spatial), torch.int64)


def test_volumes_of_several_sizes_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"got shapes \(2, 1, 3, 4\), \(2, 5, 3, 4\), \(2, 7, 3, 4\)"
    ):
        SampleLoader(CASES, 1, 0, sampling=SAMPLINGS["volume"](1, 0))


def test_classified_images_have_one_class_each() -> None:
    cases = [
        Case(
            str(n), "", "", np.full((1, 1, 2, 2), n, np.float32), np.array([n], np.uint8), (1, 1, 1)
        )
        for n in range(5)
    ]
    images, classes = next(SampleLoader(cases, 5, 0, outputs=5).batches(0))
    assert (classes.shape, classes.dtype) == ((5,), torch.int64)
    assert torch.equal(images[:, 0, 0, 0], classes.float())


def test_augmented_batches_resume_bit_by_bit_and_seeds_are_independent() -> None:
    cases = [replace(case, image=case.image.copy()) for case in CASES]
    for case in cases:  # channel 0 names the slice, channel 1 shows how it is turned
        case.image[:, 1] = np.random.default_rng(0).random(case.image[:, 1].shape)

    def drawn(order: int, varied: int, start: int = 0) -> list[torch.Tensor]:
        loader = SampleLoader(cases, 4, order, augment=Augmentation((-60, 60, 2), seed=varied))
        return [images for images, _ in itertools.islice(loader.batches(start), 6 - start // 4)]

    def order_of(batches: list[torch.Tensor]) -> list[int]:
        return torch.cat(batches)[:, 0, 1, 1].round().int().tolist()

    whole, other = drawn(1, 2), drawn(1, 5)
    for resumed, expected in zip(drawn(1, 2, start=8), whole[2:], strict=True):
        assert torch.equal(resumed, expected)
    assert order_of(other) == order_of(whole) != order_of(drawn(3, 2))
    assert not torch.equal(other[0], whole[0])
