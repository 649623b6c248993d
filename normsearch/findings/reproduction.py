"""From a finding's name to its result, its tables and its picture in a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normsearch.analysis import save
from normsearch.analysis.contrasts import forest
from normsearch.analysis.recorded_results import read_result
from normsearch.errors import StudyError
from normsearch.findings.experiment import Experiment
from normsearch.findings.marks import Finding
from normsearch.findings.measured import Measured
from normsearch.findings.page import Page
from normsearch.findings.results import (
    contrasts_of,
    now,
    provenance,
    result_of,
    tables_path,
    write_result,
)
from normsearch.findings.user_code import call
from normsearch.search.preparation import versions

if TYPE_CHECKING:
    from normsearch.study import Study


def reproduce(
    page: Page,
    key: str,
    scale: str,
    folder: Path,
    *,
    data: Path | None,
    runs_dir: Path,
    train: Callable[[Study], None],
) -> tuple[Path, Path]:
    """Train what a finding needs and judge it; return the paths of its result and its picture."""
    finding = page.findings[key]
    experiment = Experiment(page, scale, data, runs_dir, train)
    measured = experiment.run(page.needed(key))
    folder.mkdir(parents=True, exist_ok=True)
    for name in finding.parts:
        measured[name].write(tables_path(folder, page, scale, name))
    facts = provenance(experiment.records, versions())
    return _publish(page, finding, scale, folder, measured, facts)


def judge_again(page: Page, key: str, scale: str, folder: Path) -> tuple[Path, Path]:
    """Judge a finding by the tables that its trainings left; nothing is trained.

    Raises:
        StudyError: there is no result of this finding at this scale, or its registration is
            another.
    """
    finding = page.findings[key]
    before = _recorded(folder, page, key, scale)
    measured = {
        name: Measured.read(tables_path(folder, page, scale, name)) for name in finding.parts
    }
    kept = ("runs", "data", "versions", "training_seconds", "processor", "date")
    facts = {name: before[name] for name in kept if name in before}
    return _publish(page, finding, scale, folder, measured, {**facts, "judged": now()})


def _publish(
    page: Page,
    finding: Finding,
    scale: str,
    folder: Path,
    measured: Mapping[str, Measured],
    facts: Mapping[str, Any],
) -> tuple[Path, Path]:
    """Judge and draw a finding; return the paths of its result, with `facts`, and its picture."""
    contrasts = contrasts_of(page, finding, measured)
    made = result_of(page, finding, scale, measured, contrasts)
    path = write_result(folder, {**made, **facts})
    if finding.picture is None:
        figure = forest(contrasts, finding.text)
    else:
        looked_at = [measured[name] for name in finding.parts]
        figure = call(page.path, f"the picture of {finding.key}", finding.picture, *looked_at)
    picture = folder / f"{finding.key}-{scale}.png"
    save(figure, picture)
    return path, picture


def _recorded(folder: Path, page: Page, key: str, scale: str) -> dict[str, Any]:
    path = folder / f"{key}-{scale}.json"
    if not path.is_file():
        raise StudyError(
            f"{path}: must be the result of {key} to be judged again, and there is none; run "
            f"`normsearch reproduce {key} --scale {scale}`."
        )
    result = read_result(path)
    if result["sha256"] != page.sha256:
        raise StudyError(
            f"{path}: was registered as {result['sha256'][:12]}, and {page.path} is now "
            f"{page.sha256[:12]}; run `normsearch reproduce {key} --scale {scale}`, which trains "
            "what has changed."
        )
    return result
