"""`normsearch reproduce`: run the registered study of a published statement, and judge it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from normsearch.cli.options import RUNS, Address, Data, Json, Local, RunsDir, Workers
from normsearch.cli.terminal import show
from normsearch.errors import StudyError
from normsearch.files import is_file

if TYPE_CHECKING:
    from normsearch.cli.launch import How
    from normsearch.findings.experiment_plan import Planned
    from normsearch.findings.measurements import Measured
    from normsearch.findings.registration import Experiment


def reproduce(
    finding: Annotated[str, typer.Argument(help="S1, I3, ... (normsearch list findings), or all.")],
    scale: Annotated[
        str, typer.Option(help="toy (two cores, minutes), small (hours) or paper (a GPU).")
    ] = "toy",
    output: Annotated[
        Path | None,
        typer.Option(help="Folder of results (default: analysis/results if there, else results)."),
    ] = None,
    data: Data = None,
    runs_dir: RunsDir = RUNS,
    workers: Workers = None,
    local: Local = False,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Train what a published statement needs and judge it: reproduced, contradicted, or neither.

    What is trained is registered in studies/findings. The runs are ordinary ones, shared by the
    findings of one experiment; called again after any end, it goes on where it was.
    """
    from normsearch.cli.launch import How, versions
    from normsearch.findings.registration import all_statements, find_experiment
    from normsearch.findings.results import (
        default_folder,
        judge,
        provenance,
        read_result,
        write_result,
    )

    every = finding.lower() == "all"
    names = list(all_statements()) if every else [finding.upper()]
    how, folder = How(address, workers, local, as_json, None), output or default_folder()
    results = []
    for name in names:
        experiment, _ = find_experiment(name, scale)
        command = f"normsearch reproduce {finding} --scale {scale}"
        lab = _Lab(experiment, scale, data, runs_dir, how, command)
        measured = lab.run(experiment.parts_of(name))
        result = {**judge(experiment, name, scale, measured), **provenance(lab.records, versions())}
        path = write_result(folder, result)
        results.append(read_result(path))
        if not as_json:
            _show(results[-1], path)
    if as_json:
        print(json.dumps(results if every else results[0]))


def _show(result: Mapping[str, Any], path: Path) -> None:
    from normsearch.findings.results import estimate_of

    show(f"{result['finding']}: {result['text']}")
    show(result["told"])
    show(f"Published: {result['paper']}")
    show(f"Ours: {result['quantity']} {estimate_of(result)} ({result['interval']}); "
               f"{result['trainings']} trainings, {result['seeds']} seeds")  # fmt: skip
    for flag in result["flags"]:
        show(f"Note: {flag}")
    show(f"Written to {path}\n")


class _Lab:
    """Runs the parts of an experiment one after another; what is finished is not run again."""

    def __init__(
        self,
        experiment: Experiment,
        scale: str,
        data: Path | None,
        runs_dir: Path,
        how: How,
        command: str,
    ) -> None:
        self.experiment, self.scale = experiment, scale
        self._data, self._runs, self._how, self._command = data, runs_dir, how, command
        self.records: list[Any] = []
        self._of_part: dict[str, list[Any]] = {}

    def run(self, parts: Iterable[str]) -> dict[str, Measured]:
        """Run `parts` in order and return what they measured."""
        from normsearch.findings.arm_selection import taken_arms
        from normsearch.findings.experiment_plan import plan_part
        from normsearch.findings.measurements import measure, replayed

        measured: dict[str, Measured] = {}
        for name in parts:
            part = self.experiment.studies[name]
            if part.replay is not None:
                from normsearch.findings.searching import replayed_part

                measured[name] = replayed(replayed_part(part.replay, self._data))
                continue
            found = {
                label: taken_arms(take, self._of_part[take["part"]], measured[take["part"]])
                for label, take in part.found.items()
            }
            plans = plan_part(self.experiment, name, self.scale, measured, found)
            self._of_part[name] = [self._finished(plan) for plan in plans]
            self.records += self._of_part[name]
            measured[name] = measure(
                (record, plan.factors, plan.fold)
                for record, plan in zip(self._of_part[name], plans, strict=True)
            )
        return measured

    def _finished(self, plan: Planned) -> Any:
        """Run a study to its end, unless it is there, and return its record."""
        from normsearch.cli.launch import resumable
        from normsearch.storage.records import StudyRecord

        folder = self._runs / plan.study["name"]
        if not _is_finished(folder):
            with resumable(folder.name, self._command):
                stopped = self._train(folder, plan)
            if stopped:
                raise StudyError(
                    f"{folder.name}: must be finished to be judged, and was stopped; nothing is "
                    f"lost, go on with `{self._command}`."
                )
        return StudyRecord(folder)

    def _train(self, folder: Path, plan: Planned) -> bool:
        """Begin a run or go on with it; return whether it was stopped before its end."""
        from normsearch.cli.launch import check, train_all
        from normsearch.config import StudyConfig
        from normsearch.config.reading import read_recorded_study, read_space, validate
        from normsearch.storage.run_folder import create_run, write_local

        origin = f"studies/findings/{self.experiment.name}.yaml: {plan.study['name']}"
        there = is_file(folder / "study.yaml")
        if there:
            config = read_recorded_study(folder)
        else:
            raw = {**plan.study, "space": read_space(plan.study["space"])}
            config = validate(StudyConfig, raw, origin)
        door = check(config, f"{origin}: space.", self._data, origin)
        facts = {"data": str(door.data) if door.data else None, "storage": None}
        if there:
            write_local(folder, facts)
        else:
            try:
                create_run(folder, door.config, facts)
            except StudyError:
                if not is_file(folder / "study.yaml"):
                    raise  # else another driver made it just now; go on beside it
        coordinator = train_all(folder, door, self._how)
        return coordinator.stopping and not coordinator.done


def _is_finished(folder: Path) -> bool:
    from normsearch.storage.records import StudyRecord

    if not is_file(folder / "study.yaml") or not is_file(folder / "journal.log"):
        return False
    record = StudyRecord(folder, skim=True)
    states = record.trials()["state"]
    asked = int(record.config["search"]["trials"])
    return int(states.isin(("COMPLETE", "PRUNED", "FAIL")).sum()) >= asked
