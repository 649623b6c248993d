"""Checkpoints outside the run's folder, on any file system that pyarrow or fsspec can reach."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Generic

from pyarrow import ArrowException
from pyarrow.fs import FileSystem, FileType, FSSpecHandler, PyFileSystem

from normsearch.config import TrialConfig
from normsearch.errors import StudyError, TakenError, one_line
from normsearch.trials.trainer import AnyData, Record, Trainer

_FILES = ("checkpoint-previous.pt", "checkpoint.pt", "cases.csv", "surfaces.csv", "examples.npz")


class RemoteCheckpoints:
    """The trials of one study at a URL: URL/STUDY/trials/NNNN/FILE.

    Args:
        url: ``file:///mnt/shared``, ``s3://bucket/prefix``, or any URL of fsspec (``memory://``).
        study: the study's name.

    Raises:
        StudyError: the file system cannot be reached.
    """

    def __init__(self, url: str, study: str) -> None:
        try:
            self._files, base = _file_system(url)
        except (ArrowException, ImportError, OSError, ValueError) as error:
            raise StudyError(
                f"search.checkpoints: must be a URL that pyarrow or fsspec can open, got {url!r}: "
                f"{one_line(error)}."
            ) from error
        self._base = f"{base.rstrip('/')}/{study}/trials"

    def put(self, number: int, name: str, source: Path) -> None:
        """Store `source` completely or not at all."""
        target = self._path(number, name)
        self._files.create_dir(target.rpartition("/")[0], recursive=True)
        # Object stores show a file once it is complete; others need the rename.
        making = f"{target}.{uuid.uuid4().hex}"
        with source.open("rb") as file, self._files.open_output_stream(making) as stream:
            shutil.copyfileobj(file, stream)
        self._files.move(making, target)

    def get(self, number: int, name: str, target: Path) -> bool:
        """Fetch a file to `target`; False if there is none."""
        path = self._path(number, name)
        if self._files.get_file_info(path).type != FileType.File:
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._files.open_input_stream(path) as stream, target.open("wb") as file:
            shutil.copyfileobj(stream, file)
        return True

    def write_owner(self, number: int, token: str) -> None:
        """Record whose training may store files of a trial from now on."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "owner"
            source.write_text(token)
            self.put(number, "owner", source)

    def owner(self, number: int) -> str:
        """Return the owner that `write_owner` last recorded, or an empty text."""
        with tempfile.TemporaryDirectory() as folder:
            found = Path(folder) / "owner"
            return found.read_text() if self.get(number, "owner", found) else ""

    def settle(self, number: int, folder: Path, *, keep: bool) -> None:
        """Fetch the weights of a complete trial to its folder; delete those of other trials."""
        for name in _FILES:
            path = self._path(number, name)
            if keep and name != _FILES[0]:
                self.get(number, name, folder / name)
            elif self._files.get_file_info(path).type == FileType.File:
                self._files.delete_file(path)

    def _path(self, number: int, name: str) -> str:
        return f"{self._base}/{number:04d}/{name}"


class RemoteTrainer(Generic[AnyData]):
    """A trainer that works in a local folder, whose files are stored at a URL.

    Args:
        trainer: trains one trial.
        url: see `RemoteCheckpoints`.
    """

    def __init__(self, trainer: Trainer[AnyData], url: str) -> None:
        self._trainer, self._url = trainer, url

    def __call__(
        self, config: TrialConfig, data: AnyData, folder: Path, token: str | None, /
    ) -> Iterator[Record]:
        """Fetch the files of the trial, train, and store each new file before its record.

        Raises:
            TakenError: another owner has taken the trial over.
        """
        mirror, number = RemoteCheckpoints(self._url, config.study), config.number
        with tempfile.TemporaryDirectory(prefix="normsearch-") as scratch:
            here = Path(scratch)
            (here / "owner").write_text(token or "")
            for name in _FILES:
                mirror.get(number, name, here / name)
            for record in self._trainer(config, data, here, token):
                if mirror.owner(number) != token:
                    raise TakenError(f"{folder}: another owner has taken this trial over.")
                for name in _FILES:
                    if (here / name).exists():
                        mirror.put(number, name, here / name)
                yield record


def _file_system(url: str) -> tuple[FileSystem, str]:
    if "://" not in url:
        raise ValueError("it must begin with a scheme, such as file:///mnt/shared")
    try:
        files, base = FileSystem.from_uri(url)
        return files, str(base)
    except (ArrowException, OSError, ValueError):
        import fsspec

        files, base = fsspec.core.url_to_fs(url)
        return PyFileSystem(FSSpecHandler(files)), base
