"""Runs the studies of an experiment through the front door, one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from normsearch.config import StudyConfig
from normsearch.config.reading import read_space, validate
from normsearch.errors import StudyError
from normsearch.findings.arm_selection import taken_arms
from normsearch.findings.experiment_plan import Planned, plan_part
from normsearch.findings.measurements import Measured, measure, replayed
from normsearch.findings.registration import Experiment
from normsearch.findings.searching import replayed_part
from normsearch.study import Study, open_study


class Experiments:
    """Runs the parts of an experiment one after another; what is finished is not run again."""

    def __init__(
        self,
        experiment: Experiment,
        scale: str,
        data: Path | None,
        runs_dir: Path,
        run: Callable[[Study], None],
    ) -> None:
        self.experiment, self.scale = experiment, scale
        self._data, self._runs, self._run = data, runs_dir, run
        self.records: list[Any] = []
        self._of_part: dict[str, list[Any]] = {}

    def run(self, parts: Iterable[str]) -> dict[str, Measured]:
        """Run `parts` in order and return what they measured."""
        measured: dict[str, Measured] = {}
        for name in parts:
            part = self.experiment.studies[name]
            if part.replay is not None:
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
        study = self._study(plan)
        if not study.finished:
            self._run(study)
            if study.stopped:
                raise StudyError(
                    f"{study.name}: must be finished to be judged, and was stopped; nothing is "
                    "lost, call this again to resume it."
                )
        return study.record

    def _study(self, plan: Planned) -> Study:
        folder = self._runs / plan.study["name"]
        if (folder / "study.yaml").is_file():
            return open_study(folder, data=self._data)
        origin = f"studies/findings/{self.experiment.name}.yaml: {plan.study['name']}"
        raw = {**plan.study, "space": read_space(plan.study["space"])}
        config = validate(StudyConfig, raw, origin)
        return Study.of(config, f"{origin}: space.", data=self._data, runs_dir=self._runs)
