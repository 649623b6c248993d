"""Training samples: slices, slices with their neighbours, slabs, or whole volumes.

A sampling cuts a case into samples and recombines a network's outputs for them, so that every slice
of the case is predicted exactly once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from normsearch.data.cases import Case

Array = npt.NDArray[Any]


class Sampling(Protocol):
    """One way to cut cases into samples of `dims` spatial axes."""

    dims: int

    def count(self, case: Case) -> int:
        """Return the number of samples of a case."""

    def sample(self, case: Case, index: int) -> tuple[Array, Array]:
        """Return image (channels, *spatial) and label (*spatial) of one sample."""

    def recompose(self, outputs: Tensor, slices: int) -> Tensor:
        """Return (slices, K, y, x) of a case with `slices` slices from the outputs of its samples.

        `outputs` are (samples, K, *spatial), in order; for classification they are returned
        unchanged.
        """


def inputs(sampling: Sampling, case: Case) -> Tensor:
    """Return the images of all samples of a case, float32, (samples, channels, *spatial)."""
    images = [sampling.sample(case, index)[0] for index in range(sampling.count(case))]
    return torch.from_numpy(np.stack(images))


@dataclass(frozen=True)
class Slices:
    """Each slice is a sample."""

    dims = 2

    def count(self, case: Case) -> int:
        """Return the case's slices."""
        return len(case.image)

    def sample(self, case: Case, index: int) -> tuple[Array, Array]:
        """Return image (channels, y, x) and label (y, x) of one slice."""
        return case.image[index], case.label[index]

    def recompose(self, outputs: Tensor, slices: int) -> Tensor:
        """Return `outputs`, one per slice."""
        return outputs


@dataclass(frozen=True)
class Stacks:
    """Each slice with its neighbours as further input channels, `depth` slices in total (odd).

    At either end of the volume, the outermost slice is repeated.
    """

    depth: int = 3
    dims = 2

    def count(self, case: Case) -> int:
        """Return the case's slices."""
        return len(case.image)

    def sample(self, case: Case, index: int) -> tuple[Array, Array]:
        """Return image (depth · channels, y, x), lowest slice first, and label (y, x)."""
        around = (np.arange(self.depth) + index - self.depth // 2).clip(0, len(case.image) - 1)
        image = np.asarray(case.image[around[0] : around[-1] + 1])[around - around[0]]
        return image.reshape(-1, *image.shape[2:]), case.label[index]

    def recompose(self, outputs: Tensor, slices: int) -> Tensor:
        """Return `outputs`, one per slice."""
        return outputs


@dataclass(frozen=True)
class Slabs:
    """Blocks of `depth` slices, each sharing `overlap` slices with the next (seed 000: 16 and 8).

    The last slab ends with the volume; a volume of fewer slices is padded with its last one. If two
    slabs overlap, each predicts the half of the overlap that is nearer to its centre.
    """

    depth: int = 16
    overlap: int = 8
    dims = 3

    def starts(self, slices: int) -> list[int]:
        """Return the first slice of each slab of a volume."""
        last = max(slices - self.depth, 0)
        return [*range(0, last, self.depth - self.overlap), last]

    def count(self, case: Case) -> int:
        """Return the case's slabs."""
        return len(self.starts(len(case.image)))

    def sample(self, case: Case, index: int) -> tuple[Array, Array]:
        """Return image (channels, depth, y, x) and label (depth, y, x) of one slab."""
        slices = len(case.image)
        start = self.starts(slices)[index]
        end = start + self.depth
        image, label = np.asarray(case.image[start:end]), np.asarray(case.label[start:end])
        if slices < self.depth:
            chosen = np.arange(self.depth).clip(0, slices - 1)
            image, label = image[chosen], label[chosen]
        return image.swapaxes(0, 1), label

    def recompose(self, outputs: Tensor, slices: int) -> Tensor:
        """Return the slices that each slab predicts, combined."""
        starts = self.starts(slices)
        # The boundary between two slabs is the middle of their overlap.
        ends = [(here + self.depth + after) // 2 for here, after in pairwise(starts)]
        bounds = [0, *ends, slices]
        parts = [
            slab[:, bounds[i] - start : bounds[i + 1] - start].transpose(0, 1)
            for i, (slab, start) in enumerate(zip(outputs, starts, strict=True))
        ]
        return torch.cat(parts)


@dataclass(frozen=True)
class Volumes:
    """Each volume is a sample."""

    dims = 3

    def count(self, case: Case) -> int:
        """Return 1."""
        return 1

    def sample(self, case: Case, index: int) -> tuple[Array, Array]:
        """Return image (channels, z, y, x) and label (z, y, x)."""
        return np.asarray(case.image).swapaxes(0, 1), np.asarray(case.label)

    def recompose(self, outputs: Tensor, slices: int) -> Tensor:
        """Return the one output, slices first."""
        return outputs[0].transpose(0, 1)


#: Name -> function from depth and overlap to the sampling.
SAMPLINGS: dict[str, Callable[[int, int], Sampling]] = {
    "slice": lambda depth, overlap: Slices(),
    "stack": lambda depth, overlap: Stacks(depth),
    "slab": Slabs,
    "volume": lambda depth, overlap: Volumes(),
}
