"""The result of a finding: its verdict with everything needed to see where it comes from."""

from __future__ import annotations

import datetime
import json
import math
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from normsearch.analysis.recorded_results import estimate_of, read_results
from normsearch.errors import StudyError, sentence
from normsearch.files import write_text
from normsearch.findings.judges import JUDGES
from normsearch.findings.measurements import Measured
from normsearch.findings.registration import SCALES, Experiment, all_statements
from normsearch.findings.verdicts import Verdict

MARKS = (
    "<!-- findings: python -m normsearch.findings.results docs/findings.md -->",
    "<!-- end -->",
)
_AT_THIS_SCALE = {
    "reproduced": "direction reproduced at this scale",
    "contradicted": "contradicted at this scale",
    "not distinguishable": "not distinguishable at this scale",
}


def judge(
    experiment: Experiment, finding: str, scale: str, measured: Mapping[str, Measured]
) -> dict[str, Any]:
    """Return the result of a finding as plain values, ready for JSON.

    A verdict below the paper's own scale is worded as one of a direction at that scale.
    """
    statement = experiment.statements[finding]
    verdict = JUDGES[statement.judge](measured, **statement.arguments)
    worded = verdict.outcome if scale == "paper" else _AT_THIS_SCALE[verdict.outcome]
    looked_at = [measured[name] for name in statement.parts or measured]
    return {
        "finding": finding,
        "text": statement.text,
        "scale": scale,
        "verdict": verdict.outcome,
        "told": f"{worded[:1].upper()}{worded[1:]}. {sentence(verdict.words)}",
        **_numbers(verdict),
        "paper": statement.paper,
        "metric": statement.metric,
        "direction": statement.direction,
        "judge": statement.judge,
        **_counts(looked_at),
        "flags": list(verdict.flags),
        "table": list(verdict.table),
        "experiment": experiment.name,
        "source": experiment.source,
        "sha256": experiment.sha256,
    }


def provenance(runs: Sequence[Any], versions: Mapping[str, str]) -> dict[str, Any]:
    """Return what `runs` (StudyRecords) were trained on and with, how long it took, and today.

    `versions` are those of now, for what is judged without a run.
    """
    seconds = sum(float(run.trials()["seconds"].fillna(0).sum()) for run in runs)
    return {
        "runs": [run.name for run in runs],
        "data": {run.config["task"]["data"]: run.config.get("fingerprint") for run in runs},
        "versions": dict(runs[0].config["versions"] if runs else versions),
        "training_seconds": round(seconds, 1),
        "processor": platform.machine(),
        "date": datetime.datetime.now(datetime.UTC).replace(microsecond=0).isoformat(),
    }


def write_result(folder: Path, result: Mapping[str, Any]) -> Path:
    """Write FOLDER/FINDING-SCALE.json and return its path."""
    path = folder / f"{result['finding']}-{result['scale']}.json"
    text = json.dumps(_plain(result), indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")
    return path


def largest_scale(results: Mapping[tuple[str, str], dict[str, Any]], finding: str) -> str | None:
    """Return the largest scale at which there is a result of a finding."""
    there = [scale for scale in SCALES if (finding, scale) in results]
    return there[-1] if there else None


def table_of_results(results: Iterable[Mapping[str, Any]]) -> str:
    """Return results as a Markdown table: statement, published numbers, ours, verdict."""
    lines = ["| | statement | published | ours (95% interval) | verdict |", "|---|---|---|---|---|"]
    for result in results:
        if "verdict" not in result:
            ours, verdict = "–", "not run yet"
        else:
            verdict = result["verdict"] + (", direction only" if _direction_only(result) else "")
            flagged = "; see flags" if result["flags"] else ""
            counted = "; {trainings} trainings" if result["trainings"] else "; {seeds} seeds"
            counted = counted.format(**result)
            ours = f"{result['quantity']}: {estimate_of(result)}{counted}{flagged}"
        cells = [result["finding"], result["text"], result["paper"], ours, verdict]
        lines.append("| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _direction_only(result: Mapping[str, Any]) -> bool:
    return bool(result["verdict"] == "reproduced" and result["scale"] != "paper")


def write_table(page: Path, results: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
    """Replace the table between a page's two marks by that of the toy results.

    Raises:
        StudyError: the marks are not there.
    """
    before, mark, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not (mark and end):
        raise StudyError(f"{page}: must hold {MARKS[0]} and {MARKS[1]} around the table.")
    table = table_of_results(toy_results(results))
    write_text(page, f"{before}{mark}\n{table}{end}{after}")


def toy_results(
    results: Mapping[tuple[str, str], Mapping[str, Any]],
) -> list[Mapping[str, Any]]:
    """Return the toy-scale results in the order of findings, the bare statement where is none."""
    return [
        results.get((name, "toy"))
        or {"finding": name, "text": statement.text, "paper": statement.paper}
        for name, (_, statement) in all_statements().items()
    ]


def _numbers(verdict: Verdict) -> dict[str, Any]:
    names = ("quantity", "estimate", "low", "high", "interval")
    return {name: value for name, value in asdict(verdict).items() if name in names}


def _counts(measured: Sequence[Measured]) -> dict[str, Any]:
    def distinct(column: str, *names: str) -> int:
        tables = [getattr(part, name) for part in measured for name in names]
        return max((int(t[column].nunique()) for t in tables if column in t), default=0)

    return {
        "trainings": sum(len(part.trials) for part in measured),
        "seeds": distinct("seed", "trials", "replays"),
        "cases": distinct("case", "cases"),
        "diverged": sum(part.diverged for part in measured),
    }


def _plain(value: Any) -> Any:
    """Numbers as JSON has them: no NaN, four places after the point at most."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


if __name__ == "__main__":
    write_table(Path(sys.argv[1]), read_results())
