"""Patches of images: drawn at random for training, a share of them centred on foreground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from normsearch.data.cases import Case
from normsearch.data.foreground import channel_minima, foreground_of
from normsearch.data.loader import Augment, BatchLoader, check_channels
from normsearch.errors import DataError
from normsearch.limits import check_seed

Array = npt.NDArray[Any]

_STREAM = 0x7061746368  # separates these random numbers from those of augmentation


@dataclass(frozen=True)
class Patches:
    """Patches of one size, and where they lie.

    Attributes:
        size: (y, x): patches of slices; or (z, y, x): patches of volumes.
        foreground_share: the share, 0 to 1, that is centred on foreground: on a voxel of a class
            that is drawn first, among those of the case, as in nnU-Net; moved so that the patch
            lies in the image. The others lie anywhere, as do all of a case without foreground.
    """

    size: tuple[int, ...]
    foreground_share: float = 1 / 3

    def draw(self, case: Case, random: np.random.Generator) -> tuple[Array, Array]:
        """Return image (channels, *size) and label (*size) of a patch at a random place."""
        return self.cut(case, self.place(case, random))

    def place(self, case: Case, random: np.random.Generator) -> tuple[int, ...]:
        """Return the first voxel (z, y, x) of a random patch; 0 where the image is smaller."""
        room = [max(side - own, 0) for side, own in zip(case.label.shape, self._box, strict=True)]
        if random.random() < self.foreground_share:
            centre = foreground_of(case).draw(random)
            if centre is not None:
                corner = (at - own // 2 for at, own in zip(centre, self._box, strict=True))
                return tuple(min(max(at, 0), last) for at, last in zip(corner, room, strict=True))
        return tuple(int(random.integers(last + 1)) for last in room)

    def cut(self, case: Case, first: Sequence[int]) -> tuple[Array, Array]:
        """Return the patch from the voxel `first` (z, y, x) on.

        An image that is smaller is padded to the patch, around its centre: with the minimum of each
        channel, and the label with background.
        """
        ends = zip(first, self._box, case.label.shape, strict=True)
        z, y, x = (slice(at, min(at + own, side)) for at, own, side in ends)
        image, label = np.asarray(case.image[z, :, y, x]), np.asarray(case.label[z, y, x])
        image = image.swapaxes(0, 1)
        lacking = [own - side for own, side in zip(self._box, label.shape, strict=True)]
        if any(lacking):
            margins = [(by // 2, by - by // 2) for by in lacking]
            channels = zip(image, channel_minima(case), strict=True)
            image = np.stack([np.pad(one, margins, constant_values=low) for one, low in channels])
            label = np.pad(label, margins)
        return (image, label) if len(self.size) == 3 else (image[:, 0], label[0])

    @property
    def _box(self) -> tuple[int, ...]:
        """The size along z, y and x."""
        return self.size if len(self.size) == 3 else (1, *self.size)


class PatchLoader(BatchLoader):
    """Yields full batches of random patches without end; see `BatchLoader`.

    Each patch is of a case drawn uniformly. It depends only on `seed` and its number.

    Args:
        cases: at least one, with the same channels; sides may differ.
        patches: size and places of the patches.
        batch_size: patches per batch, at least 1.
        seed: of the draws, 0 to 2**32 - 1.
        outputs, augment, workers: see `BatchLoader`.

    Raises:
        DataError: there is no case, cases differ in channels, or batch_size is below 1.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        patches: Patches,
        batch_size: int,
        seed: int,
        *,
        outputs: int = 1,
        augment: Augment | None = None,
        workers: int = 0,
    ) -> None:
        super().__init__(batch_size, outputs=outputs, augment=augment, workers=workers)
        if not cases or batch_size < 1:
            raise DataError(
                "patches need at least one case and a batch size of 1 or more, got "
                f"{len(cases)} cases and batch size {batch_size}; check the folds of the task"
            )
        check_channels(cases)
        self._cases, self._patches, self._seed = list(cases), patches, check_seed(seed)

    def sample(self, number: int) -> tuple[Array, Array]:
        """Return image (channels, *size) and label (*size) of the patch `number`."""
        random = np.random.default_rng((self._seed, number, _STREAM))
        case = self._cases[int(random.integers(len(self._cases)))]
        return self._patches.draw(case, random)
