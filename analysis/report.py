"""One self-contained HTML file that tells what a study found, what it does not show, how to repeat.

The page opens offline, loads nothing, follows the reader's light or dark setting and prints.
"""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import yaml
from matplotlib.figure import Figure

from analysis import StudyLike, reading, render_all
from analysis.palette import norm_colour, norm_order, slot_label, text_colour

STATES = {
    "COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed",
    "RUNNING": "running or interrupted", "WAITING": "waiting",
}  # fmt: skip

#: Above this size (bytes) a figure goes in as PNG rather than SVG.
SVG_LIMIT = 700_000


def write_report(study: StudyLike, path: str | Path | None = None) -> Path:
    """Write the report of a study as one HTML file and return its path.

    Args:
        study: a study record; a study without any finished trial gives a short report.
        path: the file to write; default ``report/report.html`` in the run's folder.
    """
    path = Path(path) if path is not None else study.folder / "report" / "report.html"
    source = Path(__file__).with_name("report.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    html = environment.from_string(source).render(**contents(study))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html, encoding="utf-8")
    return path


def contents(study: StudyLike) -> dict[str, Any]:
    """Return everything the page says, as plain values for the template."""
    table = study.trials()
    if table.empty:
        table = pd.DataFrame(columns=["number", "state", "score", "last_score", "baseline"])
    counts = table["state"].value_counts()
    complete = table[table["state"] == "COMPLETE"].sort_values("score", ascending=False)
    baselines = table[table["baseline"].notna()].sort_values(
        ["score", "last_score"], ascending=False, na_position="last"
    )
    rows = {int(row["number"]): row for row in complete.to_dict("records")}
    best = None if study.best is None else rows.get(study.best)
    single = [row for row in rows.values() if isinstance(row["baseline"], str)]
    plain = json.loads(json.dumps(dict(study.config), default=str))
    return {
        "name": study.name,
        "metric": study.metric,
        "total": len(table),
        "states": [(int(counts[s]), word) for s, word in STATES.items() if s in counts],
        "best": best and _trial(best, study),
        "baseline": _trial(single[0], study) if single else None,
        "difference": best["score"] - single[0]["score"] if best and single else None,
        "slots": _norm_map(study, study.best) if best else [],
        "shares": _shares(study, study.best) if best else [],
        "figures": [_figure(kind, made) for kind, made in render_all(study).items()],
        "top": [_trial(row, study) for row in list(rows.values())[:10]],
        "baselines": [_trial(row, study) for row in baselines.to_dict("records")],
        "yaml": yaml.safe_dump(plain, sort_keys=False, allow_unicode=True),
        "versions": plain.get("versions") or {},
    }


def _trial(row: dict[Any, Any], study: StudyLike) -> dict[str, Any]:
    """One row of a table of trials, written out for people."""
    norms = Counter(str(row[c]) for s in study.slots if pd.notna(row.get(c := f"norm.{s}")))
    return {
        "number": int(row["number"]),
        "state": STATES.get(str(row["state"]), str(row["state"])),
        "score": _number(row["score"], ".4f"),
        "last_score": _number(row["last_score"], ".4f"),
        "baseline": row["baseline"] if isinstance(row["baseline"], str) else "",
        "learning_rate": _number(row["learning_rate"], ".3g"),
        "batch_size": _number(row["batch_size"], ".0f"),
        "samples": _number(row["samples"], ",.0f"),
        "minutes": _number(row["seconds"], ",.1f", 60),
        "memory": _number(row["peak_memory_bytes"], ".1f", 2**30),
        "norms": [_chip(norm, norms[norm]) for norm in norm_order(norms)],
    }


def _number(value: Any, form: str, unit: int = 1) -> str:
    """A number in this format and unit, or a dash where there is none."""
    return "–" if pd.isna(value) else format(float(value) / unit, form)


def _chip(norm: str, count: int = 1) -> dict[str, Any]:
    """A norm's name with its colours."""
    colour = norm_colour(norm)
    return {"norm": norm, "count": count, "colour": colour, "ink": text_colour(colour)}


def _norm_map(study: StudyLike, number: int | None) -> list[dict[str, Any]]:
    """The slots of one trial in order of depth, each with its norm."""
    chosen = study.norm_map(number) if number is not None else {}
    return [
        {"slot": slot_label(slot), **_chip(chosen[slot])} for slot in study.slots if slot in chosen
    ]


def _shares(study: StudyLike, number: int | None) -> list[dict[str, Any]]:
    """How many slots of one trial use each norm."""
    counts = Counter(study.norm_map(number).values()) if number is not None else Counter[str]()
    return [_chip(norm, counts[norm]) for norm in norm_order(counts)]


def _figure(kind: str, figure: Figure) -> dict[str, str]:
    """A figure as an image inside the page; as an <img>, its ids cannot clash with another's."""
    title, caption = reading(kind)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    mime = "image/svg+xml"
    if buffer.tell() > SVG_LIMIT:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=150)
        mime = "image/png"
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return {"kind": kind, "title": title, "caption": caption, "src": f"data:{mime};base64,{data}"}
