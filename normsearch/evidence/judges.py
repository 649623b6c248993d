"""Every judge by name; one new file and one line here add another."""

from __future__ import annotations

from collections.abc import Callable

from normsearch.evidence.contrasts import beats, gap_grows, in_order, trend
from normsearch.evidence.cost import cost_below
from normsearch.evidence.shares import (
    explained,
    gates_spread,
    leads,
    more_in_place,
    share_trend,
    weight_below,
)
from normsearch.evidence.verdicts import Verdict

JUDGES: dict[str, Callable[..., Verdict]] = {
    "beats": beats,
    "in_order": in_order,
    "trend": trend,
    "gap_grows": gap_grows,
    "cost_below": cost_below,
    "share_trend": share_trend,
    "weight_below": weight_below,
    "more_in_place": more_in_place,
    "leads": leads,
    "gates_spread": gates_spread,
    "explained": explained,
}
"""name -> function of {part: Measured} and the arguments that a statement gives it."""
