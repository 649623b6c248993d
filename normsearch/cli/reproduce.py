"""`normsearch reproduce`: run the registered experiment of a published statement, and judge it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from normsearch.cli.options import RUNS, Data, Execution, Json, RunsDir, known_findings
from normsearch.cli.terminal import show

if TYPE_CHECKING:
    from normsearch.study import Study


def reproduce(
    *,
    finding: Annotated[
        str,
        typer.Argument(
            help="P1, I3, ... (normsearch list findings), all, or a Python file.",
            autocompletion=known_findings,
        ),
    ],
    scale: Annotated[
        str, typer.Option(help="toy (two cores, minutes), small (hours) or paper (a GPU).")
    ] = "toy",
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder of results (default: analysis/results if it exists, else results)."
        ),
    ] = None,
    judge_again: Annotated[
        bool, typer.Option("--judge-again", help="Judge a result's tables again; train nothing.")
    ] = False,
    data: Data = None,
    runs_dir: RunsDir = RUNS,
    execution: Execution,
    as_json: Json = False,
) -> None:
    """Train what a published statement needs and judge it.

    The verdict is reproduced, contradicted, equivalent or not distinguishable. What is trained and
    how it is judged is registered in studies/findings, a Python file an experiment; a file of your
    own works too. Findings of one experiment share their runs, which are ordinary ones; the same
    command resumes them after an interruption.

    Example: normsearch reproduce P1 --scale toy --local
    """
    from normsearch.analysis.recorded_results import default_folder, read_result
    from normsearch.cli.running import training
    from normsearch.findings.page import all_findings, check_scale, find_page
    from normsearch.findings.reproduction import judge_again as again
    from normsearch.findings.reproduction import reproduce as run

    def train(study: Study) -> None:
        given = [finding, "--scale", scale]
        for option, value in (("--output", output), ("--data", data)):
            given += [option, str(value)] if value is not None else []
        if runs_dir != Path("runs"):
            given += ["--runs-dir", str(runs_dir)]
        given += ["--local"] if execution.local else []
        command = "normsearch reproduce " + shlex.join(given)
        with training(study, execution, command=command) as how:
            study.run(resume=True, **how)

    check_scale(scale)
    if finding.lower() == "all":
        wanted = [(page, key) for key, (page, _) in all_findings().items()]
    else:
        page, keys = find_page(finding)
        wanted = [(page, key) for key in keys]
    folder = output or default_folder()
    results = []
    for page, key in wanted:
        if judge_again:
            path, picture = again(page, key, scale, folder)
        else:
            path, picture = run(page, key, scale, folder, data=data, runs_dir=runs_dir, train=train)
        results.append(read_result(path))
        if not as_json:
            _show(results[-1], path, picture)
    if as_json:
        print(json.dumps(results if len(wanted) > 1 else results[0]))


def _show(result: Mapping[str, Any], path: Path, picture: Path) -> None:
    from normsearch.analysis.recorded_results import estimate_of

    show(f"{result['finding']}: {result['text']}")
    show(result["told"])
    show(f"Published: {result['paper']}")
    for one in result["contrasts"]:
        show(f"  {one['name']}: {estimate_of(one)}  {one['outcome']}")
    counted = "measured"
    if result["trainings"]:
        seeds = result["seeds"]
        counted = f"{result['trainings']} trainings, {seeds} seed{'s' if seeds != 1 else ''}"
    show(f"Intervals: {result['interval']}; {counted}")
    for flag in result["flags"]:
        show(f"Note: {flag}")
    if result["advice"]:
        show(f"What it means: {result['advice']}")
    show(f"Written to {path}, drawn in {picture}\n")
