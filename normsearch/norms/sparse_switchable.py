"""Sparse Switchable Normalization (Shao et al., CVPR 2019), from the formulas."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad

from normsearch.norms.compiled import AS_THEY_ARE
from normsearch.norms.switchable import BRANCHES, SwitchableNorm


def sparsemax(logits: Tensor) -> Tensor:
    """Return the point of the simplex nearest to `logits`, (K,) (Martins and Astudillo 2016)."""
    ordered = logits.sort(descending=True).values
    ranks = torch.arange(1, len(logits) + 1, device=logits.device, dtype=logits.dtype)
    excess = ordered.cumsum(0) - 1
    support = (ranks * ordered > excess).sum()
    threshold = excess.gather(0, (support - 1)[None]) / support
    return (logits - threshold).clamp(min=0)


def sparsest_max(logits: Tensor, radius: Tensor) -> Tensor:
    """Return a point of the simplex near `logits` and at least `radius` from its centre.

    It is the sparsemax if that is far enough from the centre, else the point at distance `radius`
    in its direction. If that point lies outside the simplex, it is the point at that distance on
    the face in between (for more than 3 logits, on one face after another). From sqrt(1 − 1/K) on,
    the distance of the corners, it is one-hot. If sparsemax is the centre itself, the direction is
    that of the first logit's corner.

    Args:
        logits: (K,), K at least 2.
        radius: at least 0, 0-dim.

    Returns:
        (K,), from 0 to 1, of sum 1.
    """
    count = len(logits)
    corner = math.sqrt(1 - 1 / count)
    radius = radius.to(logits.dtype).clamp(max=corner)
    centre = torch.full_like(logits, 1 / count)
    nearest = sparsemax(logits)
    pushed = _at_distance(nearest, centre, radius)
    for _ in range(max(1, count - 2)):  # the point may leave a face again
        face = (pushed > 0).to(logits.dtype)
        face = face / face.sum().clamp(min=1)
        rest = (radius.square() - (centre - face).square().sum()).clamp(min=0).sqrt()
        on_face = _at_distance(sparsemax(pushed), face, rest)
        pushed = torch.where((pushed < 0).any(), on_face, pushed)
    far_enough = (nearest - centre).norm() >= radius
    best = one_hot(pushed.argmax(), count).to(logits.dtype)
    # Within rounding of the corner counts as one-hot.
    pushed = torch.where(radius >= corner * (1 - 1e-6), best, pushed)
    return torch.where(far_enough, nearest, pushed)


def _at_distance(point: Tensor, centre: Tensor, distance: Tensor) -> Tensor:
    """Return the point at `distance` from `centre` in the direction of `point`."""
    away = point - centre
    first = one_hot(centre.argmax(), len(centre)).to(centre.dtype) - centre
    away = torch.where(away.abs().max() < 1e-6, first, away)
    return centre + distance * away / away.square().sum().clamp(min=1e-24).sqrt()


class SparseSwitchableNorm(SwitchableNorm):
    """SSN: SN with SparsestMax instead of the softmax; the weights are one-hot when training ends.

    The radius of SparsestMax is the fraction of training done, given to `set_progress`; initially
    it is 0, which is sparsemax. From 0.82 on every weight vector is one-hot. A one-hot vector is
    frozen: later changes of its logits have no effect. Radius and choices are buffers in the
    state_dict. A batch of one is treated as in SN, with SparsestMax of IN and LN.

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
        self.register_buffer(
            "choices", torch.full((2,), -1, dtype=torch.long)
        )  # -1: not yet frozen

    @torch.no_grad()
    def set_progress(self, fraction: float) -> None:
        """Set the fraction of training that is done, 0 to 1, and freeze one-hot weights."""
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

    def _gated(self, with_batch: bool | Tensor) -> tuple[tuple[Tensor, Tensor], int]:
        mean, variance = (
            self.shares(logits, with_batch) for logits in (self.mean_logits, self.variance_logits)
        )
        return (mean, variance), AS_THEY_ARE

    def _settled(self, weights: Tensor, choice: Tensor, branches: int) -> Tensor:
        """Return the frozen choice if it is one of the first `branches`, else `weights`."""
        frozen = one_hot(choice.clamp(min=0), len(BRANCHES)).to(weights.dtype)
        return torch.where((choice >= 0) & (choice < branches), frozen, weights)
