"""Checkpoints: files with everything that is needed to resume a training exactly."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch

from normsearch.errors import CheckpointError, one_line
from normsearch.files import is_there, open_regular, write_atomically

FORMAT = 2
_DEEPEST = 40  # nesting levels
_SHARED = 16  # references to one tensor in a file
_UNREADABLE = (
    *(RuntimeError, EOFError, OSError, ValueError, TypeError, AttributeError, LookupError),
    *(pickle.UnpicklingError, zipfile.BadZipFile, NotImplementedError, MemoryError),
)  # exceptions of torch.load for damaged files


def save_checkpoint(
    path: Path, state: dict[str, Any], *, before_rename: Callable[[], object] = lambda: None
) -> None:
    """Write `state` (tensors, numbers, texts, lists, dicts) to `path` atomically.

    The file holds the SHA-256 of the state, as torch.load does not detect flipped bits.

    Raises:
        DiskFullError: the disk is full.
    """
    signed = {"format": FORMAT, "sha256": _digest(state), **state}
    whole = io.BytesIO()  # torch.save would hide the error of a full disk
    torch.save(signed, whole)
    write_atomically(path, lambda file: file.write(whole.getbuffer()), before_rename=before_rename)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Return the state of a checkpoint, on the CPU, or None if there is no such file.

    Raises:
        CheckpointError: the file is damaged or has another format.
    """
    state = load_tensors(path)
    if state is None:
        return None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(f"{path}: must be a normsearch checkpoint of format {FORMAT}.")
    state = {key: value for key, value in state.items() if key != "format"}
    try:
        whole = state.pop("sha256", None) == _digest(state)
    except (RuntimeError, TypeError, ValueError):  # values that `save_checkpoint` does not write
        whole = False
    if not whole:
        raise CheckpointError(
            f"{path}: must be a whole checkpoint, and has changed (its SHA-256 "
            "differs); delete it to train this trial from the start."
        )
    return state


def load_tensors(path: Path) -> Any:
    """Return the tensors and plain values in a file of torch.save, or None without a file.

    Raises:
        CheckpointError: the file is damaged or holds other objects.
    """
    try:
        with open_regular(path) as file:
            size = _stored_size(file)
            found = torch.load(file, map_location="cpu", weights_only=True)
        _check_values(found, size)
        return found
    except FileNotFoundError:
        return None
    except _UNREADABLE as error:
        # The unpickler's message advises to load the file unsafely.
        safe = not isinstance(error, pickle.UnpicklingError)
        reason = one_line(error) if safe else "it holds more than tensors and plain values"
        raise CheckpointError(
            f"{path}: must be a whole checkpoint, and cannot be read ({reason}); "
            "delete it to train this trial from the start."
        ) from error


def network_weights(state: dict[str, Any], where: Path) -> dict[str, Any]:
    """Return the network's weights in a checkpoint's state; `where` is its path in messages.

    Raises:
        CheckpointError: the state has no weights.
    """
    weights = state.get("network")
    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights):
        raise CheckpointError(
            f"{where}: must hold the weights of a network, and does not; delete it to train this "
            "trial from the start."
        )
    return weights


def save_newest(
    folder: Path, state: dict[str, Any], check: Callable[[], object] = lambda: None
) -> None:
    """Write `state` to FOLDER/checkpoint.pt, and keep the old one as checkpoint-previous.pt.

    `check` is called before writing and before renaming; if it raises, nothing changes.
    """
    newest = folder / "checkpoint.pt"

    def keep_previous() -> None:
        check()
        if is_there(newest):
            os.replace(newest, folder / "checkpoint-previous.pt")

    check()
    save_checkpoint(newest, state, before_rename=keep_previous)


def load_newest(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the newest valid state of `save_newest`, or None, and the faults of newer ones."""
    refused = []
    for name in ("checkpoint.pt", "checkpoint-previous.pt"):
        try:
            state = load_checkpoint(folder / name)
        except CheckpointError as error:
            refused.append(str(error))
            continue
        if state is not None:
            return state, refused
    return None, refused


def _stored_size(file: BinaryIO) -> int:
    """Return a file's size after checking that it does not decompress to more."""
    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > size:
            raise ValueError("it decompresses to more than its size")
    file.seek(0)
    return size


def _check_values(value: object, size: int) -> None:
    """Refuse values larger than the file: lists shared by lists, expanded tensors."""
    level, tensors = [value], 0
    for _ in range(_DEEPEST):
        below: list[object] = []
        for one in level:
            if isinstance(one, torch.Tensor):
                tensors += _tensor_bytes(one)
            elif isinstance(one, dict):
                below += [*one.keys(), *one.values()]
            elif isinstance(one, list | tuple):
                below += one
            elif not isinstance(one, str | int | float | None):
                raise ValueError(f"it holds a {type(one).__name__}")
            if len(below) > size or tensors > _SHARED * size:
                raise ValueError("it decompresses to more than its size")
        level = below
        if not level:
            return
    raise ValueError(f"it nests deeper than {_DEEPEST} levels")


def _tensor_bytes(value: torch.Tensor) -> int:
    if value.layout is not torch.strided or value.is_quantized or value.device.type != "cpu":
        raise ValueError("it holds a tensor of another kind")
    return value.numel() * value.element_size()


def _digest(state: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    _feed(digest, state)
    return digest.hexdigest()


def _feed(digest: Any, value: object) -> None:
    """Add `value` with its type and shape, so that different values give different bytes."""
    if isinstance(value, torch.Tensor):
        flat = value.detach().cpu().contiguous().flatten()
        digest.update(f"tensor {value.dtype} {tuple(value.shape)}".encode())
        digest.update(flat.view(torch.uint8).numpy().data)
    elif isinstance(value, dict):
        digest.update(f"dict {len(value)}".encode())
        for key, item in value.items():
            _feed(digest, key)
            _feed(digest, item)
    elif isinstance(value, list | tuple):
        digest.update(f"{type(value).__name__} {len(value)}".encode())
        for item in value:
            _feed(digest, item)
    else:
        digest.update(f"{type(value).__name__} {value!r} ".encode())
