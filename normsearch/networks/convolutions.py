"""The convolutions of any network: their spatial axes, and which one precedes a norm."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd

from normsearch.networks.token_norm import TokenNorm
from normsearch.norms import BatchKalmanNorm

_AXES: dict[type[nn.Module], int] = {
    nn.Conv1d: 1,
    nn.Conv2d: 2,
    nn.Conv3d: 3,
    nn.ConvTranspose1d: 1,
    nn.ConvTranspose2d: 2,
    nn.ConvTranspose3d: 3,
}


def spatial_axes(module: nn.Module) -> int | None:
    """Return the number of spatial axes of a convolution; None for other modules."""
    return next((axes for kind, axes in _AXES.items() if isinstance(module, kind)), None)


def conv_before(net: nn.Module, norm: nn.Module, channels: int) -> _ConvNd | None:
    """Return the convolution with `channels` outputs registered directly before a norm, or None.

    Only dropout and Identity may be registered between the two. If a network calls its modules in
    another order than it registers them, the result may be a convolution that does not precede the
    norm.
    """
    last: nn.Module | None = None
    for module in _leaves(net):
        if module is norm:
            break
        if not isinstance(module, _DropoutNd | nn.Identity):
            last = module
    fits = isinstance(last, _ConvNd) and last.out_channels == channels
    return last if fits and isinstance(last, _ConvNd) else None


def link_priors(net: nn.Module) -> None:
    """Link every BKN of a network to the BKN and the convolution that its prior comes from, if any.

    The convolution is that of `conv_before`; the other BKN is registered directly before it, apart
    from ReLU, dropout and Identity. Each BKN detects unregistered operations in between (a pooling,
    a skip) in its forward pass.
    """
    last: nn.Module | None = None
    behind: nn.Module | None = None  # the module before `last`
    for module in _leaves(net):
        if isinstance(module, _DropoutNd | nn.Identity | nn.ReLU):
            continue
        if isinstance(module, BatchKalmanNorm):
            module.unlink()
            if isinstance(last, _ConvNd) and isinstance(behind, BatchKalmanNorm):
                module.link(last, behind)
        behind, last = last, module


def _leaves(module: nn.Module, seen: set[nn.Module] | None = None) -> Iterator[nn.Module]:
    """Yield the modules without children, each once; convolutions and TokenNorms are leaves."""
    seen = set() if seen is None else seen
    if module in seen:
        return
    seen.add(module)
    children = [] if isinstance(module, _ConvNd | TokenNorm) else list(module.children())
    if not children:
        yield module
    for child in children:
        yield from _leaves(child, seen)
