"""`normsearch cache`: the size of the prepared cases that are kept on disk, and their removal."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from normsearch.cli.options import Json
from normsearch.cli.terminal import Terminal, say, show
from normsearch.errors import count
from normsearch.files import cache_folder

if TYPE_CHECKING:
    from normsearch.data.cache_entries import CacheEntry

_DAY_S = 86400


def cache(
    *,
    action: Annotated[
        Literal["size", "clear"], typer.Argument(help="size or clear.", show_default=False)
    ],
    data_set: Annotated[
        str | None, typer.Option("--data-set", help="Only cases of this folder of a data set.")
    ] = None,
    older_than: Annotated[
        float | None, typer.Option("--older-than", min=0, help="Only cases unused for these days.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without a question.")] = False,
    as_json: Json = False,
) -> None:
    """Show how much prepared cases take on the disk, by data set, or delete them.

    They are prepared again when a study needs them. Those that a running study uses stay.

    Example: normsearch cache clear --older-than 30
    """
    from normsearch.data.cache_entries import cache_entries

    folder = cache_folder() / "cases"
    entries = cache_entries(folder)
    chosen = [
        entry
        for entry in entries
        if (data_set is None or _is(entry, data_set))
        and (older_than is None or time.time() - entry.used >= older_than * _DAY_S)
    ]
    if action == "clear":
        _clear(folder, chosen, yes, as_json)
    else:
        _size(folder, chosen, sum(entry.bytes for entry in entries), as_json)


def _is(entry: CacheEntry, data_set: str) -> bool:
    """Return whether an entry is of a data set, given as its folder or that folder's name."""
    own = Path(entry.data_set)
    return bool(entry.data_set) and (own.name == data_set or own == Path(data_set).absolute())


def _size(folder: Path, entries: list[CacheEntry], taken: int, as_json: bool) -> None:
    from normsearch.data.cache_entries import size_limit, size_text

    sets = defaultdict[str, list["CacheEntry"]](list)
    for entry in entries:
        sets[entry.data_set].append(entry)
    total = sum(entry.bytes for entry in entries)
    limit = size_limit(folder, taken) if entries else None
    if as_json:
        found = {name: sum(one.bytes for one in own) for name, own in sets.items()}
        print(json.dumps({"folder": str(folder), "bytes": total, "data_sets": found}))
        return
    if limit is None:
        show(f"There are no such prepared cases in {folder}.")
        return
    table = Table("data set", box=None, header_style="bold", pad_edge=False)
    for name in ("cases", "size"):
        table.add_column(name, justify="right")
    table.add_column("last used")
    for name, own in sorted(sets.items()):
        size, used = size_text(sum(one.bytes for one in own)), max(one.used for one in own)
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(used))
        table.add_row(name or "(incomplete, or of an older version)", str(len(own)), size, when)
    Terminal().print(table)
    most = "any size" if limit == float("inf") else size_text(limit)
    show(f"{size_text(total)} in {folder}; limit (NORMSEARCH_CACHE_SIZE): {most}")


def _clear(folder: Path, entries: list[CacheEntry], yes: bool, as_json: bool) -> None:
    from normsearch.data.cache_entries import remove_entries, size_text

    told = f"{count(len(entries), 'prepared case')}, {size_text(sum(e.bytes for e in entries))}"
    if entries and not yes:
        typer.confirm(f"Delete {told}, in {folder}?", abort=True, err=True)
    removed = remove_entries(folder, entries) if entries else []
    freed, kept = sum(entry.bytes for entry in removed), len(entries) - len(removed)
    if as_json:
        print(json.dumps({"deleted": len(removed), "bytes": freed, "in_use": kept}))
        return
    show(f"Deleted {count(len(removed), 'prepared case')}, {size_text(freed)}.")
    if kept:
        say(f"normsearch: {count(kept, 'case')} of a running study stayed.")
