"""Batches of slices in an order that can be taken up again at any sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from normsearch.data.cases import Case
from normsearch.errors import DataError


class SliceLoader:
    """Endless full batches of slices, shuffled anew each epoch over all cases.

    The batch that begins at a sample depends on the seed and that sample's number alone, so a
    resumed run sees what an uninterrupted one would have. Cases may be read-only arrays.

    Args:
        cases: at least one; all slices of the same channels, height and width.
        batch_size: slices per batch, at least 1; it may exceed the slices there are.
        seed: 0 or more.

    Raises:
        DataError: there is no slice, or slices differ in shape, or batch_size is below 1.
    """

    def __init__(self, cases: Sequence[Case], batch_size: int, seed: int) -> None:
        shapes = {case.image.shape[1:] for case in cases}
        if len(shapes) != 1 or batch_size < 1:
            raise DataError(
                "a loader needs slices of one (channels, y, x) shape and a batch size of 1 or "
                f"more, got shapes {sorted(shapes)} and batch size {batch_size}; resize the cases "
                "to one size"
            )
        self._slices = [(case, i) for case in cases for i in range(len(case.image))]
        self.batch_size = batch_size
        self._seed = seed

    @property
    def samples_per_epoch(self) -> int:
        """Slices in all cases together."""
        return len(self._slices)

    def batches(self, start_sample: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield float32 images (B, C, y, x) and labels (B, 1, y, x) from sample `start_sample` on.

        Samples are counted from 0 over all epochs; a batch may run across the end of an epoch.
        """
        order = self._order(start_sample)
        while True:
            chosen = [self._slices[next(order)] for _ in range(self.batch_size)]
            images = np.stack([case.image[i] for case, i in chosen])
            labels = np.stack([case.label[i] for case, i in chosen])[:, None]
            yield torch.from_numpy(images), torch.from_numpy(labels.astype(np.float32))

    def _order(self, start: int) -> Iterator[int]:
        epoch, offset = divmod(start, len(self._slices))
        while True:
            order = np.random.default_rng((self._seed, epoch)).permutation(len(self._slices))
            yield from order[offset:].tolist()
            epoch, offset = epoch + 1, 0


def case_tensors(case: Case) -> tuple[Tensor, Tensor]:
    """Return a case as float32 tensors: image (slices, C, y, x) and label (slices, 1, y, x)."""
    # torch warns about memory that it must not write to; only such an image is copied.
    image = case.image if case.image.flags.writeable else case.image.copy()
    return torch.from_numpy(image), torch.from_numpy(case.label[:, None].astype(np.float32))
