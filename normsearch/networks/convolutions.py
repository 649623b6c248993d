"""The convolutions of any network: their spatial axes, and which one stands before a norm."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd

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


def _leaves(module: nn.Module) -> Iterator[nn.Module]:
    """The modules without children, a convolution counting as one whatever is inside it."""
    children = [] if isinstance(module, _ConvNd) else list(module.children())
    if not children:
        yield module
    for child in children:
        yield from _leaves(child)
