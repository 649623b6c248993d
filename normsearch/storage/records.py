"""The record of a study, as figures, `status`, `best` and notebooks read it."""

from __future__ import annotations

import os
from dataclasses import asdict
from numbers import Integral
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from normsearch.config import plain
from normsearch.config.reading import read_recorded_study
from normsearch.errors import StudyError
from normsearch.files import is_file
from normsearch.space.choice import LABELS
from normsearch.storage.objectives import score
from normsearch.storage.opening import open_storage
from normsearch.storage.ranking import by_score, entered, rank, trainings
from normsearch.storage.run_folder import find_run, read_case_table, read_local, trial_folder
from normsearch.storage.search_end import asked
from normsearch.storage.trial_rows import columns, row
from normsearch.storage.trial_states import (
    REPLICATE_OF,
    completed,
    eligible,
    evaluation_records,
    finished,
    is_repeat,
    is_replicate,
    last_record,
    outcome,
    share_of_single_norms,
    single_norm,
)


class StudyRecord:
    """What a run has found so far. Scores are of the validation cases, by the study's metric.

    Args:
        folder: the run's folder.
        storage_url: the storage, if it is not the journal file in the folder.
        skim: read outcomes only, without norm maps, which is many times faster.

    Raises:
        ConfigError, StudyError: the folder holds no readable run.
    """

    def __init__(self, folder: Path, storage_url: str | None = None, *, skim: bool = False) -> None:
        self.folder = folder
        config = read_recorded_study(folder)
        self.name, self.config = config.name, plain(config)
        self.metric, self.direction, self.bounds = config.metric, config.direction, config.bounds
        self.case_metric, self.of_class = config.case_metric, config.training.metric.number
        url = storage_url or read_local(folder).get("storage")
        self._url, self._skim, self._search = url, skim, config.search
        self._standing: tuple[int, list[int], bool] = (-1, [], False)
        storage = open_storage(folder, url, skim=skim)
        try:
            self._study = optuna.load_study(study_name=self.name, storage=storage)
        except KeyError:
            raise StudyError(
                f"{folder}: the run must have a trial, and ended before its first one; resume it "
                f"with `normsearch resume {folder.name}`."
            ) from None

    def __repr__(self) -> str:
        return f"<StudyRecord {self.name}: {len(self.frozen())} trials in {self.folder}>"

    def frozen(self) -> list[FrozenTrial]:
        """Return the trials as Optuna stores them."""
        return self._study.get_trials(deepcopy=False)

    @property
    def attributes(self) -> dict[str, Any]:
        """What is recorded of the study besides its trials, such as the end of its search."""
        return dict(self._study.user_attrs)

    @property
    def asked(self) -> int | None:
        """How many trials are asked for; None while what they cost or find is to decide it."""
        return asked(self.frozen(), self.attributes, self._search)

    @property
    def ended(self) -> bool:
        """Whether as many trials as asked for are finished; looks may need fewer, see `Run`."""
        asked = self.asked
        return asked is not None and finished(map(outcome, self.frozen())) >= asked

    @property
    def slots(self) -> list[str]:
        """Names of the norm slots in order of depth; empty before the first trial."""
        maps = (trial.user_attrs.get("norm_map") for trial in self.frozen())
        return list(next((norm_map for norm_map in maps if norm_map), {}))

    @property
    def best(self) -> int | None:
        """Number of the first of the trials of `ranked`, which is the recommended one, if any."""
        return next(iter(self.ranked()), None)

    def ranked(self) -> list[int]:
        """Return the numbers of the COMPLETE trials, the best score first.

        Those that exceed a constraint of the search are left out. After a round of a race the order
        is that of `rank`: the configuration that the race recommends, then the others by the model,
        each by the number of its first training.
        """
        return list(self._stand()[0])

    def _stand(self) -> tuple[list[int], bool]:
        """Return `ranked` and `raced`, found anew when a trial has finished."""
        trials = self.frozen()
        ended = sum(trial.state.is_finished() for trial in trials)
        if self._standing[0] != ended:
            ranked = rank(self._whole(trials), self.direction)
            self._standing = ended, ranked, bool(entered(trials))
        return self._standing[1:]

    def _whole(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        """Return the trials with their parameters, which the order after a race depends on."""
        if not self._skim or not any(map(is_replicate, trials)):
            return trials
        return StudyRecord(self.folder, self._url).frozen()

    def trainings(self, number: int) -> list[dict[str, Any]]:
        """Return the trainings of a trial's configuration, replicates of a race too.

        Keys: number, seed (None of the first, which has that of the study) and score (None if the
        training failed). Those that are not finished are left out.
        """
        first = self._trial(number).user_attrs.get(REPLICATE_OF, number)
        return [
            {
                "number": trial.number,
                "seed": trial.user_attrs.get("seed"),
                "score": score(trial) if outcome(trial) == "COMPLETE" else None,
            }
            for trial in trainings(self.frozen(), int(first))
            if trial.state.is_finished()
        ]

    def mean_score(self, number: int) -> float:
        """Return the mean score of the trainings of a COMPLETE trial's configuration.

        Before a race has finished a round this is the trial's score.
        """
        trainings = self.trainings(number) if self.raced() else self.trainings(number)[:1]
        scores = [one["score"] for one in trainings if one["score"] is not None]
        return float(scores[0] if len(scores) == 1 else sum(scores) / len(scores))

    def estimate(self, number: int) -> dict[str, float] | None:
        """Return what the model says of the mean score over seeds of a trial's configuration.

        Keys: mean, low and high (95% credible interval); see `normsearch.samplers.fitted.estimate`.
        None if the model has nothing to learn from.
        """
        from normsearch.samplers.fitted import estimate

        trials = [one for one in self._whole(self.frozen()) if not is_repeat(one)]
        found = estimate(trials, number, 1 if self.direction == "maximize" else -1)
        return None if found is None else asdict(found)

    def by_score(self) -> list[int]:
        """Return the numbers of the COMPLETE trials, best score first, whatever a race found."""
        return by_score(self.frozen(), self.direction)

    def raced(self) -> bool:
        """Whether a race has finished a round, so that it decides which trial is the best."""
        return self._stand()[1]

    def best_single_norms(self) -> dict[str, int]:
        """Return the best COMPLETE trial of each single norm over all its settings, best first."""
        found: dict[str, int] = {}
        trials = self.frozen()
        for number in self.ranked():
            if name := single_norm(trials[number]):
                found.setdefault(name, number)
        return found

    def shares(self) -> dict[str, int]:
        """Return the number of trials begun: default, tuning (of single norms), and mixtures."""
        trials = self.frozen()
        tuning, mixtures = share_of_single_norms(trials)
        begun = [trial for trial in trials if trial.state != TrialState.WAITING]
        default = sum("baseline" in trial.user_attrs for trial in begun)
        return {"default": default, "tuning": tuning, "mixtures": mixtures}

    def pareto_front(self) -> list[int]:
        """Return the numbers of the COMPLETE trials on the Pareto front of the objectives.

        With the score as the only objective these are the best trials, or the best one of a race.
        """
        if self.raced():
            return self.ranked()[:1]
        best = self._study.best_trials if self.ranked() else []
        return sorted(trial.number for trial in eligible(best))

    def values(self, number: int) -> dict[str, Any]:
        """Return what trial `number` chose besides the norms: learning_rate, batch_size, ...

        The seed of a replicate is not part of its choice.
        """
        trial = self._trial(number)
        values = dict(trial.user_attrs.get("values", {}))
        return {k: v for k, v in values.items() if k != "seed" or not is_replicate(trial)}

    def norm_map(self, number: int) -> dict[str, str]:
        """Return the effective spec of every slot in trial `number`, in order of depth."""
        norm_map: dict[str, str] = self._trial(number).user_attrs.get("norm_map", {})
        return dict(norm_map)

    def learnt(self, number: int) -> dict[str, dict[str, dict[str, float]]]:
        """Return what the adaptive norms of trial `number` had learnt at its last evaluation."""
        learnt: dict[str, dict[str, dict[str, float]]]
        learnt = last_record(self._trial(number)).get("learnt", {})
        return learnt

    def trials(self) -> pd.DataFrame:
        """Return one row a trial.

        Columns: number, state, score (the final one of COMPLETE trials), last_score (before the
        last evaluation of `task.validation_cases` cases alone), baseline (the norm of a single-norm
        trial at the space's default setting), single_norm (the norm of every single-norm trial, at
        any setting), arm, seed and fold (of fixed trainings; None in a search, but for the seed of
        a replicate), replicate_of (the trial that a replicate of a race trains again),
        learning_rate, batch_size and other choices (None if not chosen), samples, steps, seconds,
        peak_memory_bytes, parameters, seam (of a finished training on patches), resumes (how often
        the trial was resumed), failure, drawn (how the trial was chosen, see `how_drawn`),
        ``norm.SLOT`` for every slot. The state DUPLICATE means a repetition, answered from the
        record of an earlier trial.
        """
        return pd.DataFrame(map(row, self.frozen()), columns=columns(self.slots))

    def history(self) -> pd.DataFrame:
        """Return number, evaluation, samples, steps, seconds, loss, score and cases of evaluations.

        `cases` is how many cases the score is of; with `task.validation_cases` the last evaluation
        has more than those before it.
        """
        columns = ["evaluation", "samples", "steps", "seconds", "loss", "score"]
        rows = [
            {
                "number": trial.number,
                **{column: record[column] for column in columns},
                "cases": len(record.get("cases", ())),
            }
            for trial in self.frozen()
            for record in evaluation_records(trial)
        ]
        return pd.DataFrame(rows, columns=["number", *columns, "cases"])

    def cases(self) -> pd.DataFrame:
        """Return the score of each case of each COMPLETE trial, at its last evaluation.

        Columns: number, arm, seed, fold, case, score, and the details of cases.csv (Dice and voxel
        counts of each class, and of patches the seam). Trials without a cases.csv in the folder are
        left out.
        """
        parts = []
        for trial in completed(self.frozen()):
            path = trial_folder(self.folder, trial.number) / "cases.csv"
            if is_file(path):
                values = trial.user_attrs.get("values", {})
                part = read_case_table(path).drop(columns="evaluation")
                for place, name in enumerate(LABELS):
                    part.insert(place, name, values.get(name))
                part.insert(0, "number", trial.number)
                parts.append(part)
        empty = pd.DataFrame(columns=["number", *LABELS, "case", "score"])
        return pd.concat(parts, ignore_index=True) if parts else empty

    def learnt_history(self, number: int) -> pd.DataFrame:
        """Return what the adaptive norms of trial `number` had learnt at each evaluation.

        Columns: evaluation, samples, slot, statistic, branch, weight.
        """
        rows = [
            (record["evaluation"], record["samples"], slot, statistic, branch, weight)
            for record in evaluation_records(self._trial(number))
            for slot, statistics in record["learnt"].items()
            for statistic, branches in statistics.items()
            for branch, weight in branches.items()
        ]
        columns = ["evaluation", "samples", "slot", "statistic", "branch", "weight"]
        return pd.DataFrame(rows, columns=columns)

    def _trial(self, number: Any) -> FrozenTrial:
        trials = self.frozen()
        if not isinstance(number, Integral) or int(number) not in range(len(trials)):
            raise StudyError(
                f"{self.name}: trial must be a number from 0 to {len(trials) - 1}, got {number!r}."
            )
        return trials[int(number)]


def load_study(path_or_name: str | Path, runs: Path | None = None) -> StudyRecord:
    """Open the record of a run by its name or its folder.

    Names are looked up below `runs`; if it is not given, NORMSEARCH_RUNS or ./runs.

    Raises:
        StudyError: no such run, or a run that has not begun.
    """
    return StudyRecord(
        find_run(str(path_or_name), runs or Path(os.environ.get("NORMSEARCH_RUNS", "runs")))
    )
