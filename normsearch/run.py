"""A run: what it has found so far, as figures, pages, tables and models."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from normsearch.config import ArmsConfig, StudyConfig
from normsearch.config.reading import read_recorded_study
from normsearch.errors import NormsearchError, StudyError
from normsearch.search.outcome import best_of, export_trial
from normsearch.storage.records import StudyRecord
from normsearch.storage.run_folder import find_run, read_local
from normsearch.storage.trial_states import finished

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from normsearch.confirmation.comparison import Confirmation


class Run:
    """What a study's run has found; `Study` is one that can also be run."""

    def _set(
        self,
        config: StudyConfig,
        origin: str,
        data: Any,
        runs_dir: str | Path | None,
        storage: str | None,
    ) -> None:
        self.config, self._origin, self._data, self.storage = config, origin, data, storage
        self.runs_dir = Path(runs_dir or os.environ.get("NORMSEARCH_RUNS", "runs"))
        self._folder: Path | None = None
        self._began_as = config.name  # what messages call a study that has no folder yet
        self.stopped = self.exhausted = False
        self.trusted, self.accept_changed_network = True, False

    @classmethod
    def of(
        cls,
        config: StudyConfig,
        origin: str = "",
        *,
        data: Any = None,
        runs_dir: str | Path | None = None,
        storage: str | None = None,
    ) -> Self:
        """Return the study of a whole configuration; `origin` stands before keys of its space."""
        study = cls.__new__(cls)
        study._set(config, origin, data, runs_dir, storage)
        return study

    @classmethod
    def open(
        cls,
        path_or_name: str | Path,
        *,
        data: str | Path | Sequence[Any] | None = None,
        runs_dir: str | Path | None = None,
        storage: str | None = None,
        trust_code: bool = False,
        accept_changed_network: bool = False,
    ) -> Self:
        """Return the study of a run that exists, by its name or its folder.

        Args:
            path_or_name: a name below `runs_dir`, or the run's folder.
            data, runs_dir, storage: as of `Study`; where the run began if None.
            trust_code: run also code outside of normsearch that the run names and that does not
                lie in sight.
            accept_changed_network: the network's code was changed on purpose since the run began.

        Raises:
            StudyError: there is no such run.
        """
        runs = Path(runs_dir or os.environ.get("NORMSEARCH_RUNS", "runs"))
        folder = find_run(str(path_or_name), runs)
        facts = read_local(folder)
        origin = f"{folder / 'study.yaml'}: space."
        study = cls.of(
            read_recorded_study(folder),
            origin,
            data=facts.get("data") if data is None else data,
            runs_dir=folder.parent,
            storage=storage or facts.get("storage"),
        )
        study._folder = folder
        study.trusted, study.accept_changed_network = trust_code, accept_changed_network
        return study

    @property
    def name(self) -> str:
        """The name of the study and of its run."""
        return self.config.name

    @property
    def folder(self) -> Path:
        """Where the run is, or will be."""
        return self._folder or self.runs_dir / self.name

    @property
    def begun(self) -> bool:
        """Whether there is a run."""
        return (self.folder / "study.yaml").is_file()

    @property
    def has_arms(self) -> bool:
        """Whether it is a study of fixed trainings, such as a confirmation, and no search."""
        return isinstance(self.config.space, ArmsConfig)

    @property
    def record(self) -> StudyRecord:
        """What the run has found so far; see `StudyRecord`.

        Raises:
            StudyError: there is no run, or it has not begun.
        """
        self._check_begun()
        return StudyRecord(self.folder, self.storage)

    @property
    def best(self) -> dict[str, Any] | None:
        """The best COMPLETE trial and each single norm at its best; see `best_of`."""
        return best_of(self.record)

    def trials(self) -> pd.DataFrame:
        """Return one row a trial; see `StudyRecord.trials`."""
        return self.record.trials()

    def norm_map(self, trial: int | None = None) -> dict[str, str]:
        """Return the norm of every slot, of the best trial if none is named."""
        record = self.record
        return record.norm_map(self._trial_or_best(record, trial))

    def plot(self, kind: str) -> Figure:
        """Return a figure of the run; `normsearch.analysis.FIGURES` are the kinds there are.

        Raises:
            StudyError: the kind is unknown, or the run's data do not allow this figure.
        """
        from normsearch import analysis

        return analysis.render(kind, self.record)

    def report(self, output: str | Path | None = None) -> Path:
        """Write a page with figures, tables and the record of the run; return its path."""
        from normsearch.analysis.report import write_report

        record = self.record
        if self.has_arms and record.ranked():
            self.comparison()  # the page shows it as it stands, also of a run under way
        return write_report(record, None if output is None else Path(output))

    def export(self, folder: str | Path, trial: int | None = None) -> tuple[int, list[Path], str]:
        """Write a trained trial as a folder of its own, of the best trial if none is named.

        Returns:
            The trial's number, the files, and why there is no program.pt2 (or an empty text).

        Raises:
            StudyError: no trial is completed, or the folder holds something.
        """
        record = self.record
        number = self._trial_or_best(record, trial)
        return number, *export_trial(
            record,
            number,
            Path(folder),
            trusted=self.trusted,
            accept_changed=self.accept_changed_network,
        )

    def comparison(self) -> Confirmation:
        """Return how the arms of a confirmation (or of a study of arms) compare, and write it.

        Raises:
            StudyError: the study is a search, or no arm is trained yet.
        """
        from normsearch.confirmation.export import write_confirmation

        return write_confirmation(self.record)

    @property
    def finished(self) -> bool:
        """Whether as many trials as asked for are finished."""
        if not self.begun:
            return False
        try:
            record = StudyRecord(self.folder, self.storage, skim=True)
        except StudyError:  # killed before its first trial
            return False
        asked: int = record.config["search"]["trials"]
        return finished(record.trials()["state"]) >= asked

    def __repr__(self) -> str:
        if not self.begun:
            return f"<Study {self.name}: not begun, {self.config.search.trials} trials asked for>"
        try:
            record = self.record
        except NormsearchError as error:  # killed before its first trial, or damaged
            return f"<Study {self.name}: {error}>"
        found = best_of(record)
        best = f", best {record.metric} {found['score']:.3f}" if found else ""
        counts = ", ".join(f"{n} {s}" for s, n in record.trials()["state"].value_counts().items())
        return f"<Study {self.name}: {counts or 'no trials yet'}{best}>"

    def _repr_html_(self) -> str:
        from html import escape

        head = f"<p>{escape(repr(self).strip('<>'))}</p>"
        try:
            found = self.best
        except NormsearchError:
            found = None
        if found is None:
            return head
        rows = "".join(
            f"<tr><td>{escape(slot)}</td><td>{escape(norm)}</td></tr>"
            for slot, norm in found["norm_map"].items()
        )
        return f"{head}<table><tr><th>slot</th><th>norm</th></tr>{rows}</table>"

    def _check_begun(self) -> None:
        if not self.begun:
            raise StudyError(f"{self.folder}: must hold a run, and does not; begin it with run().")

    def _trial_or_best(self, record: StudyRecord, trial: int | None) -> int:
        number = record.best if trial is None else trial
        if number is None:
            raise StudyError(
                f"{self.name}: must have a COMPLETE trial, and has none yet; see `normsearch "
                f"status {self.name}`, resume it with `normsearch resume {self.name}`."
            )
        record.norm_map(number)  # refuses a number that is no trial's
        return number
