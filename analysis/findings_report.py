"""The report of evidence: every published statement with its verdict, on one offline page.

Each stands with the paper's numbers beside ours, its picture, and what it means for a choice now.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from normsearch.analysis.contrasts import COLOURS, numbers
from normsearch.analysis.palette import text_colour
from normsearch.analysis.report import data_url, page

#: Verdict -> what it means for a choice, where the finding does not say more.
ADVICE = {
    "reproduced": "It held here too, on a task like this one.",
    "contradicted": "Do not count on it on a task like this one.",
    "equivalent": "No reason to choose by it: the difference is too small to matter here.",
    "not distinguishable": "Nothing to choose by: these trainings cannot tell.",
}

_PLAIN = (
    "finding", "text", "scale", "verdict", "told", "paper", "metric", "flags", "source", "notes",
    "sha256", "experiment",
)  # fmt: skip


def findings_page(
    results: Sequence[Mapping[str, Any]], pictures: Mapping[tuple[str, str], bytes]
) -> str:
    """Return the page as HTML; it loads nothing.

    Args:
        results: what `normsearch reproduce` records, in the order in which they are shown; those
            of one source stand together.
        pictures: (finding, scale) -> a PNG file; a result without one is shown without.
    """
    rows = [
        _row(result, f"finding-{place}", pictures.get((result["finding"], result["scale"])))
        for place, result in enumerate(results, 1)
    ]
    counts = Counter(str(result["verdict"]) for result in results)
    small = sorted({str(r["scale"]) for r in results if r["scale"] != "paper"}, reverse=True)
    sources = dict.fromkeys(row["source"] for row in rows)
    return page("findings.html.j2", {
        "rows": rows,
        "sections": [(source, [row for row in rows if row["source"] == source])
                     for source in sources],
        "counts": [(word, counts[word]) for word in COLOURS if word in counts],
        "small": " or ".join(small),
    })  # fmt: skip


def _row(result: Mapping[str, Any], anchor: str, picture: bytes | None) -> dict[str, Any]:
    """One statement, written out."""
    verdict = str(result["verdict"])
    colour = COLOURS[verdict]
    return {
        **{key: result[key] for key in _PLAIN},
        "id": anchor,
        "plan": str(result["plan"]).rstrip("."),
        "metric": str(result["metric"]).rstrip("."),
        "colour": colour,
        "ink": text_colour(colour),
        "advice": result["advice"] or ADVICE[verdict],
        "amount": _amount(result),
        "date": str(result["date"]).partition("T")[0],
        "contrasts": [_contrast(one) for one in result["contrasts"]],
        "picture": data_url("image/png", picture) if picture else "",
    }


def _amount(result: Mapping[str, Any]) -> str:
    """How much was trained."""
    counted = [
        f"{result[name]} {name[:-1] if result[name] == 1 else name}"
        for name in ("trainings", "seeds", "cases")
        if result[name]
    ]
    return ", ".join(counted) or "A measurement, no training"


def _contrast(one: Mapping[str, Any]) -> dict[str, str]:
    """One number of a statement, ours and the paper's; a logarithm of a ratio as the ratio."""

    def shown(value: float | None) -> float:
        if value is None:
            return math.nan
        return math.exp(value) if one["ratio"] else value

    unit = f" {one['unit']}" if one["unit"] else ""
    published = shown(one["published"])
    return {
        "name": str(one["name"]),
        "claim": _claim(one) + unit * (one["claim"] == "within"),
        "published": "–" if math.isnan(published) else f"{published:.3g}".replace("-", "−") + unit,
        "ours": numbers(*(shown(one[key]) for key in ("estimate", "low", "high"))) + unit,
    }


def _claim(one: Mapping[str, Any]) -> str:
    """What the statement claims of a number."""
    if one["claim"] == "above":
        return "above 1" if one["ratio"] else "above 0"
    if one["ratio"]:
        return f"{math.exp(-one['margin']):.3g} to {math.exp(one['margin']):.3g}"
    return f"within ± {one['margin']:g}"
