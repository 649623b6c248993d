"""Data-dependent initialization of Weight Normalization (Salimans and Kingma 2016, Sect. 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from normsearch.norms.moments import full
from normsearch.norms.weights import weight_norm_of

_CONSTANT = 1e-10  # variances up to this are rounding errors


@torch.no_grad()
def initialize_weight_norms(net: nn.Module, batch: Tensor) -> int:
    """Set g and b of every WN convolution so that its output on `batch` is standardized.

    In one forward pass in training mode, layer by layer: t = w·x + b, then g ← g/σ[t] and
    b ← (b − μ[t])/σ[t] per output channel, over (N, s). This is the paper's g = 1/σ, b = −μ/σ for
    the weight v/‖v‖. Directions do not change. Without a bias the mean does not change; a channel
    that is constant on the batch keeps g. Call it once, before the first step.

    Args:
        net: any network; running statistics, training flags and torch's random state are restored
            afterwards.
        batch: (N, C, *spatial), an input as in training.

    Returns:
        The number of initialized convolutions.
    """
    chosen = [m for m in net.modules() if isinstance(m, _ConvNd) and weight_norm_of(m) == "WN"]
    if not chosen:
        return 0
    flags = [(module, module.training) for module in net.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]
    hooks = [conv.register_forward_hook(_standardize) for conv in chosen]
    devices = [batch.device] if batch.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices):
            net.train()(batch)
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in flags:
            module.training = training
        for buffer, before in buffers:
            buffer.copy_(before)
    return len(chosen)


def _standardize(conv: _ConvNd, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
    """Change g and b to standardize `out`, and return the new output."""
    variance, mean = torch.var_mean(full(out), (0, *range(2, out.dim())), correction=0)
    deviation = torch.where(variance > _CONSTANT, variance.sqrt(), 1.0)
    gain: Tensor = conv.parametrizations.weight.original0  # type: ignore[union-attr, assignment]
    gain.div_(deviation.to(gain.dtype).view_as(gain))
    if conv.bias is None:
        mean = torch.zeros_like(mean)
    else:
        conv.bias.copy_((conv.bias - mean) / deviation)
    shape = (1, -1, *[1] * (out.dim() - 2))
    return ((out - mean.view(shape)) / deviation.view(shape)).to(out.dtype)
