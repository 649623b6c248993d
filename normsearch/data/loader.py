"""Batches of samples in an order that can be resumed at any sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from normsearch.data.cases import Case
from normsearch.data.sampling import Sampling, Slices
from normsearch.errors import DataError
from normsearch.limits import check_seed

SLICES = Slices()
Augment = Callable[[Tensor, Tensor, Sequence[int]], tuple[Tensor, Tensor]]


class SampleLoader:
    """Yields full batches of samples without end, shuffled over all cases in each epoch.

    A batch depends only on the seeds and the number of its first sample, so that a resumed run
    continues as an uninterrupted one. Cases may be read-only arrays.

    Args:
        cases: at least one; all samples have the same channels and sides.
        batch_size: samples per batch, at least 1; it may exceed the number of samples.
        seed: of the order, 0 to 2**32 - 1.
        sampling: what a sample is.
        outputs: the network's output channels: 1 (foreground), or a number of classes.
        augment: changes images and labels, given the numbers of the samples.

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
    ) -> None:
        check_seed(seed)
        shapes = {sampling.sample(case, 0)[0].shape for case in cases}
        if len({shape[0] for shape in shapes}) > 1:
            raise DataError(
                f"all images must have the same number of channels, got {_channels(cases)}; save "
                "all in grey values or all in colours"
            )
        if len(shapes) != 1 or batch_size < 1:
            raise DataError(
                "a loader needs samples of one shape (channels, spatial axes) and a batch size of "
                f"1 or more, got shapes {_shapes_text(shapes)} and batch size {batch_size}; bring "
                f"the cases to one size, for example with task.size: {_size(shapes)}"
            )
        self._samples = [(case, i) for case in cases for i in range(sampling.count(case))]
        self.batch_size = batch_size
        self._seed, self._sampling = seed, sampling
        self._outputs, self._augment = outputs, augment

    @property
    def samples_per_epoch(self) -> int:
        """The number of samples of all cases."""
        return len(self._samples)

    def batches(self, start_sample: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield float32 images (B, C, *spatial) and labels, as `targets` has them.

        The first batch begins with sample `start_sample`, counted from 0 over all epochs. A batch
        may extend over the end of an epoch.
        """
        order = self._order(start_sample)
        number = start_sample
        while True:
            chosen = [self._samples[next(order)] for _ in range(self.batch_size)]
            parts = [self._sampling.sample(case, i) for case, i in chosen]
            images = torch.from_numpy(np.stack([image for image, _ in parts]))
            labels = torch.from_numpy(np.stack([label for _, label in parts]))
            if self._augment:
                numbers = range(number, number + self.batch_size)
                images, labels = self._augment(images, labels, numbers)
            yield images, targets(labels, self._outputs)
            number += self.batch_size

    def _order(self, start: int) -> Iterator[int]:
        epoch, offset = divmod(start, len(self._samples))
        while True:
            order = np.random.default_rng((self._seed, epoch)).permutation(len(self._samples))
            yield from order[offset:].tolist()
            epoch, offset = epoch + 1, 0


def targets(labels: Tensor, outputs: int) -> Tensor:
    """Return class indices (B, *spatial) in the form that losses take.

    For one output float32 (B, 1, *spatial), 0 or 1; for several int64 (B, *spatial), or (B,) for
    classes of whole images.
    """
    return labels[:, None].float() if outputs == 1 else labels.long()


def _channels(cases: Sequence[Case]) -> str:
    first = {case.image.shape[1]: case.id for case in reversed(cases)}
    return " and ".join(f"{count} in {case}" for count, case in sorted(first.items()))


def _shapes_text(shapes: set[tuple[int, ...]]) -> str:
    text = ", ".join(map(str, sorted(shapes)[:5]))
    return f"{text} and {len(shapes) - 5} more" if len(shapes) > 5 else text or "of no case"


def _size(shapes: set[tuple[int, ...]]) -> list[int]:
    """Return sides that every sample fits into and that four poolings divide."""
    return [-(-max(sides) // 16) * 16 for sides in list(zip(*shapes, strict=True))[1:]]
