"""Functions that layouts share: files by id, checks of paths, folds and subjects."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from normsearch.data.cases import CaseFiles, SplitLists
from normsearch.data.faults import Fault
from normsearch.data.split_lists import read_splits
from normsearch.data.tables import read_table
from normsearch.data.volume import FORMATS, suffix_of
from normsearch.errors import DataError
from normsearch.files import is_file, is_folder, is_there

_PROSE = (".md", ".txt", ".rst", ".pdf", ".html", ".bib", ".py", ".ipynb", ".sh")


@dataclass(frozen=True)
class Found:
    """The result of a layout.

    Attributes:
        cases: the cases, in order of their ids.
        faults: faults of file names and lists.
        labels: the names of label values, without ignored ones, if the layout gives them.
        ignored: label values of voxels without annotation.
        regions: names with several label values.
        channels: the required number of channels, if the layout gives it.
        unused: keys and files of the data set that are not used.
        channel_names: what the channels are, such as CT, if the layout says so.
    """

    cases: list[CaseFiles]
    faults: list[Fault]
    labels: dict[int, str] = field(default_factory=dict)
    ignored: tuple[int, ...] = ()
    regions: dict[str, tuple[int, ...]] = field(default_factory=dict)
    channels: int | None = None
    unused: tuple[str, ...] = ()
    channel_names: tuple[str, ...] = ()


def named_channels(given: object) -> tuple[str, ...]:
    """Return the names of channels, given by number as in ``{"0": "CT"}``, or as a list.

    >>> named_channels({"1": "T2", "0": "T1"})
    ('T1', 'T2')
    """
    if isinstance(given, Mapping):
        return tuple(str(name) for _, name in sorted(given.items(), key=lambda item: str(item[0])))
    return tuple(map(str, given)) if isinstance(given, list) else ()


class Parts(NamedTuple):
    """Cases with subjects and folds, faults, and unused parts of the lists."""

    cases: list[CaseFiles]
    faults: list[Fault]
    unused: tuple[str, ...]


class Pair(NamedTuple):
    """The image and label files of a case."""

    images: tuple[Path, ...]
    label: Path


def case_id(path: Path) -> str:
    """Return a file's name without the suffix of its format.

    >>> case_id(Path("a.1.nii.gz")), case_id(Path("b.seg.nrrd"))
    ('a.1', 'b')
    """
    suffix = suffix_of(path) or path.suffix
    return path.name[: len(path.name) - len(suffix)]


def files_by_id(
    folder: Path, suffixes: Iterable[str] = FORMATS
) -> tuple[dict[str, Path], list[Fault]]:
    """Return the image files of a folder by id, without hidden ones, and faults for duplicates.

    Raises:
        DataError: the folder does not exist or holds no image.
    """
    endings = tuple(suffix.lower() for suffix in suffixes)
    if not is_folder(folder):
        raise DataError(
            f"{folder}: must be a folder of images ({', '.join(endings)}), but there is none; "
            "a data set's folder holds images and labels, so check its path"
        )
    paths = sorted(
        path
        for path in folder.iterdir()
        if path.name.lower().endswith(endings) and not path.name.startswith(".") and is_file(path)
    )
    if not paths:
        raise DataError(
            f"{folder}: must hold images ({', '.join(endings)}), but has none; "
            "convert them to one of these formats"
        )
    return {case_id(path): path for path in paths}, duplicates(folder, map(case_id, paths))


def duplicates(where: Path, names: Iterable[str]) -> list[Fault]:
    """Return a fault for each name that occurs more than once in a folder or a table."""
    what = "file" if is_folder(where) else "row"
    cure = "remove one" + (", or give each a unique id in a column id" * (what == "row"))
    return [
        Fault("twice", name, str(where), f"have one {what} per case", f"{name} twice", cure)
        for name, count in sorted(Counter(names).items())
        if count > 1
    ]


def inside(root: Path, text: str, where: Path) -> Path:
    """Return the path that a file of a data set names, relative to the data set's root.

    Raises:
        DataError: the path leads out of the root.
    """
    path = Path(os.path.normpath(root / text))
    if not path.is_relative_to(os.path.normpath(root)):
        raise DataError(
            f"{where}: every file must lie under {root}, got '{text}'; "
            "move the file there, or the list to a folder above"
        )
    return path


def missing(name: str, files: Iterable[Path], where: Path) -> list[Fault]:
    """Return a fault for each missing file of case `name` that `where` lists."""
    expected = f"exist, as {where.name} names it"
    return [
        Fault("unpaired", name, str(file), expected, "no such file", "copy the file there")
        for file in files
        if not is_file(file)
    ]


def with_folds(root: Path, pairs: dict[str, Pair], known: Collection[str] = ()) -> Parts:
    """Return the pairs as cases in order of their ids, with subjects and folds.

    ROOT/folds.csv has the columns ``fold`` and ``id``, ``subject`` or both; ``subject`` alone is
    also the id. Without it, ROOT/splits_final.json of nnU-Net defines the folds: fold "K" are the
    cases that the K-th split (from 0) validates on, see `SplitLists`. Without either, each case is
    its own subject and its fold is ''.

    Args:
        root: the data set's folder.
        pairs: the files of each case, by its id.
        known: ids of further cases, which have faults.
    """
    table, splits = root / "folds.csv", root / "splits_final.json"
    if is_there(table):
        return _from_table(table, pairs, (splits.name,) if is_there(splits) else ())
    lists, faults = dict[str, SplitLists](), list[Fault]()
    if is_there(splits):
        lists, faults = read_splits(splits, {*pairs, *known})
    cases = []
    for name in sorted(pairs):
        own = lists.get(name)
        fold = own.validation[0] if own and own.validation else ""
        cases.append(CaseFiles(name, name, fold, *pairs[name], lists=own))
    return Parts(cases, faults, ())


def unused_files(root: Path, used: Collection[str]) -> tuple[str, ...]:
    """Return the folders and files in a data set's folder that are not used.

    Hidden files, licences and documents are left out.
    """
    return tuple(
        f"{path.name}/" if is_folder(path) else path.name
        for path in sorted(root.iterdir())
        if path.name not in used
        and not path.name.startswith(".")
        and path.suffix.lower() not in _PROSE
        and path.stem.upper() not in ("README", "LICENSE", "LICENCE")
    )


def other_endings(folder: Path, suffixes: Collection[str]) -> tuple[str, ...]:
    """Return one text for each other file ending in a folder, with the number of files."""
    endings = tuple(suffix.lower() for suffix in suffixes)
    counts = Counter(
        path.suffix or path.name
        for path in folder.iterdir()
        if not path.name.startswith(".") and not path.name.lower().endswith(endings)
    )
    return tuple(f"{folder.name}/*{ending} ({n})" for ending, n in sorted(counts.items()))


def _from_table(path: Path, pairs: dict[str, Pair], unused: tuple[str, ...]) -> Parts:
    rows, faults, columns = _folds(path)
    faults += [
        Fault("folds", name, str(path), "have one row for every case", "none", f"add {name}")
        for name in sorted(pairs.keys() - rows)
    ]
    faults += [
        Fault("folds", name, str(path), "have rows only for cases", name, "remove the row")
        for name in sorted(rows.keys() - pairs)
    ]
    cases = [CaseFiles(name, *rows.get(name, (name, "")), *pairs[name]) for name in sorted(pairs)]
    told = tuple(f"column '{name}' of {path.name}" for name in columns)
    return Parts(cases, faults, unused + told)


def _folds(path: Path) -> tuple[dict[str, tuple[str, str]], list[Fault], tuple[str, ...]]:
    table = read_table(path, ("id", "subject", "fold"))
    given = set().union(*table.rows) if table.rows else set()
    if "fold" not in given or not {"id", "subject"} & given:
        raise DataError(
            f"{path}: must have the column fold and the column id or subject, and a row for every "
            f"case, got {', '.join([*sorted(given), *table.unused]) or 'none'}; rename or add the "
            "columns"
        )
    name, person = (
        ("id" if "id" in given else "subject"),
        ("subject" if "subject" in given else "id"),
    )
    ids = [row[name] for row in table.rows]
    empty = [row[name] for row in table.rows if "" in row.values()]
    if empty:
        raise DataError(
            f"{path}: every row must give a subject and a fold, got none for {', '.join(empty)}; "
            "fill them in"
        )
    rows = {row[name]: (row[person], row["fold"]) for row in table.rows}
    return rows, duplicates(path, ids), table.unused
