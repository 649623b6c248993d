"""Batches of samples in an order that can be resumed at any sample."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from normsearch.data.cases import Case
from normsearch.data.sampling import Sampling, Slices
from normsearch.data.workers import Workers
from normsearch.errors import DataError
from normsearch.limits import check_seed

SLICES = Slices()
Array = npt.NDArray[Any]
Augment = Callable[[Tensor, Tensor, Sequence[int]], tuple[Tensor, Tensor]]


class BatchLoader:
    """Base of loaders: builds batches of numbered samples.

    A batch depends only on the seeds and the number of its first sample, so that a resumed run
    continues as an uninterrupted one, with any number of workers.

    Args:
        batch_size: samples per batch.
        outputs: the network's output channels: 1 (foreground), or a number of classes.
        augment: changes images and labels, given the numbers of the samples; with workers it is
            called in several threads at once.
        workers: threads that build batches ahead of their use; 0 builds each when it is asked for.
    """

    def __init__(
        self, batch_size: int, *, outputs: int = 1, augment: Augment | None = None, workers: int = 0
    ) -> None:
        self.batch_size = batch_size
        self._outputs, self._augment, self._workers = outputs, augment, Workers(workers)

    def sample(self, number: int) -> tuple[Array, Array]:
        """Return image and label of one sample, counted from 0 over the whole training."""
        raise NotImplementedError

    def batch(self, start_sample: int) -> tuple[Tensor, Tensor]:
        """Return float32 images (B, C, *spatial) and labels, as `targets` has them.

        The batch begins with sample `start_sample`.
        """
        numbers = range(start_sample, start_sample + self.batch_size)
        parts = [self.sample(number) for number in numbers]
        images = torch.from_numpy(np.stack([image for image, _ in parts]))
        labels = torch.from_numpy(np.stack([label for _, label in parts]))
        if self._augment:
            images, labels = self._augment(images, labels, numbers)
        return images, targets(labels, self._outputs)

    def batches(self, start_sample: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches from sample `start_sample` on, without end; see `batch`."""
        return self._workers.ahead(self.batch, itertools.count(start_sample, self.batch_size))

    def close(self) -> None:
        """End the workers."""
        self._workers.close()


class SampleLoader(BatchLoader):
    """Yields full batches of samples without end, shuffled over all cases in each epoch.

    See `BatchLoader`. A batch may extend over the end of an epoch. Cases may be read-only arrays.

    Args:
        cases: at least one; all samples have the same channels and sides.
        batch_size: samples per batch, at least 1; it may exceed the number of samples.
        seed: of the order, 0 to 2**32 - 1.
        sampling: what a sample is.
        outputs, augment, workers: see `BatchLoader`.

    Raises:
        DataError: there is no sample, samples differ in shape, or batch_size is below 1.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        batch_size: int,
        seed: int,
        *,
        sampling: Sampling = SLICES,
        outputs: int = 1,
        augment: Augment | None = None,
        workers: int = 0,
    ) -> None:
        super().__init__(batch_size, outputs=outputs, augment=augment, workers=workers)
        check_channels(cases)
        shapes = {sampling.sample(case, 0)[0].shape for case in cases}
        if len(shapes) != 1 or batch_size < 1:
            raise DataError(
                "a loader needs samples of one shape (channels, spatial axes) and a batch size of "
                f"1 or more, got shapes {_shapes_text(shapes)} and batch size {batch_size}; bring "
                f"the cases to one size, for example with task.size: {_size(shapes)}"
            )
        self._samples = [(case, i) for case in cases for i in range(sampling.count(case))]
        self._seed, self._sampling = check_seed(seed), sampling
        self._newest: tuple[int, Array] = (-1, np.empty(0, int))

    @property
    def samples_per_epoch(self) -> int:
        """The number of samples of all cases."""
        return len(self._samples)

    def sample(self, number: int) -> tuple[Array, Array]:
        """Return image and label of the sample `number`, counted over all epochs."""
        epoch, place = divmod(number, len(self._samples))
        case, index = self._samples[int(self._order(epoch)[place])]
        return self._sampling.sample(case, index)

    def _order(self, epoch: int) -> Array:
        known = self._newest  # replaced as a whole, since several threads may read it
        if known[0] != epoch:
            random = np.random.default_rng((self._seed, epoch))
            known = self._newest = epoch, random.permutation(len(self._samples))
        return known[1]


def check_channels(cases: Sequence[Case]) -> None:
    """Raise DataError if the images have different numbers of channels."""
    first = {case.image.shape[1]: case.id for case in reversed(cases)}
    if len(first) > 1:
        found = " and ".join(f"{count} in {case}" for count, case in sorted(first.items()))
        raise DataError(
            f"all images must have the same number of channels, got {found}; save all in grey "
            "values or all in colours"
        )


def targets(labels: Tensor, outputs: int) -> Tensor:
    """Return class indices (B, *spatial) in the form that losses take.

    For one output float32 (B, 1, *spatial), 0 or 1; for several int64 (B, *spatial), or (B,) for
    classes of whole images.
    """
    return labels[:, None].float() if outputs == 1 else labels.long()


def _shapes_text(shapes: set[tuple[int, ...]]) -> str:
    text = ", ".join(map(str, sorted(shapes)[:5]))
    return f"{text} and {len(shapes) - 5} more" if len(shapes) > 5 else text or "of no case"


def _size(shapes: set[tuple[int, ...]]) -> list[int]:
    """Return sides that every sample fits into and that four poolings divide."""
    return [-(-max(sides) // 16) * 16 for sides in list(zip(*shapes, strict=True))[1:]]
