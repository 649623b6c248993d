"""Converts whole images to network inputs, and logits back to the image's own grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from normsearch.data.cases import Case
from normsearch.data.loader import targets
from normsearch.data.resampling import Resampling, resampling_to
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
        truth: returns the whole label in the form of `targets`.
        restore: see `WholeImage`; logits in the order and on the grid of `truth`.
        window: the spatial sides that the network was trained on.
    """

    samples: Tensor
    truth: Callable[[], Tensor]
    restore: Callable[[Tensor], Tensor]
    window: tuple[int, ...]


def whole_image(
    image: Tensor,
    sampling: Sampling,
    window: Sequence[int],
    *,
    grid: Sequence[int] | None = None,
    resized: bool = False,
    resampling: Resampling | None = None,
) -> WholeImage:
    """Return the network inputs of an image.

    An image that was not resized is padded up to the window with the minimum of each channel, and
    its logits are cropped.

    Args:
        image: float32, (slices, channels, y, x), intensities prepared.
        sampling: what one sample is.
        window: the spatial sides of the samples that the network was trained on.
        grid: (slices, y, x) before the image was resampled, resized or padded; its current one if
            None.
        resized: whether it was resized, so that logits are resized back.
        resampling: how it was resampled before it was padded, so that logits are resampled back;
            None if it was not.
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
        return _on_own_grid(logits, own, resized=resized, resampling=resampling)

    return WholeImage(inputs(sampling, case), restore)


def whole_case(
    case: Case,
    sampling: Sampling,
    outputs: int,
    window: Sequence[int],
    *,
    resized: bool,
    spacing: Sequence[float] | None = None,
) -> WholeCase:
    """Return a case to score as a whole.

    Args:
        case: prepared.
        sampling: what one sample is.
        outputs: the network's output channels.
        window: see `whole_image`.
        resized: see `whole_image`.
        spacing: in mm, to which the case was resampled; None if it was not.
    """

    def truth() -> Tensor:
        return targets(torch.from_numpy(np.array(case.whole_label)), outputs)

    if case.whole_label.ndim == 1:  # the class of an image
        return WholeCase(inputs(sampling, case), truth, lambda logits: logits, tuple(window))
    image = torch.from_numpy(np.array(case.image if resized else case.whole_image))
    found = whole_image(
        image, sampling, window,
        grid=case.whole_label.shape, resized=resized, resampling=_resampling(case, spacing),
    )  # fmt: skip
    return WholeCase(found.samples, truth, found.restore, tuple(window))


def image_on_own_grid(
    case: Case, *, resized: bool, spacing: Sequence[float] | None = None
) -> npt.NDArray[np.float32]:
    """Return a case's prepared image (slices, channels, y, x) on the grid of its whole label.

    The arguments are those of `whole_case`.
    """
    image = torch.from_numpy(np.array(case.image if resized else case.whole_image))
    own = case.whole_label.shape
    return _on_own_grid(image, own, resized=resized, resampling=_resampling(case, spacing)).numpy()


def _resampling(case: Case, spacing: Sequence[float] | None) -> Resampling | None:
    if spacing is None:
        return None
    return resampling_to(case.whole_label.shape, case.whole_spacing, spacing)


def _on_own_grid(
    values: Tensor, own: Sequence[int], *, resized: bool, resampling: Resampling | None
) -> Tensor:
    """Return values (slices, K, y, x) on the grid `own` (slices, y, x).

    What was resized is resized back; otherwise the padding is cropped, then a resampling reversed.
    """
    if resized:
        return resize_image(values, own)
    inner = resampling.new_shape if resampling else own
    first = [int((new - old) / 2) for new, old in zip(_grid(values), inner, strict=True)]
    z, y, x = (slice(at, at + side) for at, side in zip(first, inner, strict=True))
    return resampling.back(values[z, :, y, x]) if resampling else values[z, :, y, x]


def _grid(logits: Tensor) -> tuple[int, int, int]:
    return len(logits), logits.shape[2], logits.shape[3]
