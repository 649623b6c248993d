import itertools
import warnings

import numpy as np
import pytest
import torch

from normsearch.data import Case, SliceLoader, case_tensors
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
        images, labels = next(SliceLoader(CASES, 4, seed=0).batches(0))
        images += 0  # the batch is its own memory
    assert images.shape == (4, 2, 3, 4)
    assert labels.shape == (4, 1, 3, 4)
    assert images.dtype == labels.dtype == torch.float32
    assert torch.equal(images[:, :1] % 2, labels)


@pytest.mark.parametrize("batch_size", [1, 4, 13, 30])
def test_each_epoch_shows_each_slice_once_in_another_order(batch_size: int) -> None:
    loader = SliceLoader(CASES, batch_size, seed=1)
    assert loader.samples_per_epoch == 13
    batches = itertools.islice(loader.batches(0), 40)
    shown = torch.cat([images[:, 0, 0, 0] for images, _ in batches]).tolist()
    assert len(shown) == 40 * batch_size
    epochs = [shown[i : i + 13] for i in range(0, len(shown) - 12, 13)]
    assert all(sorted(epoch) == list(range(13)) for epoch in epochs)
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("start", [0, 1, 12, 13, 14, 39, 1000])
def test_resuming_at_a_sample_goes_on_bit_by_bit(start: int) -> None:
    ones = SliceLoader(CASES, 1, seed=5).batches(0)
    expected = list(itertools.islice(ones, start, start + 30))
    resumed = itertools.islice(SliceLoader(CASES, 5, seed=5).batches(start), 6)
    for i, (images, labels) in enumerate(resumed):
        part = expected[5 * i : 5 * i + 5]
        assert torch.equal(images, torch.cat([image for image, _ in part]))
        assert torch.equal(labels, torch.cat([label for _, label in part]))


def test_seeds_give_other_orders() -> None:
    firsts = {
        tuple(next(SliceLoader(CASES, 13, seed).batches(0))[0][:, 0, 0, 0].tolist())
        for seed in range(5)
    }
    assert len(firsts) == 5


@pytest.mark.parametrize(
    ("cases", "batch_size", "message"),
    [
        ([], 4, "slices of one"),
        (CASES, 0, "batch size 0"),
        ([*CASES, make_case(0, 2, width=5)], 4, r"shapes \[\(2, 3, 4\), \(2, 3, 5\)\].*resize"),
    ],
)
def test_impossible_loaders(cases: list[Case], batch_size: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        SliceLoader(cases, batch_size, 0)


def test_case_tensors_of_read_only_arrays() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        images, labels = case_tensors(CASES[2])
    assert torch.equal(images[:, 0, 0, 0], torch.arange(6.0, 13))
    assert labels.shape == (7, 1, 3, 4)
    assert labels.dtype == torch.float32
    assert not CASES[2].image.flags.writeable
