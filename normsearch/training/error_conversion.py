"""Converts errors caused by the choices of a trial to typed errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from normsearch.errors import NormError, TrainingError, ended_by_ray, one_line
from normsearch.training.gpu_share import short_of_memory, taken_by_others

_MEMORY = (
    "can't allocate memory",
    "out of memory",
    "ALLOC_FAILED",
    "ALLOCATION_FAILED",
    "size calculation overflowed",
)  # CPU, CUDA, its libraries
# cuDNN says so when it finds no memory to start or to work in, and of other faults too.
_IN_DOUBT = ("unable to find an engine", "CUDNN_STATUS_NOT_INITIALIZED")
_NORM = ("Expected more than 1 value per channel", "Expected more than 1 spatial element")


@contextmanager
def typed_failures(batch_size: int) -> Iterator[None]:
    """Convert errors of memory, of too few values for a norm, of torch.compile, and sys.exit.

    Raises:
        TrainingError: of kind ``memory``, ``neighbour`` (other processes leave too little of the
            GPU's memory, so that the trial's choices are not the cause), ``norm``, ``compile`` or,
            if code of the user calls sys.exit, ``trainer``.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if lacks_memory(error):
            raise _memory(batch_size, error) from error
        if _of_the_compiler(error):
            if any(text in str(error) for text in _NORM):  # one that it found while compiling
                raise _norm(batch_size, "it needs more than one value per channel") from error
            raise TrainingError(
                f"torch.compile fails on this network, and says: {one_line(error)}; leave "
                "training.compile out",
                kind="compile",
            ) from error
        raise
    except SystemExit as error:
        if ended_by_ray(error):
            raise
        raise TrainingError(
            f"the training's code must not end the process, and called sys.exit ({error}); let it "
            "raise an error, or return",
            kind="trainer",
        ) from error
    except ValueError as error:  # raised by torch's norms for one pixel of one sample
        if not isinstance(error, NormError) and not str(error).startswith(_NORM):
            raise
        raise _norm(batch_size, str(error)) from error


def lacks_memory(error: BaseException) -> bool:
    """Return whether an error reports too little memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    told = str(error)
    if any(text in told for text in _MEMORY):
        return True
    return any(text in told for text in _IN_DOUBT) and short_of_memory()


def _of_the_compiler(error: Exception) -> bool:
    """Return whether torch.compile raised an error; its classes have no public names."""
    modules = (kind.__module__ for kind in type(error).__mro__)
    return any(module.startswith(("torch._dynamo", "torch._inductor")) for module in modules)


def _norm(batch_size: int, reason: str) -> TrainingError:
    return TrainingError(f"a norm cannot train at batch size {batch_size}: {reason}", kind="norm")


def _memory(batch_size: int, error: Exception) -> TrainingError:
    if taken_by_others():
        return TrainingError(
            f"other processes leave the GPU less memory than this trial's share of it: {error}",
            kind="neighbour",
        )
    return TrainingError(
        f"memory does not suffice for batch size {batch_size}: {error}", kind="memory"
    )
