"""The moments of a batch, of this process or of all processes together."""

from __future__ import annotations

from typing import Any, overload

import torch
import torch.distributed as dist
from torch import Tensor

from normsearch.errors import NormError
from normsearch.norms.moments import Moments, pool


class _GatherAll(torch.autograd.Function):
    """Gather (K, C) of each process to (R, K, C); the gradient is summed over processes."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, own.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous()
        dist.all_reduce(total)
        return total[dist.get_rank()]


def is_shared(sync: bool) -> bool:
    """Return whether `sync` is set and other processes share the batch."""
    shared = sync and dist.is_available() and dist.is_initialized()
    return shared and dist.get_world_size() > 1


def pool_batch(moments: Moments, pixels: int, sync: bool = False) -> tuple[Moments, int | Tensor]:
    """Return the moments of each channel over the batch, (1, C), and the number of values of each.

    With `sync` and torch.distributed initialised, the batch is that of the default process group:
    one all-gather of counts, means and variances, merged by Chan, Golub and LeVeque (1983) with
    each process weighted by its count. The gradient is that of the sum of all processes' losses.

    Args:
        moments: (N, C), of this process's samples.
        pixels: the number of pixels of each; may differ between processes.
        sync: whether to include all processes.

    Returns:
        Moments, and the number of values: an int, or a 0-dim tensor of at least 2 when shared.
    """
    local = pool(moments, 0)
    values = len(moments.mean) * pixels
    if not is_shared(sync):
        return local, values
    counts = torch.full_like(local.mean, float(values))
    gathered: Tensor = _GatherAll.apply(torch.cat((counts, *local)))  # type: ignore[no-untyped-call]
    count, means, variances = gathered.unbind(1)
    total = count.sum(0, keepdim=True)
    share = count / total
    # Relative to the first process's mean, so that no large means are summed.
    mean = means[:1] + (share * (means - means[:1])).sum(0, keepdim=True)
    variance = (share * (variances + (means - mean).square())).sum(0, keepdim=True)
    return Moments(mean, variance), total[0, 0].detach()


@overload
def bessel(values: int, norm: str, unit: str = ...) -> float: ...
@overload
def bessel(values: Tensor, norm: str, unit: str = ...) -> Tensor: ...
@overload
def bessel(values: int | Tensor, norm: str, unit: str = ...) -> float | Tensor: ...
def bessel(values: int | Tensor, norm: str, unit: str = "channel") -> float | Tensor:
    """Return n / (n − 1), the ratio of the unbiased to the biased variance of n values.

    Raises:
        NormError: n is 1 (batch 1, one pixel): a batch norm cannot train on it.
    """
    if isinstance(values, int) and values < 2:
        raise NormError(
            f"{norm} needs more than one value per {unit} in training, got {values}; "
            "use a larger batch or input, or a norm of single samples such as GN"
        )
    return values / (values - 1)
