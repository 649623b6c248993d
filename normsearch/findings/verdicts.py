"""A verdict on a published statement, and how several contrasts make one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from normsearch.confirmation.pair_tests import ALPHA, Array, t_reach
from normsearch.confirmation.statistics import holm

Outcome = Literal["reproduced", "contradicted", "not distinguishable"]


@dataclass(frozen=True)
class Verdict:
    """What was found about one statement.

    `estimate` with its 95% interval `low` to `high` is of what `quantity` names; `interval` says
    where the interval is from. `words` is the finding in a sentence; `table` the numbers behind it,
    a row each; `flags` what a reader must know, such as layers that were not counted.
    """

    outcome: Outcome
    quantity: str
    estimate: float
    low: float
    high: float
    interval: str
    words: str
    table: tuple[dict[str, Any], ...] = ()
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contrast:
    """One thing that must be above 0 for a statement to hold: its estimate, interval, p-value."""

    name: str
    estimate: float
    low: float
    high: float
    p: float
    more: Mapping[str, Any] = field(default_factory=dict)


def by_t(name: str, values: Sequence[float] | Array, **more: Any) -> Contrast:
    """Return the mean of independent `values` with its interval and two-sided p by Student's t.

    Fewer than two values have no interval: the ends and p are NaN. Neither have equal ones, whose
    spread is an estimate of nothing; their p is the sign test's.
    """
    known = np.asarray(values, float)
    mean, count = float(known.mean()), len(known)
    nothing = float("nan")
    if count < 2:
        return Contrast(name, mean, nothing, nothing, nothing, more)
    error = float(known.std(ddof=1) / np.sqrt(count))
    if np.isclose(error, 0, atol=1e-12):
        return Contrast(name, mean, nothing, nothing, 2.0 ** (1 - count) if mean else 1.0, more)
    reach = t_reach(known)
    p = float(2 * stats.t.sf(abs(mean) / error, count - 1))
    return Contrast(name, mean, mean - reach, mean + reach, p, more)


def all_above(
    contrasts: Sequence[Contrast],
    *,
    quantity: str,
    interval: str,
    table: pd.DataFrame | None = None,
    flags: Sequence[str] = (),
) -> Verdict:
    """Return the verdict on a statement that holds if every contrast is above 0.

    Reproduced: each is, with a p-value below .05. That all must be is strict enough (an
    intersection-union test), so it is not adjusted. Contradicted: any is below 0, with a p-value
    below .05 adjusted by Holm for their number, as it must be where any one will do. The estimate
    is that of the weakest contrast, whose interval is not adjusted.
    """
    adjusted = holm([contrast.p for contrast in contrasts])
    whole = all(c.p < ALPHA and c.estimate > 0 for c in contrasts)  # a NaN is not
    clear = [bool(whole or p < ALPHA) for p in adjusted]
    above = [ok and c.estimate > 0 for ok, c in zip(clear, contrasts, strict=True)]
    below = [ok and c.estimate < 0 for ok, c in zip(clear, contrasts, strict=True)]
    outcome: Outcome = "not distinguishable"
    if any(below):
        outcome = "contradicted"
    elif all(above):
        outcome = "reproduced"
    weakest = min(contrasts, key=lambda contrast: contrast.estimate)
    rows = [
        {
            "contrast": c.name,
            "estimate": c.estimate,
            "low": c.low,
            "high": c.high,
            "p_holm": float(p),
            **c.more,
        }
        for c, p in zip(contrasts, adjusted, strict=True)
    ]
    return Verdict(
        outcome,
        quantity if len(contrasts) == 1 else f"{quantity}, the smallest: {weakest.name}",
        weakest.estimate,
        weakest.low,
        weakest.high,
        interval,
        _words(contrasts, above, below),
        (*rows, *rows_of(table)),
        tuple(flags),
    )


def rows_of(table: pd.DataFrame | None) -> tuple[dict[str, Any], ...]:
    """Return the rows of a table as plain values, {} for none."""
    if table is None:
        return ()
    return tuple({str(k): v for k, v in row.items()} for row in table.to_dict(orient="records"))


def _words(contrasts: Sequence[Contrast], above: Sequence[bool], below: Sequence[bool]) -> str:
    parts = []
    open_ones = [not (up or down) for up, down in zip(above, below, strict=True)]
    for told, chosen in (("holds", above), ("the opposite holds", below), ("not clear", open_ones)):
        names = [c.name for c, yes in zip(contrasts, chosen, strict=True) if yes]
        if names:
            parts.append(f"{told}: {', '.join(names)}")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."
