"""The convolutions of any network: their spatial axes, and which one stands before a norm."""

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
    """The number of spatial axes of a convolution; None for other modules."""
    return next((axes for kind, axes in _AXES.items() if isinstance(module, kind)), None)


def conv_before(net: nn.Module, norm: nn.Module, channels: int) -> _ConvNd | None:
    """The convolution registered directly before a norm, with `channels` output channels, if any.

    Order is that of registration; only dropout and Identity may stand between. A network that
    registers its modules in another order than it calls them cannot be read so: there the
    convolution found may be another one.
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
    """Tell every BKN of a network which BKN and which convolution its prior comes from, if any.

    The convolution is that of `conv_before`; the BKN before is the one registered directly before
    it, ReLU, dropout and Identity left out. What stands between but is not registered (a pooling,
    a skip) each BKN finds out in its forward pass.
    """
    last: nn.Module | None = None
    behind: nn.Module | None = None  # what stands directly before `last`
    for module in _leaves(net):
        if isinstance(module, _DropoutNd | nn.Identity | nn.ReLU):
            continue
        if isinstance(module, BatchKalmanNorm):
            module.unlink()
            if isinstance(last, _ConvNd) and isinstance(behind, BatchKalmanNorm):
                module.link(last, behind)
        behind, last = last, module


def _leaves(module: nn.Module, seen: set[nn.Module] | None = None) -> Iterator[nn.Module]:
    """The modules without children, each once; a convolution and a TokenNorm count as one."""
    seen = set() if seen is None else seen
    if module in seen:
        return
    seen.add(module)
    children = [] if isinstance(module, _ConvNd | TokenNorm) else list(module.children())
    if not children:
        yield module
    for child in children:
        yield from _leaves(child, seen)
