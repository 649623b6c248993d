"""Every judge by name; one new file and one line here add another."""

from __future__ import annotations

from collections.abc import Callable

from normsearch.evidence.contrasts import beats, gap_grows, in_order, trend
from normsearch.evidence.cost import cost_below
from normsearch.evidence.verdicts import Verdict

JUDGES: dict[str, Callable[..., Verdict]] = {
    "beats": beats,
    "in_order": in_order,
    "trend": trend,
    "gap_grows": gap_grows,
    "cost_below": cost_below,
}
"""name -> function of {part: Measured} and the arguments that a statement gives it."""
