"""Faults that a trial's choice explains, as typed errors: another choice may well train."""

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
    """Turn what torch raises for want of memory, and norms for want of values, into TrainingError.

    Raises:
        TrainingError: of kind ``memory`` or ``norm``.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        raise _memory(batch_size, error) from error
    except ValueError as error:  # torch's norms raise it for one pixel of one sample
        if not isinstance(error, NormError) and not str(error).startswith(_NORM):
            raise
        raise TrainingError(
            f"a norm cannot train at batch size {batch_size}: {error}", kind="norm"
        ) from error


def lacks_memory(error: BaseException) -> bool:
    """Return whether an error was raised for want of memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _MEMORY)


def _memory(batch_size: int, error: Exception) -> TrainingError:
    return TrainingError(
        f"memory does not suffice for batch size {batch_size}: {error}", kind="memory"
    )
