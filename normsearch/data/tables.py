"""Reads tables that users write: flexible names of columns, cells as text."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from normsearch.errors import DataError
from normsearch.files.table_file import MOST, rows_of
from normsearch.files.text_file import read_text

_ID = ("id", "caseid", "imageid", "scanid")
_CASE = "case"
_PERSON = (
    *("subject", "patient", "participant", "person", "individual", "donor", "pseudonym"),
    *("sub", "pt"),
)
_NUMBERED = ("", "id", "ids", "no", "nr", "num", "number", "name", "code", "key", "identifier")
_SUBJECT = (
    *(f"{person}{number}" for person in (*_PERSON, "group") for number in _NUMBERED),
    *(f"{person}s" for person in (*_PERSON, "group")),
    *("mrn", "pid"),
)
#: Meaning of a column -> its names, in lower case without blanks, hyphens and so on.
WORDS: dict[str, tuple[str, ...]] = {
    "id": _ID,
    "image": ("image", "images", "img", "imagefile", "imagepath", "imagefiles", "imagepaths"),
    "label": (
        *("label", "labels", "labelfile", "labelpath", "mask", "masks", "maskfile", "maskpath"),
        *("seg", "segfile", "segpath", "segmentation", "segmentationfile", "segmentationpath"),
    ),
    "subject": _SUBJECT,
    "fold": ("fold", "folds", "split"),
}
_OF_A_PERSON = {
    *("age", "sex", "gender", "weight", "height", "size", "bmi", "birth", "date", "dob", "race"),
    *("ethnicity", "position", "history", "consent", "notes", "comment", "comments", "status"),
}
_NAMING_A_PERSON = {
    *("subj", "pat"),
    *(word for word in _SUBJECT if not word.startswith(("group", "pt")) and word != "sub"),
}
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_SHOWN = 5


@dataclass(frozen=True)
class Table:
    """A table's rows, by keys of `WORDS`, and its unused columns."""

    rows: list[dict[str, Any]]
    unused: tuple[str, ...]


def read_table(path: Path, wanted: Collection[str]) -> Table:
    """Return a table separated by commas, semicolons or tabs; cells are stripped texts.

    Args:
        path: the file, UTF-8; Excel's first line ``sep=;`` and empty lines are skipped.
        wanted: the keys of `WORDS` to read.

    Raises:
        DataError: the file cannot be read, a row has another length than the header, or columns
            have the same meaning or are misspelt.
    """
    text = read_text(path, MOST, DataError)
    first, _, rest = text.partition("\n")
    excel = re.fullmatch(r"sep=(.)\s*", first, re.IGNORECASE)
    separator = excel[1] if excel else _separator(first, wanted)
    first_line = 2 if excel else 1
    lines = rows_of(path, rest if excel else text, separator, first_line, skip_blanks=True)
    if not lines:
        raise DataError(f"{path}: must be a table with a header, got an empty file; write it again")
    header, rows = [cell.strip() for cell in lines[0][1]], lines[1:]
    width = max(n for n, name in enumerate(header, 1) if name)
    ragged = [
        f"{number} ({len(cells)})"
        for number, cells in rows
        if len(cells) < width or any(cell.strip() for cell in cells[width:])
    ]
    if ragged:
        more = f" and {len(ragged) - _SHOWN} more" if len(ragged) > _SHOWN else ""
        raise DataError(
            f"{path}: every row must have the {width} cells of the header, separated by "
            f"{_SEPARATORS.get(separator, separator)}, got another number in line "
            f"{', '.join(ragged[:_SHOWN])}{more}; correct those lines, with quotes around cells "
            "that hold a separator"
        )
    names = [name or f"column {n}" for n, name in enumerate(header[:width], 1)]
    keys = columns(path, names, wanted)
    cells_by_key = [
        {keys[name]: cell.strip() for name, cell in zip(names, cells, strict=False) if name in keys}
        for _, cells in rows
    ]
    return Table(cells_by_key, tuple(name for name in names if name not in keys))


def columns(where: Path, names: Sequence[str], wanted: Collection[str]) -> dict[str, str]:
    """Return the meaning of each column, one of `wanted`, without other columns.

    A column ``case`` is the id, or the subject if there is another id.

    Raises:
        DataError: a name occurs twice, two columns have the same meaning, or a name is nearly one
            of `WORDS`.
    """
    if len(set(names)) < len(names):
        raise DataError(
            f"{where}: every column must have a unique name, got {', '.join(names)}; "
            "rename or remove columns"
        )
    found = meanings(names, wanted)
    for key in wanted:
        same = [name for name, one in found.items() if one == key]
        if len(same) > 1:
            raise DataError(
                f"{where}: one column must give the {key}, got {' and '.join(map(repr, same))}, "
                "which mean the same; remove or rename one"
            )
    plain = {name: _plain(name) for name in names}
    _refuse_numbered(where, plain, wanted)
    lacking = [key for key in wanted if key not in found.values()]
    for name in names:
        close = None if name in found else _close(name, plain[name], lacking)
        if close:
            raise DataError(
                f"{where}: a column must not look like '{close}' and be another, got '{name}'; "
                f"rename it. Did you mean '{close}'?"
            )
    return found


def meanings(names: Iterable[str], wanted: Collection[str]) -> dict[str, str]:
    """Return the meaning of each name that `WORDS` knows, one of `wanted`.

    A name ``case`` means the id, or the subject if there is another id.
    """
    word_of = {word: key for key in wanted for word in WORDS[key]}
    plain = {name: _plain(name) for name in names}
    found = {name: word_of[word] for name, word in plain.items() if word in word_of}
    for name in (name for name, word in plain.items() if word == _CASE):
        found[name] = "subject" if "id" in found.values() else "id"
    return found


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def _refuse_numbered(where: Path, plain: Mapping[str, str], wanted: Collection[str]) -> None:
    """Refuse columns such as ``image_2``, which may be a further channel or mask."""
    for key in (key for key in ("image", "label") if key in wanted):
        for name, word in plain.items():
            if re.fullmatch(rf"({'|'.join(WORDS[key])})\d+", word):
                cure = (
                    "write the files of all channels in the column image, separated by ;"
                    if key == "image"
                    else "merge the masks into one file of several label values, or rename it"
                )
                raise DataError(f"{where}: one column must give the {key}, got '{name}'; {cure}")


def _separator(header: str, wanted: Collection[str]) -> str:
    """Return the separator that gives the most known columns or, in a tie, the most columns."""
    words = {_CASE, *(word for key in wanted for word in WORDS[key])}

    def known(separator: str) -> tuple[int, int]:
        names = [_plain(name) for name in header.split(separator)]
        return sum(name in words for name in names), len(names)

    return max(_SEPARATORS, key=known)


def _close(name: str, plain: str, lacking: Iterable[str]) -> str | None:
    """Return the known word that a column's name misspells or contains, or None."""
    tokens = set(re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold()))
    for key in lacking:
        words = WORDS[key]
        for word in words:
            usual = key != "subject" or word.removesuffix("id") in (*_PERSON, "group")
            if usual and len(word) >= 4 and _distance(plain, word) <= (1 if len(word) < 9 else 2):
                return word
        german = any(token.startswith("patienten") for token in tokens)
        person = german or tokens & _NAMING_A_PERSON
        if key == "subject" and person and not tokens & _OF_A_PERSON:
            return key
    return None


def _distance(one: str, two: str) -> int:
    """Return the edit distance, with swaps of neighbouring letters, capped at 3 by length."""
    if abs(len(one) - len(two)) > 2:
        return 3
    before: Mapping[int, int] = {}
    last = dict(enumerate(range(len(two) + 1)))
    for i, a in enumerate(one, 1):
        row = {0: i}
        for j, b in enumerate(two, 1):
            row[j] = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a != b))
            if i > 1 and j > 1 and (a, one[i - 2]) == (two[j - 2], b):
                row[j] = min(row[j], before[j - 2] + 1)
        before, last = last, row
    return last[len(two)]
