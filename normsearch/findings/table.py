"""The table of findings of docs/findings.md, written from the results."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from normsearch.analysis.recorded_results import estimate_of, read_results
from normsearch.errors import StudyError
from normsearch.files import write_text
from normsearch.findings.page import all_findings, registrations

MARKS = (
    "<!-- findings: python -m normsearch.findings.table docs/findings.md -->",
    "<!-- end -->",
)


def table_of_results(results: Iterable[Mapping[str, Any]]) -> str:
    """Return results as a Markdown table: statement, published numbers, ours, verdict."""
    lines = ["| | statement | published | ours (95% interval) | verdict |", "|---|---|---|---|---|"]
    for result in results:
        ours, verdict = "–", "not run yet"
        if "verdict" in result:
            direction = result["verdict"] == "reproduced" and result["scale"] != "paper"
            verdict = result["verdict"] + (", direction only" if direction else "")
            counted = f"{result['trainings']} trainings" if result["trainings"] else "measured"
            flagged = "; see flags" if result["flags"] else ""
            told = [f"{one['name']}: {estimate_of(one)}" for one in result["contrasts"]]
            ours = "; ".join(told) + f" ({counted}{flagged})"
        cells = [result["finding"], result["text"], result["paper"], ours, verdict]
        lines.append("| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def count_of_verdicts(results: Iterable[Mapping[str, Any]]) -> str:
    """Return how many statements have which verdict, in a sentence; README shows it.

    >>> count_of_verdicts([{"verdict": "reproduced"}, {}])
    '2 statements are registered: 1 reproduced, 1 not run yet.'
    """
    counts = Counter(result.get("verdict", "not run yet") for result in results)
    order = ("reproduced", "contradicted", "equivalent", "not distinguishable", "not run yet")
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in order if verdict in counts)
    return f"{counts.total()} statements are registered: {told}."


def toy_results(
    results: Mapping[tuple[str, str], Mapping[str, Any]],
) -> list[Mapping[str, Any]]:
    """Return the toy-scale results in the order of findings, the bare statement where is none.

    A result counts if its registration is among `registrations`: until the second round of a
    statement has run, that of the first.
    """
    known = registrations()
    found: list[Mapping[str, Any]] = []
    for key, (_, finding) in all_findings().items():
        result = results.get((key, "toy"), {})
        bare = {"finding": key, "text": finding.text, "paper": finding.paper}
        found.append(result if (key, result.get("sha256")) in known else bare)
    return found


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


if __name__ == "__main__":
    write_table(Path(sys.argv[1]), read_results())
    print(count_of_verdicts(toy_results(read_results())))
