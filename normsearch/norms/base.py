"""The base of the norms that are no moments -> coefficients -> affine: they know their slot."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from normsearch.errors import NormError

_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def by_rows(x: Tensor, norm: Callable[[Tensor], Tensor]) -> Tensor:
    """`norm` of `x` laid out channel by channel; the result in the memory format of `x`.

    On a CPU torch 2.13's group_norm takes E[x²] − E[x]² of channels_last inputs, wrong by more than
    the values themselves at means of 1e3; its instance_norm loses the memory format.
    """
    if x.is_contiguous():
        return norm(x)
    out = norm(x.contiguous())
    last = _LAST.get(x.dim())
    if last is not None and x.is_contiguous(memory_format=last):
        return out.contiguous(memory_format=last)
    return out


class PlainNorm(nn.Module):
    """A norm of (N, C, *spatial) tensors that remembers its slot, so that the slot stays findable.

    Args:
        channels: C.
        dims: the number of spatial axes: 1, 2 or 3.
    """

    spec_text: str  # what NormSpec.parse reads back

    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        self.channels = channels
        self.dims = dims

    def check_input(self, x: Tensor) -> None:
        """Raise NormError unless `x` is (N, C, *spatial) with this norm's C and spatial axes."""
        if x.dim() != self.dims + 2 or x.shape[1] != self.channels:
            axes = ", ".join(["N", str(self.channels), *"DHW"[3 - self.dims :]])
            raise NormError(f"{self.spec_text} needs an input ({axes}), got {tuple(x.shape)}")

    def extra_repr(self) -> str:
        return f"{self.spec_text}, {self.channels}, dims={self.dims}"
