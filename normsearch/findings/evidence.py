"""The report of evidence: every statement with a result, on one page."""

from __future__ import annotations

from pathlib import Path

from normsearch.analysis.findings_report import findings_page
from normsearch.analysis.recorded_results import SHIPPED, default_folder, read_results
from normsearch.errors import StudyError
from normsearch.files import write_text
from normsearch.findings.page import all_findings, registrations


def write_evidence(path: Path) -> None:
    """Write the page of all findings that have a result, at every scale, with their pictures.

    Raises:
        StudyError: there is no result, or a file among them is none.
    """
    found = read_results()
    known = registrations()
    order = {key: place for place, key in enumerate(all_findings())}
    current = [
        result
        for (key, _), result in sorted(found.items(), key=lambda item: order.get(item[0][0], 10**6))
        if key not in order or (key, result["sha256"]) in known
    ]
    if not current:
        raise StudyError(
            "--findings: must find a result in analysis/results or results, and there is none; "
            "run `normsearch reproduce P1`."
        )
    pictures = {
        (result["finding"], result["scale"]): file.read_bytes()
        for result in current
        for folder in (SHIPPED, default_folder())
        if (file := folder / f"{result['finding']}-{result['scale']}.png").is_file()
    }
    write_text(path, findings_page(current, pictures))
