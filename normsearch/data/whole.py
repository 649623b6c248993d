"""Converts whole images to network inputs, and logits back to the image's own grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from normsearch.data.cases import Case
from normsearch.data.loader import targets
from normsearch.data.sampling import Sampling, Volumes, inputs
from normsearch.data.transforms import pad_image, resize_image


class WholeImage(NamedTuple):
    """The network inputs of an image, and the conversion of their logits.

    Attributes:
        samples: float32, (samples, C, *spatial), at least as large as a window.
        restore: (samples, K, *spatial) -> (slices, K, y, x) on the image's own grid.
    """

    samples: Tensor
    restore: Callable[[Tensor], Tensor]


class WholeCase(NamedTuple):
    """A case to score as a whole on its own grid.

    Attributes:
        samples: see `WholeImage`.
        truth: the whole label in the form of `targets`.
        restore: see `WholeImage`; logits in the order and on the grid of `truth`.
        window: the spatial sides that the network was trained on.
    """

    samples: Tensor
    truth: Tensor
    restore: Callable[[Tensor], Tensor]
    window: tuple[int, ...]


def whole_image(
    image: Tensor,
    sampling: Sampling,
    window: Sequence[int],
    *,
    grid: Sequence[int] | None = None,
    resized: bool = False,
) -> WholeImage:
    """Return the network inputs of an image.

    An image that was not resized is padded up to the window with the minimum of each channel, and
    its logits are cropped.

    Args:
        image: float32, (slices, channels, y, x), intensities prepared.
        sampling: what one sample is.
        window: the spatial sides of the samples that the network was trained on.
        grid: (slices, y, x) before the image was resized or padded; its current one if None.
        resized: whether it was resized, so that logits are resized back.
    """
    own = tuple(grid or (len(image), *image.shape[2:]))
    if not resized:
        deep = isinstance(sampling, Volumes)
        least = window if deep else (len(image), *window[-2:])
        sides = (len(image), *image.shape[2:])
        size = tuple(max(pair) for pair in zip(sides, least, strict=True))
        image = image if size == sides else pad_image(image, size)
    slices = len(image)
    label = np.zeros((slices, *image.shape[2:]), np.uint8)
    case = Case("", "", "", image.numpy(), label, (np.nan,) * 3)

    def restore(outputs: Tensor) -> Tensor:
        logits = sampling.recompose(outputs, slices)
        if resized:
            return resize_image(logits, own)
        first = [int((new - old) / 2) for new, old in zip(_grid(logits), own, strict=True)]
        z, y, x = (slice(at, at + side) for at, side in zip(first, own, strict=True))
        return logits[z, :, y, x]

    return WholeImage(inputs(sampling, case), restore)


def whole_case(
    case: Case, sampling: Sampling, outputs: int, window: Sequence[int], *, resized: bool
) -> WholeCase:
    """Return a case to score as a whole; arguments as for `whole_image`."""
    truth = targets(torch.from_numpy(case.whole_label.copy()), outputs)
    if case.whole_label.ndim == 1:  # the class of an image
        return WholeCase(inputs(sampling, case), truth, lambda logits: logits, tuple(window))
    image = torch.from_numpy(np.array(case.image if resized else case.whole_image))
    found = whole_image(image, sampling, window, grid=case.whole_label.shape, resized=resized)
    return WholeCase(found.samples, truth, found.restore, tuple(window))


def _grid(logits: Tensor) -> tuple[int, int, int]:
    return len(logits), logits.shape[2], logits.shape[3]
