"""Every judge by name; one new file and one line here add another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from normsearch.findings.cost import cost_below
from normsearch.findings.measurements import Measured
from normsearch.findings.score_judges import beats, gap_grows, in_order, rises_alone, trend
from normsearch.findings.searching import argmax_predicts, less_regret
from normsearch.findings.verdicts import Outcome, Verdict
from normsearch.findings.weight_judges import (
    explained,
    gates_spread,
    leads,
    more_in_place,
    share_trend,
    weight_below,
)


def each(parts: Mapping[str, Measured], *, of_each: Sequence[Mapping[str, Any]]) -> Verdict:
    """Judge a statement on several parts: reproduced if it is on each.

    Contradicted on one part and not reproduced on any other, it is contradicted; where parts
    disagree it is neither. The estimate is the first part's.
    """
    found = {str(one["part"]): _one(parts, one) for one in of_each}
    outcomes = {verdict.outcome for verdict in found.values()}
    outcome: Outcome = "not distinguishable"
    if outcomes == {"reproduced"}:
        outcome = "reproduced"
    elif "contradicted" in outcomes and "reproduced" not in outcomes:
        outcome = "contradicted"
    words = " ".join(f"On {part}: {v.outcome}. {v.words}" for part, v in found.items())
    rows = [{"part": part, **row} for part, verdict in found.items() for row in verdict.table]
    flags = [flag for verdict in found.values() for flag in verdict.flags]
    first, verdict = next(iter(found.items()))
    return replace(
        verdict, outcome=outcome, quantity=f"{verdict.quantity} ({first})", words=words,
        table=tuple(rows), flags=tuple(flags),
    )  # fmt: skip


def _one(parts: Mapping[str, Measured], one: Mapping[str, Any]) -> Verdict:
    arguments = {key: value for key, value in one.items() if key != "judge"}
    return JUDGES[one["judge"]](parts, **arguments)


JUDGES: dict[str, Callable[..., Verdict]] = {
    "beats": beats,
    "in_order": in_order,
    "trend": trend,
    "gap_grows": gap_grows,
    "rises_alone": rises_alone,
    "each": each,
    "cost_below": cost_below,
    "share_trend": share_trend,
    "weight_below": weight_below,
    "more_in_place": more_in_place,
    "leads": leads,
    "gates_spread": gates_spread,
    "explained": explained,
    "less_regret": less_regret,
    "argmax_predicts": argmax_predicts,
}
"""name -> function of {part: Measured} and the arguments that a statement gives it."""
