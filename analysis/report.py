"""Writes a self-contained HTML report: results, limits, and the files to repeat the study.

The page works offline, follows the reader's light or dark setting, and can be printed.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import yaml
from matplotlib.figure import Figure

from normsearch.analysis import StudyLike, drawn, evidence, norm_map, reading, render_all
from normsearch.analysis.arms import LOWER, over_trainings, single_norm, without_replicates
from normsearch.analysis.palette import norm_colour, norm_order, text_colour
from normsearch.analysis.seam import limit_of
from normsearch.errors import StudyError, visible
from normsearch.files import is_folder, write_text

STATES = {
    "COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed",
    "RUNNING": "running or interrupted", "WAITING": "waiting", "DUPLICATE": "repeated",
}  # fmt: skip

_COLUMNS = ["number", "state", "score", "last_score", "baseline", "single_norm"]

#: Figures above this size in bytes are embedded as PNG instead of SVG.
SVG_LIMIT = 150_000


def write_report(study: StudyLike, path: str | Path | None = None) -> Path:
    """Write the report of a study as one HTML file and return its path.

    Args:
        study: a study record; a study without any finished trial gives a short report.
        path: the file to write; default ``report/report.html`` in the run's folder.
    """
    path = Path(path) if path is not None else study.folder / "report" / "report.html"
    if is_folder(path):
        raise StudyError(f"{path}: must be the report's file, got a folder; add a file name to it.")
    write_text(path, page("report.html.j2", contents(study)))
    return path


def page(template: str, values: Mapping[str, Any]) -> str:
    """Return an HTML page of a template in this folder, everything in it escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return visible(environment.get_template(template).render(**values))


def contents(study: StudyLike) -> dict[str, Any]:
    """Return the content of the page as plain values for the template."""
    plain = json.loads(json.dumps(dict(study.config), default=str))
    table = study.trials()
    if table.empty:
        table = pd.DataFrame(columns=_COLUMNS)
    counts = table["state"].value_counts()
    comparison = evidence.comparison_of(study)
    searched = comparison is not study
    found = {} if comparison is None else evidence.compared(comparison)
    shown = _searched(study, table) if searched else _NOTHING_SEARCHED
    return {
        "name": study.name,
        "metric": f"{study.metric}{LOWER if study.direction == 'minimize' else ''}",
        "about": _about(plain),
        "total": len(table),
        "states": [(int(counts[s]), word) for s, word in STATES.items() if s in counts],
        "searched": searched,
        **shown,
        "compared": found,
        "unfinished": comparison.name if searched and comparison and not found else None,
        "verdicts": evidence.verdicts(study),
        "figures": _figures(study),
        "compared_figures": _figures(comparison, "confirm-") if searched and comparison else [],
        "files": _files(study, plain, shown["best"]),
        "versions": plain.get("versions") or {},
        "fingerprint": plain.get("fingerprint"),
    }


_NOTHING_SEARCHED: dict[str, Any] = {
    "best": None, "single": None, "mixture": None, "difference": None, "maps": [], "top": [],
    "single_norms": [], "edges": [], "raced": False,
}  # fmt: skip


def _searched(study: StudyLike, table: pd.DataFrame) -> dict[str, Any]:
    """Return the results of a search: the best single norm and mixture, norm maps, tables."""
    lower = study.direction == "minimize"
    rows, raced = _ranked(study, table)
    single = [row for row in rows if single_norm(row, study)]
    mixtures = [row for row in rows if not single_norm(row, study)]
    leading = mixtures[:1] + single[:1]
    sign = -1 if lower else 1
    best = max(leading, key=lambda row: sign * float(row["score"]), default=None)
    if raced:
        best = next(iter(rows), None)
    return {
        "raced": raced,
        "best": best and _trial(best, study),
        "single": _trial(single[0], study) if single else None,
        "mixture": _trial(mixtures[0], study) if mixtures else None,
        "difference": mixtures[0]["score"] - single[0]["score"] if len(leading) == 2 else None,
        "favours": _favours(mixtures, single) if lower and len(leading) == 2 else None,
        "tried": {"single": len(single), "mixture": len(mixtures)},
        "maps": [_map(row, study) for row in leading if row is best or row in mixtures],
        "seams": any(pd.notna(row.get("seam")) for row in rows),
        "top": [_trial(row, study) for row in rows[:10]],
        "single_norms": _single_norms(study, table, rows, raced),
        "edges": _edges(study, leading),
    }


def _ranked(study: StudyLike, table: pd.DataFrame) -> tuple[list[dict[Any, Any]], bool]:
    """Return the COMPLETE trials, the best first, and whether a race decided on their order.

    Replicates are part of the trial that they train again; see `over_trainings`.
    """
    lower, raced = study.direction == "minimize", study.raced()
    complete = over_trainings(table) if raced else without_replicates(table)
    complete = complete[complete["state"] == "COMPLETE"].sort_values("score", ascending=lower)
    if (limit := limit_of(study)) is not None:
        complete = complete[complete["seam"] <= limit]
    if raced:
        place = {number: place for place, number in enumerate(study.ranked())}
        complete = complete[complete["number"].isin(place)]
        complete = complete.sort_values("number", key=lambda numbers: numbers.map(place))
    return complete.to_dict("records"), raced


def _favours(mixtures: list[dict[Any, Any]], single: list[dict[Any, Any]]) -> str | None:
    """Return which of the two has the lower score, None if they are equal."""
    scores = {"mixture": mixtures[0]["score"], "single norm": single[0]["score"]}
    return min(scores, key=scores.__getitem__) if len(set(scores.values())) == 2 else None


def _single_norms(
    study: StudyLike, table: pd.DataFrame, ranked: list[dict[Any, Any]], raced: bool
) -> list[dict[str, Any]]:
    """Return the best trial of each single norm over all its settings, and the best mixtures.

    For a norm without a COMPLETE trial, it is the best of its other trials.
    """
    tried = without_replicates(table[~table["state"].isin(["DUPLICATE", "WAITING"])]).sort_values(
        ["score", "last_score"], ascending=study.direction == "minimize", na_position="last"
    )
    best: dict[str, dict[Any, Any]] = {}
    trials: Counter[str] = Counter()
    for row in ranked if raced else []:
        if name := single_norm(row, study):
            best.setdefault(name, row)
    for row in tried.to_dict("records"):
        if name := single_norm(row, study):
            trials[name] += 1
            best.setdefault(name, row)
    found = [
        {**_trial(row, study), "norm": name, "trials": trials[name]} for name, row in best.items()
    ]
    mixtures = [row for row in ranked if not single_norm(row, study)][:3]
    return found + [
        {**_trial(row, study), "norm": f"mixture {place}", "trials": ""}
        for place, row in enumerate(mixtures, 1)
    ]


def _edges(study: StudyLike, rows: list[dict[Any, Any]]) -> list[str]:
    """Return the choices of the best mixture and single norm at an end of their range."""
    from normsearch.confirmation.plan_arms import edges

    space = study.config.get("space", {})
    return [
        f"{single_norm(row, study) or 'Mixture'} (trial {row['number']}): {sentence}"
        for row in rows
        for sentence in edges(space, {k: v for k, v in row.items() if pd.notna(v)})
    ]


def _about(config: dict[str, Any]) -> str:
    """Describe network, data and budget."""
    said = [
        config.get("network", {}).get("name", "a network"),
        config.get("task", {}).get("data", "its data"),
    ]
    training = config.get("training", {})
    counted = training.get("budget", "samples")
    amount = training.get(counted)
    what = "training samples" if counted == "samples" else "optimizer steps"
    budget = f", {amount:,} {what} a trial at full budget" if amount else ""
    fewer = ""
    if some := config.get("task", {}).get("validation_cases"):
        fewer = f"; scores before the last evaluation, as of pruned trials, are of {some} cases"
    return f"{said[0]} on {said[1]}{budget}{fewer}"


def _trial(row: dict[Any, Any], study: StudyLike) -> dict[str, Any]:
    """Return a trial as formatted values for a table."""
    norms = Counter(str(row[c]) for s in study.slots if pd.notna(row.get(c := f"norm.{s}")))
    return {
        "number": int(row["number"]),
        "state": STATES.get(str(row["state"]), str(row["state"])),
        "score": _score(row),
        "steps": _number(row["steps"], ",.0f"),
        "single": single_norm(row, study),
        "learning_rate": _number(row["learning_rate"], ".3g"),
        "batch_size": _number(row["batch_size"], ".0f"),
        "samples": _number(row["samples"], ",.0f"),
        "minutes": _number(row["seconds"], ",.1f", 60),
        "memory": _number(row["peak_memory_bytes"], ".1f", 2**30),
        "seam": _number(row.get("seam"), ".4f"),
        "norms": [_chip(norm, norms[norm]) for norm in norm_order(norms)],
    }


def _score(row: dict[Any, Any]) -> str:
    """Return the final score, or the last reported one with a note."""
    if pd.isna(row["score"]) and pd.notna(row["last_score"]):
        return f"last {row['last_score']:.4f}"
    lost = f", {row['lost']:.0f} more failed" if row.get("lost") else ""
    if row.get("seeds", 1) > 1:
        ends = f"{row['lowest']:.4f} to {row['highest']:.4f}"
        return f"{row['score']:.4f} (mean of {row['seeds']:.0f} seeds, {ends}{lost})"
    return _number(row["score"], ".4f") + (f" (1 seed{lost})" if lost else "")


def _number(value: Any, form: str, unit: int = 1) -> str:
    """Format a number in a unit, or return a dash if it is missing."""
    return "–" if pd.isna(value) else format(float(value) / unit, form)


def _chip(norm: str, count: int = 1) -> dict[str, Any]:
    """Return a norm's name with its colours."""
    colour = norm_colour(norm)
    return {"norm": norm, "count": count, "colour": colour, "ink": text_colour(colour)}


def _map(row: dict[Any, Any], study: StudyLike) -> dict[str, Any]:
    """Return the drawn norm map of a trial, and the number of slots of each norm."""
    number = int(row["number"])
    counts = Counter(study.norm_map(number).values())
    return {
        "number": number,
        "mixture": not single_norm(row, study),
        "shares": [_chip(norm, counts[norm]) for norm in norm_order(counts)],
        "svg": norm_map.draw(norm_map.compute(study, number)),
    }


def _files(
    study: StudyLike, config: dict[str, Any], best: dict[str, Any] | None
) -> list[dict[str, str]]:
    """Return the files that repeat the study and its best trial, with their text and link."""
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    found = [("study.yaml", "The whole study, resolved", text, "normsearch run study.yaml")]
    if best:
        trial = study.folder / "trials" / f"{best['number']:04d}" / "trial.json"
        if trial.is_file():
            text, command = trial.read_text(encoding="utf-8"), "normsearch train trial.json"
            found.append(("trial.json", f"The best trial, number {best['number']}", text, command))
    return [
        {"name": name, "title": title, "text": text, "command": command,
         "href": data_url("application/octet-stream", text.encode())}
        for name, title, text, command in found
    ]  # fmt: skip


def _figures(study: StudyLike, prefix: str = "") -> list[dict[str, str]]:
    """Return every figure that a study's data allow, with title and caption."""
    made = []
    for kind, figure in render_all(study).items():
        title, caption = reading(kind)
        source = _image(figure)
        made.append({"id": prefix + kind, "title": title, "caption": caption, "src": source})
    return made


def _image(figure: Figure) -> str:
    """Return a figure as an embedded image; as an <img>, its ids do not clash with others."""
    svg = drawn(figure, ".svg")
    if len(svg) <= SVG_LIMIT:
        return data_url("image/svg+xml", svg)
    return data_url("image/png", drawn(figure, ".png"))


def data_url(mime: str, content: bytes) -> str:
    """Return content as a data URL."""
    return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"
