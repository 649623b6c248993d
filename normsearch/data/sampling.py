"""What one training sample is: a slice, a slice with its neighbours, a slab, a whole volume.

A sampling cuts a case into samples and puts what a network gives for them together again, so that
every slice of the case is predicted exactly once.
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
        """Return how many samples a case gives."""

    def sample(self, case: Case, index: int) -> tuple[Array, Array]:
        """Return image (channels, *spatial) and label (*spatial) of one sample."""

    def recompose(self, outputs: Tensor, slices: int) -> Tensor:
        """Return (slices, K, y, x) of a case of so many slices from all its samples' outputs.

        `outputs` are (samples, K, *spatial), in order; for classification they come back as is.
        """


def inputs(sampling: Sampling, case: Case) -> Tensor:
    """Return the images of all samples of a case, float32, (samples, channels, *spatial)."""
    images = [sampling.sample(case, index)[0] for index in range(sampling.count(case))]
    return torch.from_numpy(np.stack(images))


@dataclass(frozen=True)
class Slices:
    """Each slice by itself."""

    dims = 2

    def count(self, case: Case) -> int:
        """Return the case's slices."""
        return len(case.image)

    def sample(self, case: Case, index: int) -> tuple[Array, Array]:
        """Return image (channels, y, x) and label (y, x) of one slice."""
        return case.image[index], case.label[index]

    def recompose(self, outputs: Tensor, slices: int) -> Tensor:
        """Return `outputs`: there is one a slice."""
        return outputs


@dataclass(frozen=True)
class Stacks:
    """Each slice with its neighbours as further input channels, `depth` slices in all (odd).

    At either end of the volume the last slice stands in for those beyond it.
    """

    depth: int = 3
    dims = 2

    def count(self, case: Case) -> int:
        """Return the case's slices."""
        return len(case.image)

    def sample(self, case: Case, index: int) -> tuple[Array, Array]:
        """Return image (depth · channels, y, x), lowest slice first, and label (y, x)."""
        around = np.arange(self.depth) + index - self.depth // 2
        image = case.image[around.clip(0, len(case.image) - 1)]
        return image.reshape(-1, *image.shape[2:]), case.label[index]

    def recompose(self, outputs: Tensor, slices: int) -> Tensor:
        """Return `outputs`: there is one a slice."""
        return outputs


@dataclass(frozen=True)
class Slabs:
    """Blocks of `depth` slices, each sharing `overlap` slices with the next (seed 000: 16 and 8).

    The last slab is moved back to end with the volume; a volume of fewer slices is padded with its
    last one. Where two slabs overlap, each predicts the half that lies nearer to its middle.
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
        chosen: Any = slice(start, start + self.depth)
        if slices < self.depth:
            chosen = np.arange(self.depth).clip(0, slices - 1)
        return case.image[chosen].swapaxes(0, 1), case.label[chosen]

    def recompose(self, outputs: Tensor, slices: int) -> Tensor:
        """Return each slab's share of the slices: the middle, and at either end the outer ones."""
        starts = self.starts(slices)
        # Between two slabs, the middle of what both cover.
        ends = [(here + self.depth + after) // 2 for here, after in pairwise(starts)]
        bounds = [0, *ends, slices]
        parts = [
            slab[:, bounds[i] - start : bounds[i + 1] - start].transpose(0, 1)
            for i, (slab, start) in enumerate(zip(outputs, starts, strict=True))
        ]
        return torch.cat(parts)


@dataclass(frozen=True)
class Volumes:
    """The whole volume."""

    dims = 3

    def count(self, case: Case) -> int:
        """Return 1."""
        return 1

    def sample(self, case: Case, index: int) -> tuple[Array, Array]:
        """Return image (channels, z, y, x) and label (z, y, x)."""
        return case.image.swapaxes(0, 1), case.label

    def recompose(self, outputs: Tensor, slices: int) -> Tensor:
        """Return the one output, slices first."""
        return outputs[0].transpose(0, 1)


#: Name -> sampling of a depth and an overlap, which only slabs have both of.
SAMPLINGS: dict[str, Callable[[int, int], Sampling]] = {
    "slice": lambda depth, overlap: Slices(),
    "stack": lambda depth, overlap: Stacks(depth),
    "slab": Slabs,
    "volume": lambda depth, overlap: Volumes(),
}
