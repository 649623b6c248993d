"""What networks return: logits, or logits at several scales (deep supervision)."""

from __future__ import annotations

from torch import Tensor, nn


def scales(out: object, axes: int, *, first_alone: bool = False) -> list[Tensor] | None:
    """Return a network's logits at each scale, (B, K, *sides); None if it returned other things.

    Args:
        out: one tensor (B, K, *spatial); a list or tuple of them, the largest first; or several of
            one size, stacked as (B, n, K, *spatial).
        axes: the number of spatial axes.
        first_alone: return the first of a list or tuple, whatever follows it.
    """
    if isinstance(out, Tensor):
        found = list(out.unbind(1)) if out.dim() == axes + 3 else [out]
    elif isinstance(out, list | tuple):
        found = list(out[:1] if first_alone else out)
    else:
        return None
    whole = found and all(isinstance(one, Tensor) for one in found)
    return (found[:1] if first_alone else found) if whole else None


def first_in_eval(net: nn.Module, inputs: object, out: object) -> object:
    """Return the first of several outputs in eval: a forward hook for networks of others.

    Some networks return all scales in eval too, as nnU-Net's do.
    """
    several = isinstance(out, list | tuple) and len(out) > 0
    return out[0] if several and not net.training else out  # type: ignore[index]
