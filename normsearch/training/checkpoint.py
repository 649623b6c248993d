"""One file that holds everything a training needs to go on bit-exactly."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from normsearch.errors import CheckpointError
from normsearch.files import write_atomically

FORMAT = 1


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, texts, lists, dicts) to `path`, whole or not at all."""
    write_atomically(path, lambda file: torch.save({"format": FORMAT, **state}, file))


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Return what `save_checkpoint` wrote, on the CPU, or None if there is no such file.

    Raises:
        CheckpointError: the file is damaged or of another format.
    """
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"{path}: must be a whole checkpoint, and cannot be read ({error}); "
            "delete it to train this trial from the start."
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(f"{path}: must be a normsearch checkpoint of format {FORMAT}.")
    return state
