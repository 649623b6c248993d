"""A confirmation on the terminal: two tables and the plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from normsearch.evidence.confirmation import Confirmation

_WIDTH = 100  # where no terminal says how wide it is


def show(found: Confirmation) -> None:
    """Print each arm's scores and verdict, its spread and surfaces, and what they mean."""
    from normsearch.evidence.words import sentences

    console = Console()
    if not console.is_terminal:
        console = Console(width=max(console.width, _WIDTH))
    folds = f", fold {', '.join(found.folds)}" if found.folds else ""
    cases = "1 test case" if found.cases == 1 else f"{found.cases} test cases"
    console.print(f"{found.study}: {cases}{folds}, {found.seeds} seeds", soft_wrap=True)
    rows = found.table.to_dict("records")
    console.print(_verdicts(found, rows))
    console.print(_spreads(rows))
    for sentence in sentences(found):
        console.print(sentence, highlight=False)


def _verdicts(found: Confirmation, rows: list[dict[Any, Any]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    difference = f"difference to {found.reference} [95% CI]"
    for column in ("arm", f"{found.metric} \\[95% CI]", difference.replace("[", "\\["), "p (Holm)"):
        table.add_column(column, justify="left" if column == "arm" else "right")
    table.add_column("verdict")
    for row in rows:
        own = row["arm"] == found.reference
        table.add_row(
            row["arm"],
            f"{_number(row['mean'], '.3f')} {_interval(row['low'], row['high'], '.3f')}",
            ""
            if own
            else f"{_number(row['difference'], '+.3f')} "
            f"{_interval(row['total_low'], row['total_high'], '+.3f')}",
            "" if own else _number(row["p_holm"], ".2g"),
            row["verdict"],
            style="bold" if own else None,
        )
    return table


def _spreads(rows: list[dict[Any, Any]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    columns = ["arm", "SD over cases", "SD over seeds", "seeds", "failed"]
    surfaces = any(pd.notna(row["hd95"]) for row in rows)
    for column in [*columns, *(["HD95 (mm)", "surface Dice", "missed"] if surfaces else [])]:
        table.add_column(column, justify="left" if column == "arm" else "right")
    for row in rows:
        cells = [_number(row["sd"], ".3f"), _number(row["seed_sd"], ".4f")]
        cells += [str(int(row["seeds"])), str(int(row["failed"]))]
        if surfaces:
            cells += [_with_spread(row, "hd95", ".1f"), _with_spread(row, "surface_dice", ".3f")]
            cells.append(_number(row["missed"], ".0f"))
        table.add_row(row["arm"], *cells)
    return table


def _number(value: Any, form: str) -> str:
    return "" if pd.isna(value) else format(value, form)


def _interval(low: Any, high: Any, form: str) -> str:
    return "" if pd.isna(low) else f"\\[{low:{form}}, {high:{form}}]"


def _with_spread(row: dict[Any, Any], name: str, form: str) -> str:
    spread = _number(row[f"{name}_sd"], form)
    return f"{_number(row[name], form)}{f' ± {spread}' if spread else ''}"
