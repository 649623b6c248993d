"""Gradient checkpointing: activations computed again in the backward pass, not kept."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from normsearch.errors import NetworkError


@runtime_checkable
class Checkpoints(Protocol):
    """A network that can save memory by gradient checkpointing."""

    checkpointing: bool


def use_checkpointing(network: nn.Module) -> None:
    """Let a network compute activations again in the backward pass, to save memory.

    Raises:
        NetworkError: the network does not offer it.
    """
    if not isinstance(network, Checkpoints):
        raise NetworkError(
            f"training.checkpointing: {type(network).__name__} must offer it by an attribute "
            "`checkpointing`, and does not; leave the key out."
        )
    network.checkpointing = True


def checkpointed(block: nn.Module, *inputs: Tensor) -> Tensor:
    """Return `block(*inputs)`; its inner activations are computed again in the backward pass.

    A second pass sees the block's buffers (running statistics) as the first one did and leaves no
    trace in them, so that gradients and statistics are those of an ordinary pass.
    """
    out: Tensor
    if not torch.is_grad_enabled():
        out = block(*inputs)
        return out
    contexts = partial(_contexts, block)
    out = checkpoint(block, *inputs, use_reentrant=False, context_fn=contexts)
    return out


def _contexts(
    block: nn.Module,
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    before = _Buffers(block)
    return before, _Again(before)


class _Buffers(AbstractContextManager[None]):
    """Remembers a block's buffers as they are when the first pass begins."""

    def __init__(self, block: nn.Module) -> None:
        self.block = block
        self.values: list[tuple[nn.Module, str, Tensor]] = []

    def __enter__(self) -> None:
        self.values = [
            (module, name, buffer.clone())
            for module in self.block.modules()
            for name, buffer in module.named_buffers(recurse=False)
        ]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None


class _Again(AbstractContextManager[None]):
    """Puts the remembered buffers in place of the present ones while the second pass runs.

    Tensors are exchanged, not written to: autograd has kept the present ones.
    """

    def __init__(self, before: _Buffers) -> None:
        self._before = before
        self._present: list[Tensor] = []

    def __enter__(self) -> None:
        self._present = []
        for module, name, value in self._before.values:
            self._present.append(module.get_buffer(name))
            # A copy: a backward pass inside the backward pass asks for one more forward pass.
            setattr(module, name, value.clone())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for (module, name, _), present in zip(self._before.values, self._present, strict=True):
            setattr(module, name, present)
