"""`Study`: load, run, resume and confirm a study; the command line calls the same methods."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from normsearch.config.arguments import checked
from normsearch.config.reading import Part, amend_search, read_recorded_study, read_study, study_of
from normsearch.confirmation.execution import ExecutorName, execute, scheduled
from normsearch.confirmation.plan import plan_confirmation, resumed
from normsearch.confirmation.plan_arms import Design
from normsearch.errors import ConfigError, StudyError
from normsearch.networks.importing import named
from normsearch.run import Run
from normsearch.search.callbacks import check_callbacks, listener_of
from normsearch.search.checks import (
    check_reachable,
    check_storage,
    discard_unbegun,
    with_initial_trials,
)
from normsearch.search.coordinator import Coordinator
from normsearch.search.jobs import Callback, Event
from normsearch.search.outcome import nothing_completed
from normsearch.search.preparation import PreparedStudy, prepare
from normsearch.storage.run_folder import create_run, refuse_existing, write_local, write_study
from normsearch.trials.measured_task import with_recorded
from normsearch.trials.sample_augmentation import write_pictures
from normsearch.trials.task import data_source, task_folds, task_keys
from normsearch.trials.trial_time import with_recorded_precision


class Study(Run):
    """A study and its run.

    Args:
        name: name of the study and of its run's folder: letters, digits, ``.``, ``_`` and ``-``.
        task: keys of a study file's task, or only the data set (its folder, or ``phantom``).
        network: keys of a study file's network, a network's name, or a class or function that
            builds one from ``in_channels`` and ``out_channels``.
        trainer: your own training loop, a function or ``module:function``; see `Trial`. `task` and
            `network` may then be left out.
        training: keys of a study file's training.
        space: keys of a space file, or the name of one.
        search: keys of a study file's search.
        data: the folder that holds the data sets; or the data set itself, as a sequence of pairs
            (image, label) of files, volumes or arrays, or of cases; see
            `normsearch.data.in_memory.cases_of`.
        runs_dir: the folder of all runs; NORMSEARCH_RUNS or ``runs`` if None.
        storage: Optuna storage URL instead of the run's journal file.

    Raises:
        ConfigError: a key or value is invalid.
    """

    def __init__(
        self,
        name: str = "study",
        *,
        task: Part = None,
        network: Part | Callable[..., Any] = None,
        trainer: str | Callable[..., Any] | None = None,
        training: Part = None,
        space: Part = "per_layer",
        search: Part = None,
        data: str | Path | Sequence[Any] | None = None,
        runs_dir: str | Path | None = None,
        storage: str | None = None,
    ) -> None:
        parts = {"task": task_keys(task, data), "network": named(network), "training": training}
        config = study_of(name, named(trainer, "trainer"), **parts, space=space, search=search)
        self._set(config, f"Study({name!r}): space.", data, runs_dir, storage)

    @classmethod
    def load(
        cls,
        study: str | Path,
        overrides: Iterable[str] = (),
        *,
        data: str | Path | Sequence[Any] | None = None,
        runs_dir: str | Path | None = None,
        storage: str | None = None,
    ) -> Self:
        """Load a study from a YAML file.

        Args:
            study: the file, or the name of a study that is included in normsearch.
            overrides: texts such as ``search.trials=20``.
            data, runs_dir, storage: see `Study`.

        Raises:
            ConfigError: there is no such file, or a key or value is invalid.
        """
        config, origin = read_study(str(study), overrides)
        return cls.of(config, origin, data=data, runs_dir=runs_dir, storage=storage)

    def prepare(self) -> PreparedStudy:
        """Make all checks of a new run, write nothing; raise the error of the first that fails."""
        prepared = self._prepare()
        known = with_initial_trials(prepared.config.search, prepared.space, self.runs_dir)
        check_callbacks(known.callbacks)
        return replace(prepared, config=prepared.config.model_copy(update={"search": known}))

    def _prepare(self) -> PreparedStudy:
        """Make the checks that a resumed run needs too."""
        folder, items = data_source(self._data)
        where = str(self.folder) if self.begun else self._began_as
        return prepare(
            self.config, self._origin, folder, where, items=items,
            trusted=self.trusted, accept_changed=self.accept_changed_network,
        )  # fmt: skip

    @checked
    def run(
        self,
        *,
        workers: int | None = None,
        executor: ExecutorName = "ray",
        address: str | None = None,
        resume: bool = False,
        callbacks: Sequence[Callback] = (),
    ) -> Self:
        """Train until `search.trials` trials are finished, or another limit of `search` is reached.

        Args:
            workers: number of trials at once; as many as fit if None.
            executor: ``ray``, or ``local`` for one trial after another in this process.
            address: a running Ray cluster to join; a local one is started if None.
            resume: whether to resume the run of this name if it exists; it must have the same data,
                network, training and space.
            callbacks: functions that are called with each `Event`.

        Raises:
            StudyError: a run of this name exists, or no trial was completed.
            NormsearchError: a check of the study fails.
            KeyboardInterrupt: after Ctrl-C; the run can be resumed.
        """
        how: dict[str, Any] = {
            "workers": workers, "executor": executor, "address": address, "callbacks": callbacks
        }  # fmt: skip
        if resume and self.begun:
            self._read_facts()
            return self.resume(**how)
        refuse_existing(self.folder)
        prepared = self.prepare()
        config = prepared.config
        check_reachable(config, self.storage)
        try:
            local = self._local_facts(prepared)
            create_run(self.folder, config, local, prepared.folds_table)
        except StudyError:
            if resume and self.begun:  # another driver has just created it: join it
                return self.run(**how, resume=True)
            raise
        try:
            self._train(prepared, **how)
        except (StudyError, ConfigError):  # such as a cluster that does not answer, or a logger
            discard_unbegun(config, self.folder, self.storage)
            raise
        return self

    @checked
    def resume(
        self,
        *,
        trials: int | None = None,
        overrides: Iterable[str] = (),
        workers: int | None = None,
        executor: ExecutorName = "ray",
        address: str | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> Self:
        """Resume the run: finish interrupted trials first, from their checkpoints.

        A finished run is checked, and nothing is trained.

        Args:
            trials: the new total number of trials; unchanged if None.
            overrides: texts such as ``search.workers=4``, for the rest of the run.
            workers, executor, address, callbacks: see `run`.

        Raises:
            StudyError: there is no such run, or no trial was completed.
            NormsearchError: data, network or space differ from those of the run's start.
            KeyboardInterrupt: after Ctrl-C.
        """
        self._check_begun()
        given = [f"search.trials={trials}"] if trials is not None else []
        given += overrides
        self.config = amend_search(self.config, given)
        over = self.finished and self.config.search == read_recorded_study(self.folder).search
        prepared = self._prepare()
        changed = self.accept_changed_network
        check_storage(prepared.config, self.folder, self.storage, accept_changed=changed)
        if over:
            if "COMPLETE" not in set(self.record.trials()["state"]):
                raise nothing_completed(self.record)
            return self
        write_study(self.folder, prepared.config)
        write_local(self.folder, self._local_facts(prepared))
        self._train(
            prepared, workers=workers, executor=executor, address=address, callbacks=callbacks
        )
        return self

    def _read_facts(self) -> None:
        """Read the facts that the run of this name recorded at its start.

        The study's own values are kept, so that a run of another study is refused.
        """
        recorded = read_recorded_study(self.folder)
        names = ("fingerprint", "sample_shape", "geometry", "versions", "network_digest")
        facts: dict[str, Any] = {name: getattr(recorded, name) for name in names}
        facts["task"] = with_recorded(self.config.task, recorded.task)
        facts["training"] = with_recorded_precision(self.config.training, recorded.training)
        facts["search"] = self.config.search.model_copy(update={"points": recorded.search.points})
        self.config = self.config.model_copy(update=facts)

    def _train(
        self,
        prepared: PreparedStudy,
        *,
        workers: int | None,
        executor: ExecutorName,
        address: str | None,
        callbacks: Sequence[Callback],
    ) -> None:
        config, self.config = prepared.config, prepared.config
        write_pictures(self.folder, config, prepared.split.train)
        tell = listener_of(callbacks, config.search.callbacks, self.folder, self.name)
        space = scheduled(prepared.space, config, self.folder, self.storage, tell)
        coordinator = Coordinator(
            self.folder, config, space, storage_url=self.storage, listener=tell
        )
        asked = space.size if self.has_arms else config.search.trials
        facts = {
            "trials": coordinator.states(), "asked": asked, "metric": config.metric,
            "notes": prepared.notes, "hours": coordinator.leases.hours(),
        }  # fmt: skip
        tell(Event("began", -1, facts))
        execute(coordinator, prepared, workers, executor, address)
        self.stopped = coordinator.stopping and not coordinator.done
        self.exhausted = coordinator.exhausted and not self.has_arms
        completed = any(state == "COMPLETE" for _, state, _ in coordinator.states())
        if not (completed or coordinator.stopping):
            raise nothing_completed(self.record)

    @checked
    def confirmation(
        self,
        *,
        top: int | None = None,
        seeds: int | None = None,
        folds: str | None = None,
        design: Design | None = None,
        trainings: int | None = None,
    ) -> Study:
        """Return the study that confirms this search, called NAME-confirm, without training it.

        Args:
            top: number of best mixtures to confirm (3), in addition to all single norms.
            seeds: number of trainings of each (5).
            folds: ``test`` (the search's test folds), or ``all``, one after another.
            design: ``fixed`` or ``looks``; see `plan_confirmation`.
            trainings: the most trainings; if None, those of the share `search.confirm`.

        Raises:
            StudyError: the search cannot be confirmed, or the confirmation was started with other
                values.
        """
        how: Any = {"top": top, "seeds": seeds, "design": design, "trainings": trainings}
        folder = self.folder.parent / f"{self.folder.name}-confirm"
        if (folder / "study.yaml").is_file():
            found = open_study(folder, data=self._data, storage=self.storage)
            found.config = resumed(found.config, lambda: found.finished, folds=folds, **how)
        else:
            every = self._every_fold() if folds == "all" else ()
            plan = plan_confirmation(self.record, folds=every, **how)
            where = {"data": self._data, "runs_dir": folder.parent, "storage": self.storage}
            found = type(self).of(plan.config, f"{folder / 'study.yaml'}: space.", **where)
            found._began_as, found.notes = str(self.folder), plan.notes
        found.trusted, found.accept_changed_network = self.trusted, self.accept_changed_network
        return found

    @checked
    def confirm(
        self,
        *,
        top: int | None = None,
        seeds: int | None = None,
        folds: str | None = None,
        design: Design | None = None,
        trainings: int | None = None,
        workers: int | None = None,
        executor: ExecutorName = "ray",
        address: str | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> Study:
        """Train the best mixtures and all single norms again, and test them on held-out subjects.

        The arguments are those of `confirmation` and `run`. A second call resumes the confirmation.

        Returns:
            The study NAME-confirm; see its `comparison`.

        Raises:
            StudyError: see `confirmation`.
        """
        how: Any = {"seeds": seeds, "design": design, "trainings": trainings}
        found = self.confirmation(top=top, folds=folds, **how)
        if not found.finished:
            found.run(
                workers=workers, executor=executor, address=address, resume=True,
                callbacks=callbacks,
            )  # fmt: skip
        return found

    def _every_fold(self) -> tuple[str, ...]:
        return task_folds(self.config.task, *data_source(self._data))

    def _local_facts(self, prepared: PreparedStudy) -> dict[str, Any]:
        return {"data": str(prepared.data) if prepared.data else None, "storage": self.storage}


open_study = Study.open
