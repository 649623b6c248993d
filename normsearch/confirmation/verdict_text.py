"""The verdicts of a confirmation as sentences: mixtures of norms first, then the other arms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from normsearch.confirmation.arm_table import AT_SETTING, MIXTURE
from normsearch.confirmation.claims import BY_SETTING, UNEQUAL, UNTUNED
from normsearch.confirmation.comparison import Confirmation
from normsearch.confirmation.look_table import NOT_FINISHED, NOT_PURSUED
from normsearch.confirmation.statistics import NO_DIFFERENCE

_PLACES = {"reference": ("difference", "total_low", "total_high", "p_holm"),
           "beside": ("beside_difference", "beside_low", "beside_high", "beside_p")}  # fmt: skip


def mixtures(found: Confirmation) -> Iterator[str]:
    """Yield sentences on the mixtures, those that are better first."""
    rows = found.table[found.table["role"] == MIXTURE]
    rows = rows[~rows["verdict"].isin(["not trained", NOT_FINISHED])]
    if rows.empty:
        return
    better = rows[rows["verdict"] == "better"]
    named = f"{found.reference}, the single norm that the search ranked first"
    if better.empty:
        yield f"No mixture of norms is shown to be better than {named}."
    for row in better.to_dict("records"):
        yield f"{_capital(row['arm'])} is better than {named}: {_both(found, row)}."
        yield _every(found, row["arm"])
    for row in rows[rows["verdict"] != "better"].to_dict("records"):
        yield _not_better(found, row)


def others(found: Confirmation) -> Iterator[str]:
    """Yield sentences on the other arms: single norms, or the arms of a study."""
    rows = found.table[~found.table["role"].isin([MIXTURE, AT_SETTING])]
    parts = []
    for verdict in ("better", "worse"):
        told = [_named(found, row) for row in rows[rows["verdict"] == verdict].to_dict("records")]
        if told:
            parts.append(f"{verdict} than {found.reference}: {', '.join(told)}")
    if parts:
        yield f"{_capital('; '.join(parts))}."
    same = rows[rows["verdict"] == NO_DIFFERENCE].to_dict("records")
    if same:
        told = [f"{row['arm']} ({interval(row, 'reference')})" for row in same]
        yield (
            f"No difference shown between {found.reference} and {', '.join(told)}: not evidence of "
            "equality."
        )
    dropped = rows[rows["verdict"].astype(str).str.startswith(NOT_PURSUED)].to_dict("records")
    if dropped:
        told = [f"{row['arm']} {_after(row)}" for row in dropped]
        yield f"Not pursued: {', '.join(told)}."
    by_setting = rows.loc[rows["verdict"].isin([BY_SETTING, UNEQUAL]), "arm"]
    if len(by_setting):
        yield (
            f"No verdict on {', '.join(by_setting)}: the difference to {found.reference} is not "
            "the same at both settings, so the setting may make it."
        )
    untuned = rows.loc[rows["verdict"] == UNTUNED, "arm"]
    if len(untuned):
        yield (
            f"No verdict on {', '.join(untuned)}: the search completed them at too few learning "
            "rates and batch sizes, so the setting may make the difference."
        )
    untested = found.table[found.table["verdict"] == "not tested"]
    if len(untested):
        want = "case" if (untested["cases"] < 2).any() else "seed"
        yield f"Not tested for want of a second {want}: {', '.join(untested['arm'])}."


def against(row: dict[Any, Any], which: str) -> str:
    """Return a difference with its interval and p: ``+0.021, 95% interval ..., p 0.013``."""
    difference, *_, p = (row[name] for name in _PLACES[which])
    return f"{signed(difference)}, {interval(row, which)}, p {p:.2g}"


def interval(row: dict[Any, Any], which: str) -> str:
    """Return ``95% interval −0.020 to +0.030``."""
    _, low, high, _ = (row[name] for name in _PLACES[which])
    return f"95% interval {signed(low)} to {signed(high)}"


def signed(value: float) -> str:
    """Return a number with its sign (− as U+2212) and three digits."""
    return format(value, "+.3f").replace("-", "−")


def _both(found: Confirmation, row: dict[Any, Any]) -> str:
    """Return the comparison of a mixture, or both comparisons if settings differ."""
    if pd.isna(row["beside"]):
        return f"{against(row, 'reference')}, both at the same setting"
    return (
        f"{against(row, 'reference')}, with each at its own setting, and {against(row, 'beside')}, "
        f"with {found.reference} at {row['arm']}'s setting"
    )


def _every(found: Confirmation, arm: str) -> str:
    left = found.comparison.not_beaten.get(arm, [])
    if not left:
        return f"{_capital(arm)} is better than every single norm trained here (p < 0.05 for each)."
    return f"{_capital(arm)} is not shown to be better than {', '.join(left)}."


def _not_better(found: Confirmation, row: dict[Any, Any]) -> str:
    arm, verdict = row["arm"], row["verdict"]
    if verdict == "not tested":
        return f"{_capital(arm)} is not tested."
    if verdict == "worse":
        return f"{_capital(arm)} is worse than {found.reference}: {_both(found, row)}."
    if verdict.startswith(NOT_PURSUED):
        return f"{_capital(arm)} was not pursued {_after(row)}."
    if verdict == UNEQUAL:
        return (
            f"{_capital(arm)} is {row['reference_verdict']} than {found.reference} with each at "
            f"its own setting ({against(row, 'reference')}), and {found.reference} has no "
            f"comparable training at {arm}'s setting: the setting may make the difference."
        )
    first = _one(found.reference, row, "reference")
    if pd.isna(row["beside"]):
        return f"{_capital(arm)}: {first}."
    text = f"{_capital(arm)}: {first}; {_one(row['beside'], row, 'beside')}"
    return f"{text}: the setting may make the difference." if verdict == BY_SETTING else f"{text}."


def _one(other: str, row: dict[Any, Any], which: str) -> str:
    """Return one of a mixture's two comparisons."""
    verdict = row[f"{which}_verdict"]
    if verdict in ("better", "worse"):
        return f"{verdict} than {other} ({against(row, which)})"
    return f"no difference shown to {other} ({interval(row, which)}: not evidence of equality)"


def _named(found: Confirmation, row: dict[Any, Any]) -> str:
    if found.confirms is None:
        return f"{row['arm']} ({against(row, 'reference')})"
    return f"{row['arm']} ({_both(found, row)})"


def _after(row: dict[Any, Any]) -> str:
    """Return ``after 3 seeds (difference −0.010, 95% interval −0.040 to +0.020)``."""
    after = str(row["verdict"]).removeprefix(f"{NOT_PURSUED} ")
    return f"{after} (difference {signed(row['difference'])}, {interval(row, 'reference')})"


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
