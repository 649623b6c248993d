"""One file that holds everything a training needs to go on bit-exactly."""

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
_DEEPEST = 40
_SHARED = 16  # how often a file may name one tensor
_UNREADABLE = (
    *(RuntimeError, EOFError, OSError, ValueError, TypeError, AttributeError, LookupError),
    *(pickle.UnpicklingError, zipfile.BadZipFile, NotImplementedError, MemoryError),
)  # all that torch.load raised on damaged files


def save_checkpoint(
    path: Path, state: dict[str, Any], *, before_rename: Callable[[], object] = lambda: None
) -> None:
    """Write `state` (tensors, numbers, texts, lists, dicts) to `path`, whole or not at all.

    The file holds the SHA-256 of the state, for torch.load alone sees no flipped bit.

    Raises:
        DiskFullError: there is no room for it.
    """
    signed = {"format": FORMAT, "sha256": _digest(state), **state}
    whole = io.BytesIO()  # torch.save hides in a RuntimeError what a full disk says
    torch.save(signed, whole)
    write_atomically(path, lambda file: file.write(whole.getbuffer()), before_rename=before_rename)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Return what `save_checkpoint` wrote, on the CPU, or None if there is no such file.

    Raises:
        CheckpointError: the file is damaged or of another format.
    """
    state = load_tensors(path)
    if state is None:
        return None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(f"{path}: must be a normsearch checkpoint of format {FORMAT}.")
    state = {key: value for key, value in state.items() if key != "format"}
    try:
        whole = state.pop("sha256", None) == _digest(state)
    except (RuntimeError, TypeError, ValueError):  # a number or a tensor that nobody wrote
        whole = False
    if not whole:
        raise CheckpointError(
            f"{path}: must be a whole checkpoint, and is not what was written (its SHA-256 "
            "differs); delete it to train this trial from the start."
        )
    return state


def load_tensors(path: Path) -> Any:
    """Return what torch.save wrote, tensors and plain values alone, or None without a file.

    Raises:
        CheckpointError: the file is damaged or holds other things.
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
        # What the unpickler says ends in the advice to load the file unsafely.
        safe = not isinstance(error, pickle.UnpicklingError)
        reason = one_line(error) if safe else "it is not of tensors and plain values"
        raise CheckpointError(
            f"{path}: must be a whole checkpoint, and cannot be read ({reason}); "
            "delete it to train this trial from the start."
        ) from error


def network_weights(state: dict[str, Any], where: Path) -> dict[str, Any]:
    """Return the network's weights in a checkpoint's state; `where` names it in messages.

    Raises:
        CheckpointError: it has none.
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
    """Write `state` to FOLDER/checkpoint.pt, and keep the one before as checkpoint-previous.pt.

    `check` is called first and again just before the file takes its place; what it raises leaves
    everything as it was.
    """
    newest = folder / "checkpoint.pt"

    def make_way() -> None:
        check()
        if is_there(newest):
            os.replace(newest, folder / "checkpoint-previous.pt")

    check()
    save_checkpoint(newest, state, before_rename=make_way)


def load_newest(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the newest whole state `save_newest` wrote, or None; and why newer were refused."""
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
    """Return a file's size, once it is sure that it holds no more than that when unpacked."""
    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > size:
            raise ValueError("it unpacks to more than it has")
    file.seek(0)
    return size


def _check_values(value: object, size: int) -> None:
    """Refuse what no file of `size` bytes says one by one: shared lists in lists, wide tensors."""
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
                raise ValueError("it unpacks to more than it has")
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
    """Add `value` with its type and shape; what differs must not read the same."""
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
