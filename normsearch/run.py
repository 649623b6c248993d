"""The results of a run: tables, figures, reports and exported models."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from normsearch.config import ArmsConfig, StudyConfig
from normsearch.config.reading import read_recorded_study
from normsearch.errors import NormsearchError, StudyError
from normsearch.search.outcome import best_of, export_trial, none_eligible
from normsearch.storage.records import StudyRecord
from normsearch.storage.run_folder import find_run, read_local

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from normsearch.confirmation.comparison import Confirmation


class Run:
    """The results of a study's run; base of `Study`."""

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
        self._began_as = config.name  # its name in messages while there is no folder
        self.stopped = self.exhausted = False
        self.notes: tuple[str, ...] = ()  # on the plan of a confirmation that has not begun
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
        """Return a study; `origin` is the prefix of its space's keys in messages."""
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
        """Open an existing run.

        Args:
            path_or_name: the name of a run in `runs_dir`, or a run's folder.
            data, runs_dir, storage: see `Study`; those of the run's start if None.
            trust_code: whether to run all code that the run names; without it, only code of
                normsearch and of the user's own folders, see docs/security.md.
            accept_changed_network: whether to accept that the network's code has changed since the
                run started.

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
        """Name of the study and of its run."""
        return self.config.name

    @property
    def folder(self) -> Path:
        """The run's folder, which is created when the run starts."""
        return self._folder or self.runs_dir / self.name

    @property
    def begun(self) -> bool:
        """Whether the run exists."""
        return (self.folder / "study.yaml").is_file()

    @property
    def has_arms(self) -> bool:
        """Whether this is a study of fixed trainings, such as a confirmation, and not a search."""
        return isinstance(self.config.space, ArmsConfig)

    @property
    def in_looks(self) -> bool:
        """Whether this is a study of fixed trainings with design looks."""
        return self.config.in_looks

    @property
    def record(self) -> StudyRecord:
        """The record of the run; see `StudyRecord`.

        Raises:
            StudyError: there is no run, or it has no trial yet.
        """
        self._check_begun()
        return StudyRecord(self.folder, self.storage)

    @property
    def best(self) -> dict[str, Any] | None:
        """The best COMPLETE trial and each single norm at its best; see `best_of`."""
        return best_of(self.record)

    def trials(self) -> pd.DataFrame:
        """Return a table with a row for each trial; see `StudyRecord.trials`."""
        return self.record.trials()

    def norm_map(self, trial: int | None = None) -> dict[str, str]:
        """Return the norm of every slot in a trial, by default the best one."""
        record = self.record
        return record.norm_map(self._trial_or_best(record, trial))

    def plot(self, kind: str) -> Figure:
        """Return a figure of the run, of a kind in `normsearch.analysis.FIGURES`.

        Raises:
            StudyError: the kind is unknown, or the run has no data for this figure.
        """
        from normsearch import analysis

        return analysis.render(kind, self.record)

    def report(self, output: str | Path | None = None) -> Path:
        """Write an HTML page with figures, tables and the record of the run; return its path."""
        from normsearch.analysis.report import write_report

        record = self.record
        if self.has_arms and record.ranked():
            self.comparison()  # the page shows it, also before the run is finished
        return write_report(record, None if output is None else Path(output))

    def export(self, folder: str | Path, trial: int | None = None) -> tuple[int, list[Path], str]:
        """Export a trained trial, by default the best one, to a folder.

        Returns:
            The trial's number, the files, and why there is no program.pt2 (empty if there is one).

        Raises:
            StudyError: no trial is complete, or the folder is not empty.
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
        """Compare the arms of a confirmation or study of arms; also write the result to the folder.

        Raises:
            StudyError: the study is a search, or no arm is trained yet.
        """
        from normsearch.confirmation.export import write_confirmation

        return write_confirmation(self.record)

    @property
    def finished(self) -> bool:
        """Whether as many trials as asked for are finished; in looks, all that are needed."""
        if not self.begun:
            return False
        try:
            record = StudyRecord(self.folder, self.storage, skim=True)
        except StudyError:  # killed before its first trial
            return False
        if self.in_looks:
            from normsearch.confirmation.look_course import course_of

            return course_of(record, self.config).finished
        return record.ended

    def __repr__(self) -> str:
        if not self.begun:
            asked = self.config.search.trials
            most = "" if asked is None else f", {asked} trials asked for"
            return f"<Study {self.name}: not begun{most}>"
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
            raise StudyError(f"{self.folder}: must hold a run, and does not; start it with run().")

    def _trial_or_best(self, record: StudyRecord, trial: int | None) -> int:
        number = record.best if trial is None else trial
        if number is None:
            raise no_best_trial(record)
        record.norm_map(number)  # refuses a number that is no trial's
        return number


def no_best_trial(record: StudyRecord) -> StudyError:
    """Return the error of a run without a COMPLETE trial, or of which none keeps constraints."""
    name = record.name
    if told := none_eligible(record):
        return StudyError(f"{name}: {told}; choose a trial by its number.")
    return StudyError(
        f"{name}: must have a COMPLETE trial, and has none yet; see `normsearch status {name}`, or "
        f"resume it with `normsearch resume {name}`."
    )
