"""One file that holds everything a training needs to go on bit-exactly."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from normsearch.errors import CheckpointError
from normsearch.files import write_atomically

FORMAT = 2
_UNREADABLE = (
    *(RuntimeError, EOFError, OSError, ValueError, TypeError, AttributeError, LookupError),
    pickle.UnpicklingError,
)  # all that torch.load raised on damaged files


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, texts, lists, dicts) to `path`, whole or not at all."""
    write_atomically(path, lambda file: torch.save({"format": FORMAT, **state}, file))


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Return what `save_checkpoint` wrote, on the CPU, or None if there is no such file.

    Raises:
        CheckpointError: the file is damaged or of another format.
    """
    state = load_tensors(path)
    if state is not None and (not isinstance(state, dict) or state.get("format") != FORMAT):
        raise CheckpointError(f"{path}: must be a normsearch checkpoint of format {FORMAT}.")
    return state


def load_tensors(path: Path) -> Any:
    """Return what torch.save wrote, tensors and plain values alone, or None without a file.

    Raises:
        CheckpointError: the file is damaged or holds other things.
    """
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        # What the unpickler says ends in the advice to load the file unsafely.
        safe = not isinstance(error, pickle.UnpicklingError)
        reason = str(error).partition("\n")[0] if safe else "it is not of tensors and plain values"
        raise CheckpointError(
            f"{path}: must be a whole checkpoint, and cannot be read ({reason}); "
            "delete it to train this trial from the start."
        ) from error
