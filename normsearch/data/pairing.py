"""What layouts share: files by id, paths that stay below the root, tables of folds and subjects."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from normsearch.data.cases import CaseFiles
from normsearch.data.faults import Fault
from normsearch.data.volume import FORMATS, suffix_of
from normsearch.errors import DataError


class Found(NamedTuple):
    """What a layout finds: its cases, what is wrong, and the names of label values it gives."""

    cases: list[CaseFiles]
    faults: list[Fault]
    labels: dict[int, str]


class Pair(NamedTuple):
    """The files of one case before its subject and fold are known."""

    images: tuple[Path, ...]
    label: Path


def case_id(path: Path) -> str:
    """Return a file's name without what tells its format.

    >>> case_id(Path("a.1.nii.gz")), case_id(Path("b.seg.nrrd"))
    ('a.1', 'b')
    """
    suffix = suffix_of(path) or path.suffix
    return path.name[: len(path.name) - len(suffix)]


def files_by_id(
    folder: Path, suffixes: Iterable[str] = FORMATS
) -> tuple[dict[str, Path], list[Fault]]:
    """Return the readable files of a folder by their ids, hidden ones left out, and doubles.

    Raises:
        DataError: there is no such folder, or it holds no image.
    """
    endings = tuple(suffixes)
    if not folder.is_dir():
        raise DataError(
            f"{folder}: must be a folder of images ({', '.join(endings)}), but there is none; "
            "a data set's folder holds images and labels, so check its path"
        )
    paths = sorted(
        path
        for path in folder.iterdir()
        if path.name.lower().endswith(endings) and not path.name.startswith(".")
    )
    if not paths:
        raise DataError(
            f"{folder}: must hold images ({', '.join(endings)}), but has none; "
            "convert them to one of these formats"
        )
    return {case_id(path): path for path in paths}, twice(folder, map(case_id, paths))


def twice(where: Path, names: Iterable[str]) -> list[Fault]:
    """Return a fault for each name that comes more than once in a folder or a table."""
    what = "file" if where.is_dir() else "row"
    return [
        Fault("twice", name, str(where), f"have one {what} per case", f"{name} twice", "remove one")
        for name, count in sorted(Counter(names).items())
        if count > 1
    ]


def inside(root: Path, text: str, where: Path) -> Path:
    """Return the path that a file of a data set names, relative to the data set's root.

    Raises:
        DataError: it leads out of the root.
    """
    path = Path(os.path.normpath(root / text))
    if not path.is_relative_to(os.path.normpath(root)):
        raise DataError(
            f"{where}: every file must lie under {root}, got '{text}'; "
            "move the file there, or the data set's own file further up"
        )
    return path


def missing(name: str, files: Iterable[Path], where: Path) -> list[Fault]:
    """Return a fault for each file of case `name` that `where` names and that is not there."""
    expected = f"exist, as {where.name} names it"
    return [
        Fault("unpaired", name, str(file), expected, "no such file", "copy the file there")
        for file in files
        if not file.is_file()
    ]


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        DataError: it cannot be read or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: must be valid JSON, got '{error}'; save it again") from error


def read_table(path: Path) -> pd.DataFrame:
    """Return a table separated by commas, every cell a text.

    Raises:
        DataError: it cannot be read or is no such table.
    """
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (ValueError, OSError) as error:
        raise DataError(
            f"{path}: must be a table in UTF-8 separated by commas, got '{error}'; save it again"
        ) from error


def with_folds(root: Path, pairs: dict[str, Pair]) -> tuple[list[CaseFiles], list[Fault]]:
    """Return the pairs as cases in order of their ids, with subjects and folds of ROOT/folds.csv.

    The table has the column ``fold`` and ``id``, ``subject`` or both; with ``subject`` alone it is
    the id as well. Without the file each case is its own subject and its fold is ''.
    """
    path = root / "folds.csv"
    rows, faults = _folds(path) if path.exists() else ({name: (name, "") for name in pairs}, [])
    faults += [
        Fault("folds", name, str(path), "have one row for every case", "none", f"add {name}")
        for name in sorted(pairs.keys() - rows)
    ]
    faults += [
        Fault("folds", name, str(path), "have rows of cases alone", name, "remove the row")
        for name in sorted(rows.keys() - pairs)
    ]
    cases = [
        CaseFiles(name, *rows.get(name, (name, "")), pairs[name].images, pairs[name].label)
        for name in sorted(pairs)
    ]
    return cases, faults


def _folds(path: Path) -> tuple[dict[str, tuple[str, str]], list[Fault]]:
    table = read_table(path)
    columns = list(table.columns)
    if "fold" not in columns or not {"id", "subject"} & set(columns):
        raise DataError(
            f"{path}: must have the column fold and the column id or subject, got "
            f"{', '.join(columns)}; rename or add the columns"
        )
    ids = table["id" if "id" in columns else "subject"]
    subjects = table["subject" if "subject" in columns else "id"]
    empty = [name for name, *row in zip(ids, subjects, table["fold"], strict=True) if "" in row]
    if empty:
        raise DataError(
            f"{path}: every row must give a subject and a fold, got none for {', '.join(empty)}; "
            "fill them in"
        )
    rows = dict(zip(ids, zip(subjects, table["fold"], strict=True), strict=True))
    return rows, twice(path, ids)
