"""SparsestMax (Shao et al., CVPR 2019): weights that become one-hot, for SSN and mixtures."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from normsearch.norms.derivatives import first_only

_ROUNDING = 8  # in units of the dtype's eps: so close to a corner counts as one-hot
_above = torch.ops.aten.threshold_backward  # (a, b, c): a where b > c, else 0, in one launch


class _SparsestMax(torch.autograd.Function):
    """sparsemax(s·z), s the least factor of at least 1 that reaches the radius.

    On the face of the m largest logits, |sparsemax(s·z)|² is 1/m + s²·D_m, D_m their sum of squares
    about their mean, and sparsemax is on the face where this is least. Hence s² is the maximum over
    m of (r² + 1/K − 1/m) / D_m; likewise, the threshold of sparsemax is one over m.

    The gradient is by hand: autograd's needs twice as many operations on a few numbers, each of
    which a GPU launches. It is that of sparsemax, and where s exceeds 1, of a point that can only
    move around the centre of its face. For logits that are all equal, s comes from their order
    alone: a gradient with it would be of a size of 1e6 and prefer some for their place. It is that
    of sparsemax there, as of the centre.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, radius: Tensor) -> Tensor:
        count, eps = logits.shape[-1], torch.finfo(logits.dtype).eps
        ordered, order = logits.sort(stable=True, dim=-1, descending=True)
        places = torch.arange(count, device=logits.device, dtype=logits.dtype)
        # Distances below the largest; of equal logits, the first is larger by rounding.
        below = torch.add(ordered[..., :1] - ordered, places, alpha=2 * eps)
        ranks = places + 1
        sums = below.cumsum(-1)
        means = sums / ranks
        squares = torch.addcmul((below * below).cumsum(-1), sums, means, value=-1)  # D_m
        inverse = ranks.reciprocal()
        needed = torch.addcmul(1 / count - inverse, radius, radius, value=1 + _ROUNDING * eps)
        factor = (needed[1:] / squares[..., 1:]).amax(-1, keepdim=True).clamp_(min=1).sqrt_()
        threshold = torch.addcmul(inverse, factor, means).amin(-1, keepdim=True)
        point = torch.addcmul(threshold, factor, below, value=-1).clamp_(min=0)
        point = point.scatter(-1, order, point)
        equal = below[..., -1:] <= 4 * eps * (count - 1)
        ctx.save_for_backward(point, _above(factor, point, 0).masked_fill_(equal, 1))
        return point

    @staticmethod
    @first_only
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        point, face = ctx.saved_tensors  # s on the face, else 0
        centre = face / face.sum(-1, keepdim=True)
        outward = _above(point - centre, face, 1)
        outward /= outward.norm(dim=-1, keepdim=True).clamp_(min=torch.finfo(point.dtype).tiny)
        both = torch.stack((centre, outward))
        total, along = (gradient * both).sum(-1, keepdim=True)
        left = torch.addcmul(gradient - total, along, outward, value=-1)
        return left * face, None


def corner_distance(count: int) -> float:
    """Return the distance of the simplex's corners from its centre."""
    return math.sqrt(1 - 1 / count)


def sparsest_max(logits: Tensor, radius: Tensor) -> Tensor:
    """Return a point of the simplex near `logits` and at least `radius` from its centre.

    It is the sparsemax (the nearest point of the simplex; Martins and Astudillo 2016) of the
    logits if that is far enough from the centre, else that of the logits times the least factor
    that moves it so far: straight away from the centre to a face, then along the face. From
    sqrt(1 − 1/K) on, the distance of the corners, it is one-hot. Equal logits count as in
    descending order, but where all are equal, the gradient is that of sparsemax for every radius,
    which prefers none. Supports first derivatives only.

    Args:
        logits: (..., K), finite.
        radius: at least 0, 0-dim.

    Returns:
        (..., K), from 0 to 1, of sum 1.
    """
    if logits.shape[-1] == 1:
        return torch.ones_like(logits)
    point: Tensor = _SparsestMax.apply(logits, radius.to(logits.dtype))  # type: ignore[no-untyped-call]
    return point
