"""Runs the parts of a page through the front door, one after another."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from normsearch.config import StudyConfig
from normsearch.config.reading import read_space, validate
from normsearch.errors import ConfigError, StudyError
from normsearch.findings.marks import needs
from normsearch.findings.measured import Measured, measure
from normsearch.findings.measurement import Measurement, check_idle
from normsearch.findings.page import Page
from normsearch.findings.trainings import Search, Trainings
from normsearch.findings.user_code import call
from normsearch.study import Study, open_study


class Experiment:
    """Runs the parts of a page at one scale; what is finished is not run again.

    Args:
        page: the experiment.
        scale: toy, small or paper.
        data: the folder of the data sets; the usual places if None.
        runs_dir: where runs are kept; measurements are kept there as well.
        train: runs a study to its end, or until it is stopped.
    """

    def __init__(
        self,
        page: Page,
        scale: str,
        data: Path | None,
        runs_dir: Path,
        train: Callable[[Study], None],
    ) -> None:
        self.page, self.scale = page, scale
        self._data, self._runs, self._train = data, runs_dir, train
        self.records: list[Any] = []

    def run(self, parts: Iterable[str]) -> dict[str, Measured]:
        """Run `parts` in order and return what they measured.

        Raises:
            StudyError: a run was stopped before its end; the same call resumes it.
            ConfigError: a part returns something else than `Trainings`, a list of them, a
                `Search` or a `Measurement`.
        """
        measured: dict[str, Measured] = {}
        for name in parts:
            function = self.page.parts[name]
            earlier = {need: measured[need] for need in needs(function)}
            made = call(self.page.path, f"part {name}", function, self.scale, **earlier)
            if isinstance(made, Measurement):
                measured[name] = self._taken(name, made)
            elif isinstance(made, Search):
                measured[name] = self._best(name, made)
            else:
                measured[name] = self._trained(name, made)
        return measured

    def _taken(self, name: str, made: Measurement) -> Measured:
        """Measure, unless the outcome for this registration is there."""
        stem = f"finding-{self.page.name}-{self.scale}-{name}-{self.page.sha256[:8]}"
        path = self._runs / f"{stem}.json.gz"
        if not path.is_file():
            self._runs.mkdir(parents=True, exist_ok=True)
            if made.idle:
                check_idle()
            values = call(self.page.path, f"part {name}", made.take, self._data)
            if not isinstance(values, pd.DataFrame) or not len(values):
                raise ConfigError(
                    f"{self.page.path}: part {name}: a measurement must return a table with rows, "
                    f"got {values!r:.100}."
                )
            Measured(values=values).write(path)
        return Measured.read(path)

    def _trained(self, name: str, made: Any) -> Measured:
        several = made if isinstance(made, list | tuple) else [made]
        parts = [one for one in several if isinstance(one, Trainings)]
        if not parts or len(parts) < len(several):
            raise ConfigError(
                f"{self.page.path}: part {name}: must return Trainings, a list of them, a Search "
                f"or a Measurement, got {made!r:.100}."
            )
        records = [self._finished(name, one) for one in parts]
        self.records += records
        return measure((record, one.factors()) for record, one in zip(records, parts, strict=True))

    def _best(self, name: str, made: Search) -> Measured:
        record = self._finished(name, made)
        self.records.append(record)
        number = record.best
        values = {
            key: value
            for key, value in record.values(number).items()
            if key in ("learning_rate", "batch_size")
        }
        score = record.trials().set_index("number")["score"][number]
        norm = json.dumps(record.norm_map(number))
        return Measured(values=pd.DataFrame([{"norm": norm, **values, "score": score}]))

    def _finished(self, name: str, made: Trainings | Search) -> Any:
        """Run a study to its end, unless it is there, and return its record."""
        study = self._study(name, made)
        if not study.finished:
            self._train(study)
            if study.stopped:
                raise StudyError(
                    f"{study.name}: must be finished to be judged, and was stopped; nothing is "
                    "lost, the same command resumes it."
                )
        return study.record

    def _study(self, name: str, made: Trainings | Search) -> Study:
        raw = made.study(f"finding-{self.page.name}-{self.scale}-{name}")
        folder = self._runs / raw["name"]
        if (folder / "study.yaml").is_file():
            return open_study(folder, data=self._data)
        origin = f"{self.page.path}: part {name}"
        config = validate(StudyConfig, {**raw, "space": read_space(raw["space"])}, origin)
        return Study.of(config, f"{origin}: space.", data=self._data, runs_dir=self._runs)
