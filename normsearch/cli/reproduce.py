"""`normsearch reproduce`: run the registered experiment of a published statement, and judge it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from normsearch.cli.options import RUNS, Data, Execution, Json, RunsDir
from normsearch.cli.terminal import show

if TYPE_CHECKING:
    from normsearch.study import Study


def reproduce(
    *,
    finding: Annotated[str, typer.Argument(help="S1, I3, ... (normsearch list findings), or all.")],
    scale: Annotated[
        str, typer.Option(help="toy (two cores, minutes), small (hours) or paper (a GPU).")
    ] = "toy",
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder of results (default: analysis/results if it exists, else results)."
        ),
    ] = None,
    data: Data = None,
    runs_dir: RunsDir = RUNS,
    execution: Execution,
    as_json: Json = False,
) -> None:
    """Run the trainings for a published statement and judge it: reproduced, contradicted, neither.

    The trainings are registered in studies/findings. Findings of one experiment share their runs.
    The same command resumes them after an interruption.

    Example: normsearch reproduce S1 --scale toy --local
    """
    from normsearch.analysis.recorded_results import default_folder, read_result
    from normsearch.cli.running import training
    from normsearch.findings.experiments import Experiments
    from normsearch.findings.registration import all_statements, find_experiment
    from normsearch.findings.results import judge, provenance, write_result
    from normsearch.search.preparation import versions

    def train(study: Study) -> None:
        command = f"normsearch reproduce {finding} --scale {scale}"
        with training(study, execution, command=command) as how:
            study.run(resume=True, **how)

    every = finding.lower() == "all"
    names = list(all_statements()) if every else [finding.upper()]
    folder = output or default_folder()
    results = []
    for name in names:
        experiment, _ = find_experiment(name, scale)
        lab = Experiments(experiment, scale, data, runs_dir, train)
        measured = lab.run(experiment.parts_of(name))
        result = {**judge(experiment, name, scale, measured), **provenance(lab.records, versions())}
        path = write_result(folder, result)
        results.append(read_result(path))
        if not as_json:
            _show(results[-1], path)
    if as_json:
        print(json.dumps(results if every else results[0]))


def _show(result: Mapping[str, Any], path: Path) -> None:
    from normsearch.analysis.recorded_results import estimate_of

    show(f"{result['finding']}: {result['text']}")
    show(result["told"])
    show(f"Published: {result['paper']}")
    show(f"Ours: {result['quantity']} {estimate_of(result)} ({result['interval']}); "
               f"{result['trainings']} trainings, {result['seeds']} seeds")  # fmt: skip
    for flag in result["flags"]:
        show(f"Note: {flag}")
    show(f"Written to {path}\n")
