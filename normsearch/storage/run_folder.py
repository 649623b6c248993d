"""The folder of a run: created completely or not at all, and found by name."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from normsearch.config import Model, StudyConfig, plain
from normsearch.config.reading import read_model_file
from normsearch.errors import DiskFullError, StudyError, did_you_mean
from normsearch.files import is_file, is_there, write_text
from normsearch.files.table_file import Column, as_number, as_text, as_whole, read_typed_table

_CASES: dict[str, Column] = {"case": as_text, "evaluation": as_whole, "score": as_number}


class LocalConfig(Model):
    """The content of local.json: facts that hold on this machine only."""

    data: str | None = None
    """The folder of the data sets."""
    storage: str | None = None
    """The storage's URL."""


def create_run(
    folder: Path, config: StudyConfig, local: dict[str, Any], folds_table: str = ""
) -> None:
    """Create a run's folder with the resolved study in it.

    Args:
        folder: must not exist yet.
        config: written to study.yaml.
        local: facts that hold on this machine only (data folder, storage URL); written to
            local.json, which only its owner can read, and shown in no report.
        folds_table: written to folds.csv, unless it is empty.

    Raises:
        StudyError: a run of this name exists.
    """
    refuse_existing(folder)
    making: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        making.chmod(0o777 & ~_umask())
        write_study(making, config)
        write_local(making, local)
        if folds_table:
            write_text(making / "folds.csv", folds_table)
        os.rename(making, folder)
    except OSError as error:
        if making:
            shutil.rmtree(making, ignore_errors=True)
        refuse_existing(folder)
        raise StudyError(f"{folder}: must be a folder that can be created: {error}.") from error
    except DiskFullError as error:
        if making:
            shutil.rmtree(making, ignore_errors=True)
        raise DiskFullError(
            f"{folder}: the disk must have room for a run, and is full; free some, then start the "
            "run again."
        ) from error


def trial_folder(run: Path, number: int) -> Path:
    """Return where a run keeps the files of trial `number`."""
    return run / "trials" / f"{number:04d}"


def refuse_existing(folder: Path) -> None:
    """Raise StudyError if there is already a run (or anything else) at `folder`."""
    if is_there(folder):
        raise StudyError(
            f"{folder}: the run's name must be new, and this one exists; resume it with "
            f"`normsearch resume {folder.name}`, or give another name with --name."
        )


def write_study(folder: Path, config: StudyConfig) -> None:
    """Write the resolved study to FOLDER/study.yaml."""
    write_text(folder / "study.yaml", yaml.safe_dump(plain(config), sort_keys=False, width=100))


def write_local(folder: Path, local: dict[str, Any]) -> None:
    """Write the facts that hold on this machine only to FOLDER/local.json."""
    # A storage URL may hold a password.
    write_text(folder / "local.json", json.dumps(local, indent=2) + "\n", private=True)


def read_local(folder: Path) -> dict[str, Any]:
    """Return what `write_local` wrote, or an empty dict if the run came from another machine.

    Raises:
        ConfigError: the file is damaged.
    """
    path = folder / "local.json"
    return read_model_file(LocalConfig, path).model_dump() if is_file(path) else {}


def find_run(name: str, runs: Path) -> Path:
    """Return the folder of a run, given its name below `runs` or its path.

    Raises:
        StudyError: no such run; the message names those that exist.
    """
    for folder in (runs / name, Path(name)):
        if name and is_file(folder / "study.yaml"):
            return folder
    known = sorted(path.parent.name for path in runs.glob("*/study.yaml"))
    there = f"one of {', '.join(known)}" if known else f"a run in {runs}, which holds none"
    raise StudyError(
        f"{name or 'The name of the run'}: must be {there}.{did_you_mean(name, known)}"
    )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read_case_table(path: Path) -> pd.DataFrame:
    """Return a trial's cases.csv: case, evaluation, score and further numbers, a row a case.

    Raises:
        DataError: the file is not such a table.
    """
    return pd.DataFrame(read_typed_table(path, _CASES, others=as_number, key=("case",)))
