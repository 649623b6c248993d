"""The seam against the definition written out with NumPy, in 2D and 3D."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from normsearch.norms import build_norm
from normsearch.training import count_tiles, has_seam, seam

Array = npt.NDArray[Any]


class OwnMean(nn.Module):
    """One or several channels: the input less the mean of the tile, times 1, 2, ..."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        away = x - x.mean(dim=tuple(range(2, x.ndim)), keepdim=True)
        return torch.cat([away * (k + 1) for k in range(self.channels)], dim=1)


def probabilities(logits: Array) -> Array:
    if len(logits) == 1:
        return np.asarray(1 / (1 + np.exp(-logits)))
    raised = np.exp(logits)
    return np.asarray(raised / raised.sum(axis=0))


def tiled(image: Array, starts: Sequence[Sequence[int]], tile: Sequence[int], channels: int) -> Any:
    """The probabilities of a sample (*spatial) from tiles at `starts`; NaN where there is none."""
    found = np.full((channels, *image.shape), np.nan)
    for first in itertools.product(*starts):
        place = tuple(slice(at, at + side) for at, side in zip(first, tile, strict=True))
        part = image[place].astype(float)
        logits = np.stack([(part - part.mean()) * (k + 1) for k in range(channels)])
        found[(slice(None), *place)] = probabilities(logits)
    return found


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("tile", "sides", "first", "second"),
    [
        # 23 = 4 tiles of 5 and 3 over; shifted by 2: 4 more. 12 = 2 tiles of 6; shifted by 3: 1.
        ((5, 6), (23, 12), ([0, 5, 10, 15], [0, 6]), ([2, 7, 12, 17], [3])),
        # The first axis has no room for a shift: one tile in the middle, in both.
        ((6, 4), (8, 6), ([1], [0]), ([1], [2])),
        ((2, 4, 4), (3, 5, 9), ([0], [0], [0, 4]), ([1], [0], [2])),
    ],
)
def test_the_seam_is_that_of_two_tilings(
    tile: tuple[int, ...], sides: tuple[int, ...], first: Any, second: Any, channels: int
) -> None:
    samples = torch.randn(2, 1, *sides, generator=torch.Generator().manual_seed(0))
    differences = []
    for sample in samples[:, 0].numpy():
        one, other = (tiled(sample, starts, tile, channels) for starts in (first, second))
        differences.append(np.abs(one - other))
    both = np.stack(differences)
    found = seam(OwnMean(channels), samples, tile)
    assert found == pytest.approx(float(np.nanmean(both)), abs=1e-6)
    assert found > 0.01
    assert count_tiles(sides, tile) == sum(math.prod(map(len, one)) for one in (first, second))


def test_padding_is_not_compared() -> None:
    own = torch.randn(1, 1, 4, 12, generator=torch.Generator().manual_seed(1))
    padded = nn.functional.pad(own, (0, 0, 1, 1), value=-3.0)
    expected = np.abs(np.subtract(*(
        tiled(padded[0, 0].numpy(), ([0], starts), (6, 6), 1)[:, 1:5, 3:9]
        for starts in ([0, 6], [3])
    ))).mean()  # fmt: skip
    assert seam(OwnMean(), padded, (6, 6), own=(4, 12)) == pytest.approx(expected, abs=1e-6)
    assert seam(OwnMean(), padded, (6, 6)) != pytest.approx(expected, abs=1e-3)


def test_a_network_that_looks_at_single_voxels_has_no_seam() -> None:
    network = nn.Conv2d(1, 2, 1)
    assert seam(network, torch.randn(3, 1, 20, 20), (8, 8)) == 0


def test_statistics_of_a_tile_make_a_seam_and_those_of_the_training_do_not() -> None:
    image = torch.randn(1, 1, 32, 32) + torch.linspace(0, 4, 32)  # brighter to the right
    found = {}
    for norm in ("BN", "BRN", "LN", "IN"):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(1, 4, 1), build_norm(norm, 4, 2), nn.Conv2d(4, 1, 1))
        for _ in range(5):
            network(image)  # running statistics
        found[norm] = seam(network, image, (16, 16))
    assert max(found["BN"], found["BRN"]) < 1e-6
    assert min(found["LN"], found["IN"]) > 0.02


@pytest.mark.parametrize(
    ("sides", "tile", "room"),
    [((15, 8), (8, 8), True), ((11, 11), (8, 8), False), ((12, 8), (8, 8), True),
     ((9, 1), (1, 1), False), ((4, 11, 12), (8, 8, 8), True)],
)  # fmt: skip
def test_room_for_a_shift(sides: tuple[int, ...], tile: tuple[int, ...], room: bool) -> None:
    assert has_seam(sides, tile) is room
    padded = tuple(max(pair) for pair in zip(sides, tile, strict=True))
    found = seam(OwnMean(), torch.randn(1, 1, *padded), tile)
    assert math.isnan(found) is not room
    assert (count_tiles(padded, tile) > 0) is room
