"""What a network keeps for the backward pass, and gradient checkpointing, which saves that."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
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
    """Turn on gradient checkpointing in a network.

    Raises:
        NetworkError: the network does not support it.
    """
    if not isinstance(network, Checkpoints):
        raise NetworkError(
            f"training.checkpointing: {type(network).__name__} must have an attribute "
            "`checkpointing` to support it, and has none; leave the key out."
        )
    network.checkpointing = True


def kept_storages(network: nn.Module, forward: Callable[[], Tensor]) -> list[int]:
    """Return the bytes of each storage that a forward pass keeps for the backward pass.

    Args:
        network: its parameters are not counted.
        forward: runs the pass, in training mode, and returns a tensor of its graph.
    """
    weights = {one.untyped_storage().data_ptr() for one in network.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # an operation that saves its own output would hold itself for ever

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = forward()  # kept alive, so that no two storages have one place
    del out
    return list(kept.values())


def checkpointed(block: nn.Module, *inputs: Tensor) -> Tensor:
    """Return `block(*inputs)`; its inner activations are recomputed in the backward pass.

    The second pass uses the buffers (running statistics) as they were in the first and does not
    change them, so that gradients and statistics equal those of an ordinary pass.
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
    before = _SavedBuffers(block)
    return before, _RestoredBuffers(before)


class _SavedBuffers(AbstractContextManager[None]):
    """Saves a block's buffers at the start of the first pass."""

    def __init__(self, block: nn.Module) -> None:
        self.block = block
        self.values: list[tuple[nn.Module, str, Tensor]] = []

    def __enter__(self) -> None:
        self.values = [
            (module, name, buffer.clone())
            for module in self.block.modules()
            for name, buffer in module.named_buffers(recurse=False)
        ]

    def __exit__(self, *error: object) -> None:
        return None


class _RestoredBuffers(AbstractContextManager[None]):
    """Replaces the current buffers by the saved ones during the second pass.

    Tensors are exchanged, not modified, because autograd has saved the current ones.
    """

    def __init__(self, before: _SavedBuffers) -> None:
        self._before = before
        self._current: list[Tensor] = []

    def __enter__(self) -> None:
        self._current = []
        for module, name, value in self._before.values:
            self._current.append(module.get_buffer(name))
            # A copy, as a backward pass within the backward pass runs another forward pass.
            setattr(module, name, value.clone())

    def __exit__(self, *error: object) -> None:
        for (module, name, _), current in zip(self._before.values, self._current, strict=True):
            setattr(module, name, current)
