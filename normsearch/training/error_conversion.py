"""Converts errors caused by the choices of a trial to typed errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from normsearch.errors import NormError, TrainingError

_MEMORY = (
    "can't allocate memory",
    "out of memory",
    "ALLOC_FAILED",
    "size calculation overflowed",
)  # CPU, CUDA, its libraries
_NORM = ("Expected more than 1 value per channel", "Expected more than 1 spatial element")


@contextmanager
def typed_failures(batch_size: int) -> Iterator[None]:
    """Convert errors of too little memory, or too few values for a norm, to TrainingError.

    Raises:
        TrainingError: of kind ``memory`` or ``norm``.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        raise _memory(batch_size, error) from error
    except ValueError as error:  # raised by torch's norms for one pixel of one sample
        if not isinstance(error, NormError) and not str(error).startswith(_NORM):
            raise
        raise TrainingError(
            f"a norm cannot train at batch size {batch_size}: {error}", kind="norm"
        ) from error


def lacks_memory(error: BaseException) -> bool:
    """Return whether an error reports too little memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _MEMORY)


def _memory(batch_size: int, error: Exception) -> TrainingError:
    return TrainingError(
        f"memory does not suffice for batch size {batch_size}: {error}", kind="memory"
    )
