"""The seam of a network: how far its prediction depends on where the tiles of an image lie."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from normsearch.training.validation import window_logits


class _Axis(NamedTuple):
    """Where the tiles of the two predictions lie along one axis, as (start, end) each."""

    first: tuple[int, int]
    second: tuple[int, int]
    compared: tuple[int, int]


@torch.no_grad()
def seam(
    network: nn.Module,
    samples: Tensor,
    tile: Sequence[int],
    *,
    own: Sequence[int] | None = None,
    device: str = "cpu",
) -> float:
    """Return the seam of a network on the image of a case: 0 (none) to 1.

    The image is predicted twice, by whole tiles side by side, without overlap and weights. The
    tiles of the first prediction begin at the image's first voxel. Those of the second are shifted
    by half a tile along every axis that has room for it, that is one and a half tiles. The seam is
    the mean absolute difference of the class probabilities over all classes (with one output
    channel: its sigmoid) and all voxels that both predictions cover. Along the shifted axes these
    lie at least half a tile from the image's rim. An axis without room has its tiles in the middle,
    in both predictions.

    A network whose output at a voxel depends on its near surroundings alone has a seam only near
    the borders of tiles. Norms that take their statistics from a tile add to it everywhere
    (Buglakova et al., ICCV 2025, arXiv 2503.19545).

    Args:
        network: maps (S, C, *spatial) to logits (S, K, *spatial), each sample independently; it is
            in eval mode afterwards.
        samples: (S, C, *spatial), with spatial sides of at least a tile.
        tile: the spatial sides of the network's inputs.
        own: the spatial sides of the image before it was padded up to a tile around its centre; the
            padding is not compared. None: it was not padded.
        device: the device of the network.

    Returns:
        NaN if no axis has room; see `has_seam`.
    """
    sides = samples.shape[2:]
    if not has_seam(sides, tile):
        return math.nan
    network.eval()
    axes = [_axis(*three) for three in zip(sides, tile, own or sides, strict=True)]
    first, second = (
        _inside(_probabilities(network, samples, tile, places, device), places, axes)
        for places in ([axis.first for axis in axes], [axis.second for axis in axes])
    )
    return float((first - second).abs().mean(dtype=torch.float64))


def has_seam(sides: Sequence[int], tile: Sequence[int]) -> bool:
    """Return whether an image has room for shifted tiles: one and a half along an axis."""
    return any(_has_room(side, size) for side, size in zip(sides, tile, strict=True))


def count_tiles(sides: Sequence[int], tile: Sequence[int]) -> int:
    """Return the number of tiles of both predictions of `seam`; 0 of an image without one."""
    if not has_seam(sides, tile):
        return 0
    axes = [_axis(side, size, side) for side, size in zip(sides, tile, strict=True)]
    both = [[axis.first for axis in axes], [axis.second for axis in axes]]
    return sum(
        math.prod((end - start) // size for (start, end), size in zip(places, tile, strict=True))
        for places in both
    )


def _has_room(side: int, size: int) -> bool:
    return size > 1 and side >= size + size // 2


def _axis(side: int, size: int, own: int) -> _Axis:
    """Return the places along one axis of `side` voxels, of which `own` are of the image."""
    count = side // size
    if not _has_room(side, size):
        start = (side - count * size) // 2
        both = (start, start + count * size)
        low = max(start, (side - own) // 2)
        return _Axis(both, both, (low, min(both[1], low + own)))
    half = size // 2
    first, second = (0, count * size), (half, half + (side - half) // size * size)
    return _Axis(first, second, (half, min(first[1], second[1])))


def _probabilities(
    network: nn.Module,
    samples: Tensor,
    tile: Sequence[int],
    places: Sequence[tuple[int, int]],
    device: str,
) -> Tensor:
    part = samples[_places(slice(*place) for place in places)]
    logits = window_logits(network, part, tuple(tile), device, "cpu", overlap=0.0)
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)


def _inside(values: Tensor, places: Sequence[tuple[int, int]], axes: Sequence[_Axis]) -> Tensor:
    """Return the compared part of what covers `places`."""
    pairs = zip(places, (axis.compared for axis in axes), strict=True)
    return values[_places(slice(low - start, high - start) for (start, _), (low, high) in pairs)]


def _places(spatial: Iterable[slice]) -> Any:
    """Return the index of a part of the last axes."""
    return (..., *spatial)
