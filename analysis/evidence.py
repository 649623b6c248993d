"""What a report adds where there is more than a search: fixed trainings compared, and verdicts.

The comparison is what `normsearch confirm` leaves, the verdicts are those of registered findings,
from `normsearch reproduce`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from analysis import StudyLike, open_study
from normsearch.errors import StudyError


def comparison_of(study: StudyLike) -> StudyLike | None:
    """Return the study that compares fixed trainings: itself, or NAME-confirm beside a search."""
    space = study.config.get("space")
    if isinstance(space, Mapping) and "arms" in space:
        return study
    folder = study.folder.parent / f"{study.folder.name}-confirm"
    if not (folder / "study.yaml").is_file():
        return None
    try:
        return open_study(folder)
    except StudyError:  # it has not begun
        return None


def compared(study: StudyLike) -> dict[str, Any]:
    """Return what a study of fixed trainings shows, written out for people.

    Returns:
        study, metric, seeds, cases, seen (whether the search had seen some of the cases), lead
        (what was found, in plain words), remarks (what qualifies it, a sentence each), arms (a row
        each, the best mean first: arm, mean, interval, seed_sd, difference, reach, p, hd95,
        surface_dice, verdict) and surfaces (whether any arm has surface distances); empty as long
        as the run has not ended.
    """
    path = study.folder / "confirmation.json"  # what `normsearch confirm` leaves
    if not path.is_file():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    leading = 1 if found["finished"] else 2  # one with failures or gaps says so first
    return {
        **{key: found[key] for key in ("study", "metric", "seeds", "cases")},
        "seen": bool(found["seen_folds"]),
        "lead": " ".join(found["sentences"][:leading]),
        "remarks": found["sentences"][leading:],
        "arms": [_arm(row) for row in found["arms"]],
        "surfaces": any(row["hd95"] is not None for row in found["arms"]),
    }


def verdicts(study: StudyLike) -> list[dict[str, Any]]:
    """Return the verdicts on published statements that this run was trained for.

    Returns:
        One row a statement: finding, text (the statement), paper (what was published), ours (what
        was measured, with its 95% interval), told (the verdict in words), scale, flags (what a
        reader must know).

    Raises:
        StudyError: a file among the results is none.
    """
    from normsearch.evidence.results import estimate_of, read_results

    taken = ("finding", "text", "paper", "told", "scale", "flags")
    return [
        {
            **{key: result[key] for key in taken},
            "ours": f"{result['quantity']}: {estimate_of(result)}",
        }
        for result in read_results().values()
        if study.name in result["runs"]
    ]


def _arm(row: Mapping[str, Any]) -> dict[str, str]:
    """One row of the comparison, written out."""
    reference = row["verdict"] == "reference"
    return {
        "arm": str(row["arm"]),
        "mean": _spread(row, "mean", "sd", 3),
        "interval": _range(row, "low", "high", ".3f"),
        "seed_sd": _number(row["seed_sd"], ".4f"),
        "difference": "–" if reference else _number(row["difference"], "+.4f"),
        "reach": "–" if reference else _range(row, "total_low", "total_high", "+.4f"),
        "p": _number(row["p_holm"], ".2g"),
        "hd95": _spread(row, "hd95", "hd95_sd", 1),
        "surface_dice": _spread(row, "surface_dice", "surface_dice_sd", 3),
        "verdict": str(row["verdict"]),
    }


def _number(value: Any, form: str) -> str:
    """A number in this format with a true minus sign, or a dash where there is none."""
    return "–" if value is None else format(value, form).replace("-", "−")


def _spread(row: Mapping[str, Any], mean: str, deviation: str, digits: int) -> str:
    """``mean ± SD``."""
    form = f".{digits}f"
    shown = _number(row[mean], form)
    return shown if shown == "–" else f"{shown} ± {_number(row[deviation], form)}"


def _range(row: Mapping[str, Any], low: str, high: str, form: str) -> str:
    """``low to high``."""
    ends = [_number(row[end], form) for end in (low, high)]
    return "–" if "–" in ends else " to ".join(ends)
