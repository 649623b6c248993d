"""Reads tables separated by commas: cells as text, or a type for each column."""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from normsearch.errors import DataError, one_line
from normsearch.files.text_file import read_text

MOST = 16 * 2**20
"""The largest size of a table, in bytes."""
MOST_ROWS = 500_000

Cell = str | int | float
Column = Callable[[str], Cell]
"""Converts one cell; raises ValueError with what the cell must be."""


def as_text(cell: str) -> str:
    """Return a cell unchanged: a case may be called NA, null or 001."""
    return cell


def as_whole(cell: str) -> int:
    """Return a cell as an integer, 0 or more."""
    if not (cell.isascii() and cell.isdecimal() and len(cell) < 16):
        raise ValueError("must be a whole number from 0")
    return int(cell)


def as_number(cell: str) -> float:
    """Return a cell as an int or a float; NaN if it is empty or ``nan``."""
    if cell in ("", "nan"):
        return math.nan
    if cell.isascii() and cell.isdecimal() and len(cell) < 16:
        return int(cell)
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or not cell.isascii() or "_" in cell:
        raise ValueError("must be a number")
    return value


def as_one_of(*words: str) -> Column:
    """Return a reader for cells that must be one of `words`."""

    def read(cell: str) -> str:
        if cell not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return cell

    return read


def read_typed_table(
    path: Path,
    columns: Mapping[str, Column],
    *,
    others: Column | None = None,
    optional: Collection[str] = (),
    key: Collection[str] = (),
) -> dict[str, list[Cell]]:
    """Return the columns of a table separated by commas, each converted to its type.

    Args:
        path: the file, UTF-8, of at most `MOST` bytes.
        columns: the reader of each column.
        others: the reader of further columns; None if there must be none.
        optional: columns that may be missing.
        key: columns whose values together identify a row; no two rows may share them.

    Raises:
        DataError: the file cannot be read; the message gives line and column.
    """
    lines = rows_of(path, read_text(path, MOST, DataError))
    if not lines:
        raise DataError(f"{path}: must be a table with a header, got an empty file.")
    names, rows = lines[0][1], lines[1:]
    _check_header(path, names, columns, others, optional)
    readers = [columns.get(name) or others or as_text for name in names]
    cells = [_typed(path, line, names, readers, row) for line, row in rows]
    found = {name: [row[place] for row in cells] for place, name in enumerate(names)}
    _check_key(path, [line for line, _ in rows], {name: found[name] for name in key})
    return found


def rows_of(
    path: Path, content: str, separator: str = ",", first: int = 1, *, skip_blanks: bool = False
) -> list[tuple[int, list[str]]]:
    """Return the number and the cells of each line that is not empty.

    Lines are counted from `first`. `skip_blanks` drops blanks after a separator.

    Raises:
        DataError: a quote is not closed, or the table has more than `MOST_ROWS` rows.
    """
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=separator, strict=True,
                        skipinitialspace=skip_blanks)  # fmt: skip
    rows = (
        (reader.line_num + first - 1, cells)
        for cells in reader
        if any(cell.strip() for cell in cells)
    )
    try:
        found = list(itertools.islice(rows, MOST_ROWS + 1))
    except csv.Error as error:
        raise DataError(
            f"{path}: must be a table with each quote closed, got '{one_line(error)}' in line "
            f"{reader.line_num + first - 1}; correct that line"
        ) from error
    if len(found) > MOST_ROWS:
        raise DataError(f"{path}: must have at most {MOST_ROWS:,} rows, and has more; split it.")
    return found


def _check_header(
    path: Path,
    names: list[str],
    columns: Mapping[str, Column],
    others: Column | None,
    optional: Collection[str],
) -> None:
    missing = [name for name in columns if name not in names and name not in optional]
    extra = [name for name in names if name not in columns and (others is None or not name)]
    told = ", ".join(columns)
    if missing or extra or len(set(names)) < len(names):
        fault = f"no {missing[0]}" if missing else f"{one_line(', '.join(names))}"
        raise DataError(
            f"{path}: line 1: must be the columns {told}"
            f"{' and more' if others else ''}, each once, got {fault}."
        )


def _check_key(path: Path, lines: list[int], key: Mapping[str, list[Cell]]) -> None:
    seen: set[tuple[Cell, ...]] = set()
    for line, *row in zip(lines, *key.values(), strict=True):
        if key and tuple(row) in seen:
            raise DataError(
                f"{path}: line {line}: each {' and '.join(key)} must come once, and this one "
                "comes again; remove a line."
            )
        seen.add(tuple(row))


def _typed(
    path: Path, line: int, names: list[str], readers: list[Column], cells: list[str]
) -> list[Cell]:
    if len(cells) != len(names):
        raise DataError(
            f"{path}: line {line}: must have the {len(names)} cells of the header, got "
            f"{len(cells)}."
        )
    found: list[Cell] = []
    for name, reader, cell in zip(names, readers, cells, strict=True):
        try:
            found.append(reader(cell))
        except ValueError as error:
            raise DataError(
                f"{path}: line {line}, column {one_line(name)}: {error}, got "
                f"'{one_line(cell) if cell else ''}'."
            ) from None
    return found
