"""The tables and sentences of a confirmation in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.table import Table

from normsearch.cli.terminal import Terminal
from normsearch.errors import count

if TYPE_CHECKING:
    from normsearch.confirmation.comparison import Confirmation

_WIDTH = 100  # without a terminal
_P = {False: "p (Holm)", True: "p (looks, Holm)"}


def show(found: Confirmation) -> None:
    """Print scores, verdict, spread and surface distances of each arm, and a summary."""
    from normsearch.confirmation.summary_text import sentences

    console = Terminal()
    if not console.is_terminal:
        console = Terminal(width=max(console.width, _WIDTH))
    folds = f", fold {', '.join(found.folds)}" if found.folds else ""
    cases = count(found.cases, f"{found.scored_on} case")
    seeds = f"{'up to ' if found.course else ''}{count(found.seeds, 'seed')}"
    console.print(f"{found.study}: {cases}{folds}, {seeds}", soft_wrap=True)
    rows = found.table.to_dict("records")
    console.print(_settings(found, rows))
    console.print(_verdicts(found, rows))
    console.print(_spreads(found, rows))
    for sentence in sentences(found):
        console.print(sentence, highlight=False)


def _settings(found: Confirmation, rows: list[dict[Any, Any]]) -> Table:
    """Return a table of the hyperparameters and steps of each arm."""
    names = list(found.table.columns)
    chosen = names[names.index("learning_rate") : names.index("steps") + 1]
    if found.confirms is not None:
        chosen = ["role", *chosen]
    table = _table("arm", *(name.replace("_", " ") for name in chosen))
    for row in rows:
        table.add_row(row["arm"], *(_setting(row[name]) for name in chosen))
    return table


def _verdicts(found: Confirmation, rows: list[dict[Any, Any]]) -> Table:
    tested = found.finished or bool(found.course and found.course.judged)
    interval = " [95% CI]" if tested else ""
    columns = [f"{found.metric}{interval}", f"difference to {found.reference}{interval}"]
    beside = any(isinstance(row.get("beside"), str) for row in rows)
    columns += [_P[found.course is not None]] * tested
    at = [f"to {found.reference} at its setting{interval}", _P[found.course is not None]]
    columns += at if beside else []
    table = _table("arm", *columns)
    table.add_column("verdict")
    for row in rows:
        own = row["arm"] == found.reference
        cells = [f"{_number(row['mean'], '.3f')} {_interval(row, 'low', 'high', '.3f')}"]
        cells.append("" if own else _difference(row, "difference", "total_low", "total_high"))
        cells += ["" if own else _number(row["p_holm"], ".2g")] * tested
        if beside:
            cells.append(_difference(row, "beside_difference", "beside_low", "beside_high"))
            cells.append(_number(row["beside_p"], ".2g"))
        table.add_row(row["arm"], *cells, row["verdict"], style="bold" if own else None)
    return table


def _spreads(found: Confirmation, rows: list[dict[Any, Any]]) -> Table:
    columns = ["SD over cases", "SD over seeds", "seeds", "failed", "collapsed", "at most (95%)"]
    surfaces = any(pd.notna(row["hd95"]) for row in rows)
    empty = any(row["empty_cases"] > 0 for row in rows)
    columns += ["false positives"] * empty
    columns += [f"HD95 ({found.hd95_unit})", "surface Dice", "missed"] * surfaces
    table = _table("arm", *columns)
    for row in rows:
        cells = [_number(row["sd"], ".3f"), _number(row["seed_sd"], ".4f")]
        cells += [str(int(row["seeds"])), str(int(row["failed"]))]
        cells += [_number(row["collapsed"], ".0f"), _number(row["collapse_bound"], ".0%")]
        cells += [_number(row["false_positives"], ".0f")] * empty
        if surfaces:
            cells += [_with_spread(row, "hd95", ".1f"), _with_spread(row, "surface_dice", ".3f")]
            cells.append(_number(row["missed"], ".0f"))
        table.add_row(row["arm"], *cells)
    return table


def _table(first: str, *columns: str) -> Table:
    table = Table(first, box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column == "role" else "right")
    return table


def _setting(value: Any) -> str:
    return _number(value, ".4g") if isinstance(value, int | float) else str(value or "")


def _difference(row: dict[Any, Any], name: str, low: str, high: str) -> str:
    return f"{_number(row[name], '+.3f')} {_interval(row, low, high, '+.3f')}"


def _number(value: Any, form: str) -> str:
    return "" if pd.isna(value) else format(value, form)


def _interval(row: dict[Any, Any], low: str, high: str, form: str) -> str:
    return "" if pd.isna(row[low]) else f"[{row[low]:{form}}, {row[high]:{form}}]"


def _with_spread(row: dict[Any, Any], name: str, form: str) -> str:
    spread = _number(row[f"{name}_sd"], form)
    return f"{_number(row[name], form)}{f' ± {spread}' if spread else ''}"
