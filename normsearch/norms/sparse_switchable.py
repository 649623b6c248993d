"""Sparse Switchable Normalization (Shao et al., CVPR 2019), from the formulas."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad

from normsearch.norms.compiled import AS_THEY_ARE
from normsearch.norms.switchable import BRANCHES, SwitchableNorm


def sparsemax(logits: Tensor) -> Tensor:
    """The point of the simplex nearest to `logits`, (K,) (Martins and Astudillo 2016)."""
    ordered = logits.sort(descending=True).values
    ranks = torch.arange(1, len(logits) + 1, device=logits.device, dtype=logits.dtype)
    excess = ordered.cumsum(0) - 1
    support = (ranks * ordered > excess).sum()
    threshold = excess.gather(0, (support - 1)[None]) / support
    return (logits - threshold).clamp(min=0)


def sparsest_max(logits: Tensor, radius: Tensor) -> Tensor:
    """A point of the simplex at least `radius` from its centre, near `logits`; one-hot at the end.

    It is sparsemax where that is far enough out; else the point in its direction from the centre
    at distance `radius`; and where that has left the simplex, the point at that distance on the
    face that it left through (for more than 3 logits face after face). From sqrt(1 − 1/K) on, the
    corners' distance, it is one-hot. A sparsemax at the very centre has no direction: the first
    logit's corner is taken.

    Args:
        logits: (K,), K from 2 on.
        radius: a number from 0 on, 0-dim.

    Returns:
        (K,), from 0 to 1, of sum 1.
    """
    count = len(logits)
    corner = math.sqrt(1 - 1 / count)
    radius = radius.to(logits.dtype).clamp(max=corner)
    centre = torch.full_like(logits, 1 / count)
    nearest = sparsemax(logits)
    pushed = _at_distance(nearest, centre, radius)
    for _ in range(max(1, count - 2)):  # a face may be left again, through a smaller one
        face = (pushed > 0).to(logits.dtype)
        face = face / face.sum().clamp(min=1)
        rest = (radius.square() - (centre - face).square().sum()).clamp(min=0).sqrt()
        on_face = _at_distance(sparsemax(pushed), face, rest)
        pushed = torch.where((pushed < 0).any(), on_face, pushed)
    far_enough = (nearest - centre).norm() >= radius
    best = one_hot(pushed.argmax(), count).to(logits.dtype)
    # A little short of the corner counts as there: the square roots above are rounded.
    pushed = torch.where(radius >= corner * (1 - 1e-6), best, pushed)
    return torch.where(far_enough, nearest, pushed)


def _at_distance(point: Tensor, centre: Tensor, distance: Tensor) -> Tensor:
    """The point `distance` from `centre` in the direction of `point`."""
    away = point - centre
    first = one_hot(centre.argmax(), len(centre)).to(centre.dtype) - centre
    away = torch.where(away.abs().max() < 1e-6, first, away)
    return centre + distance * away / away.square().sum().clamp(min=1e-24).sqrt()


class SparseSwitchableNorm(SwitchableNorm):
    """SSN: SN whose weights are SparsestMax of the logits, one-hot when training ends.

    The radius of SparsestMax is the share of training done, which `set_progress` tells; until
    told it is 0, plain sparsemax. From 0.82 on every weight vector is one-hot. One that has become
    one-hot is frozen: its choice is kept whatever its logits do. Radius and choices are buffers,
    part of the state_dict. A batch of one is treated as in SN, with SparsestMax of IN and LN.

    Shape: (N, C, *spatial) -> the same.
    """

    spec_text = "SSN"
    softmax = False
    radius: Tensor
    choices: Tensor

    def __init__(
        self, channels: int, dims: int, eps: float = 1e-5, momentum: float | None = 0.1
    ) -> None:
        super().__init__(channels, dims, eps, momentum)
        self.register_buffer("radius", torch.tensor(0.0))
        self.register_buffer("choices", torch.full((2,), -1, dtype=torch.long))  # -1: still open

    @torch.no_grad()
    def set_progress(self, fraction: float) -> None:
        """Take the share of training that is done, 0 to 1, and freeze what has become one-hot."""
        self.radius.fill_(fraction)
        seen = self.num_batches_tracked > 0
        weights = torch.stack(
            [self.shares(logits, seen) for logits in (self.mean_logits, self.variance_logits)]
        )
        largest, best = weights.max(1)
        settled = (self.choices < 0) & (largest > 1 - 1e-6)
        self.choices.copy_(torch.where(settled, best, self.choices))

    def shares(self, logits: Tensor, with_batch: bool | Tensor) -> Tensor:
        choice = self.choices[0 if logits is self.mean_logits else 1]
        without = self._settled(pad(sparsest_max(logits[:-1], self.radius), (0, 1)), choice, 2)
        if with_batch is False:
            return without
        among_all = self._settled(sparsest_max(logits, self.radius), choice, 3)
        return among_all if with_batch is True else torch.where(with_batch, among_all, without)

    def _gated(self, with_batch: bool) -> tuple[tuple[Tensor, Tensor], int]:
        mean, variance = (
            self.shares(logits, with_batch) for logits in (self.mean_logits, self.variance_logits)
        )
        return (mean, variance), AS_THEY_ARE

    def _settled(self, weights: Tensor, choice: Tensor, branches: int) -> Tensor:
        """The frozen choice, if there is one among the first `branches`, else `weights`."""
        frozen = one_hot(choice.clamp(min=0), len(BRANCHES)).to(weights.dtype)
        return torch.where((choice >= 0) & (choice < branches), frozen, weights)
