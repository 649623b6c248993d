"""What a report adds where there is more than a search: fixed trainings compared, and verdicts.

The comparison is what `normsearch confirm` leaves, the verdicts are those of registered findings,
from `normsearch reproduce`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from normsearch.analysis import StudyLike, open_study
from normsearch.analysis.recorded_results import estimate_of, read_results
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
        study, metric, note (what to know of it), finished, seeds, up_to (``up to`` if arms may have
        fewer seeds), cases, scored_on (``test``,
        ``validation`` or ``training`` cases), seen (whether the search had seen some of the cases),
        lead (what was found, in plain words), remarks (what qualifies it, a sentence each),
        settings (names of what is shown of each arm's setting), arms (a row each, the best mean
        first: arm, setting, mean, interval, seed_sd, seeds, failed, collapsed, false_positives,
        difference, reach, p, beside, hd95, surface_dice, verdict), empty (whether there are cases
        with an empty truth), beside (whether mixtures have a second comparison), reference,
        hd95_unit and surfaces (whether any arm has surface distances); empty as long as there is no
        comparison.

    Raises:
        ConfigError: the comparison's file is not what `normsearch confirm` wrote.
    """
    path = study.folder / "confirmation.json"  # what `normsearch confirm` leaves
    if not path.is_file():
        return {}
    from normsearch.confirmation.export import read_confirmation

    found = read_confirmation(path)
    settings = _settings(found["arms"])
    return {
        **{key: found[key] for key in ("study", "metric", "finished", "seeds", "cases")},
        "note": " (lower is better)" if found["direction"] == "minimize" else "",
        "limit": "above twice" if found["direction"] == "minimize" else "below half of",
        "up_to": "up to " if found.get("design") == "looks" else "",
        "reference": found["reference"],
        "scored_on": found["scored_on"],
        "hd95_unit": found["hd95_unit"],
        "seen": bool(found["seen_folds"]),
        "lead": found["sentences"][0],
        "remarks": found["sentences"][1:],
        "settings": [name.replace("_", " ") for name in settings],
        "arms": [_arm(row, settings) for row in found["arms"]],
        "empty": any(row.get("empty_cases") for row in found["arms"]),
        "beside": any(row.get("beside") for row in found["arms"]),
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
    taken = ("finding", "text", "paper", "told", "scale", "flags")
    return [
        {
            **{key: result[key] for key in taken},
            "ours": "; ".join(f"{c['name']}: {estimate_of(c)}" for c in result["contrasts"]),
        }
        for result in read_results().values()
        if study.name in result["runs"]
    ]


def _settings(rows: list[dict[str, Any]]) -> list[str]:
    """The names of what is known of the arms' settings, from learning_rate to steps."""
    names = list(rows[0])
    if not {"learning_rate", "steps"} <= set(names):
        return []  # a comparison from before settings were recorded
    return names[names.index("learning_rate") : names.index("steps") + 1]


def _arm(row: Mapping[str, Any], settings: list[str]) -> dict[str, Any]:
    """One row of the comparison, written out."""
    reference = row["verdict"] == "reference"
    return {
        "arm": str(row["arm"]),
        "setting": [_setting(row[name]) for name in settings],
        "mean": _spread(row, "mean", "sd", 3),
        "interval": _range(row, "low", "high", ".3f"),
        "seed_sd": _number(row["seed_sd"], ".4f"),
        "seeds": _number(row.get("seeds"), ".0f"),
        "failed": _number(row.get("failed"), ".0f"),
        "collapsed": _collapsed(row),
        "false_positives": _number(row.get("false_positives"), ".0f"),
        "difference": "–" if reference else _number(row["difference"], "+.4f"),
        "reach": "–" if reference else _range(row, "total_low", "total_high", "+.4f"),
        "p": _number(row["p_holm"], ".2g"),
        "beside": _beside(row),
        "hd95": _spread(row, "hd95", "hd95_sd", 1),
        "surface_dice": _spread(row, "surface_dice", "surface_dice_sd", 3),
        "verdict": str(row["verdict"]),
    }


def _setting(value: Any) -> str:
    return _number(value, ".4g") if isinstance(value, int | float) else str(value or "–")


def _collapsed(row: Mapping[str, Any]) -> str:
    """How many trainings collapsed, and the share of them that may."""
    shown = _number(row.get("collapsed"), ".0f")
    bound = row.get("collapse_bound")
    return shown if shown == "–" or bound is None else f"{shown} (≤ {bound:.0%})"


def _beside(row: Mapping[str, Any]) -> str:
    """The difference to the reference at the mixture's setting, with interval and p."""
    if not row.get("beside"):
        return "–"
    reach = _range(row, "beside_low", "beside_high", "+.4f")
    difference, p = _number(row["beside_difference"], "+.4f"), _number(row["beside_p"], ".2g")
    return f"{difference} ({reach}; p {p})"


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
