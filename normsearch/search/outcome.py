"""The outcome of a search: its best trial, the best of each single norm, exported models."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pandas as pd

from normsearch.config.reading import read_trial
from normsearch.errors import StudyError
from normsearch.search.supernet import agreement
from normsearch.space.range_ends import at_edges
from normsearch.storage.records import StudyRecord
from normsearch.storage.run_folder import trial_folder
from normsearch.storage.trial_states import finished
from normsearch.trials.model import export_model
from normsearch.trials.model_card import ModelConfig
from normsearch.trials.trust import refuse_unseen_network

_COLUMNS = {"memory": "peak_memory_bytes"}  # objectives whose column has another name


def best_of(record: StudyRecord) -> dict[str, Any] | None:
    """Return the best COMPLETE trial and the best trial of each single norm as plain values.

    Trials that exceed a constraint of the search are left out. Keys: study, metric, direction
    (``maximize`` or ``minimize``), number, score, what the trial chose (learning_rate, batch_size,
    ...), steps, seam (if it was trained on patches), baseline and single_norm (None of a mixture),
    norm_map, single_norms (a row a norm, the best first: norm, number, score, its setting, steps,
    and trials, how many settings were tried), best_single_norm (the first of them), untrained
    (single-norm networks that have not begun), mixtures (how many were tried), best_mixture (the
    same of the best one), edges (sentences on numbers chosen at the end of their range),
    pareto_front, supernet, trial_file.

    After a round of a race, the best is the configuration that the race recommends, by the number
    of its first training. Its score, that of each single norm and of the best mixture are then
    means over their trainings, which `trainings` lists (see `StudyRecord.trainings`),
    highest_single_training is the number and score of the trial with the best score of all, and
    posterior is what the model says of the best, see `StudyRecord.estimate`.
    """
    number = record.best
    if number is None:
        return None
    rows: list[dict[Any, Any]] = record.trials().to_dict(orient="records")
    single = single_norms(record, rows)
    mixture = next(
        (n for n in record.ranked() if not isinstance(rows[n]["single_norm"], str)), None
    )
    return {
        "study": record.name,
        "metric": record.metric.lower(),
        "direction": record.direction,
        **_result(record, rows[number]),
        "baseline": _text(rows[number]["baseline"]),
        "single_norm": _text(rows[number]["single_norm"]),
        **({"posterior": record.estimate(number)} if record.raced() else {}),
        "norm_map": record.norm_map(number),
        "best_single_norm": single[0] if single else None,
        "untrained": [str(row["baseline"]) for row in rows if _waits(row)],
        "mixtures": sum(map(_is_mixture, rows)),
        "best_mixture": None if mixture is None else _result(record, rows[mixture]),
        "single_norms": single,
        "edges": _edges(record, number, single),
        "pareto_front": _front(record, rows),
        **_highest(record, rows),
        "supernet": agreement(record),
        "trial_file": str(trial_folder(record.folder, number) / "trial.json"),
    }


def single_norms(record: StudyRecord, rows: list[dict[Any, Any]]) -> list[dict[str, Any]]:
    """Return the best trial of each single norm, the best norm first; see `best_of`."""
    tried = defaultdict[Any, set[str]](set)
    for row in (row for row in rows if isinstance(row["single_norm"], str)):
        tried[row["single_norm"]].add(str(record.values(int(row["number"]))))
    return [
        {"norm": norm, **_result(record, rows[number]), "trials": len(tried[norm])}
        for norm, number in record.best_single_norms().items()
    ]


def _result(record: StudyRecord, row: dict[Any, Any]) -> dict[str, Any]:
    number = int(row["number"])
    raced = {"trainings": record.trainings(number)} if record.raced() else {}
    return {
        "number": number,
        "score": record.mean_score(number),
        **record.values(number),
        "steps": int(row["steps"]),
        **({} if pd.isna(row["seam"]) else {"seam": float(row["seam"])}),
        **raced,
    }


def _highest(record: StudyRecord, rows: list[dict[Any, Any]]) -> dict[str, Any]:
    """Return the trial with the best score of a single training, where a race decides."""
    if not record.raced():
        return {}
    number = record.by_score()[0]
    told = {"number": number, "score": float(rows[number]["score"])}
    return {"highest_single_training": told}


def _edges(record: StudyRecord, number: int, single: list[dict[str, Any]]) -> list[str]:
    """Return sentences on numbers at the end of their range in the best trial and single norm."""
    space = record.config["space"]
    found = [f"Trial {number}: {told}" for told in at_edges(space, record.values(number))]
    if single and single[0]["number"] != number:
        at = f"{single[0]['norm']}, the best single norm (trial {single[0]['number']})"
        found += [f"{at}: {told}" for told in at_edges(space, single[0])]
    return found


def _waits(row: dict[Any, Any]) -> bool:
    """Whether a trial is a single norm at the default setting that has not begun."""
    return row["state"] == "WAITING" and isinstance(row["baseline"], str)


def _is_mixture(row: dict[Any, Any]) -> bool:
    told = row["state"] in ("COMPLETE", "PRUNED") and pd.isna(row["replicate_of"])
    return told and not isinstance(row["single_norm"], str)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _front(record: StudyRecord, rows: list[dict[Any, Any]]) -> list[dict[str, Any]]:
    """Return the trials on the Pareto front; none with a single objective."""
    objectives = record.config["search"].get("objectives", ["score"])
    if len(objectives) < 2:
        return []
    columns = {name: _COLUMNS.get(name, name) for name in objectives}
    front = [rows[number] for number in record.pareto_front()]
    front.sort(key=lambda row: float(row["score"]), reverse=record.direction == "maximize")
    return [
        {"number": int(row["number"]), **{n: float(row[c]) for n, c in columns.items()}}
        for row in front
    ]


def export_trial(
    record: StudyRecord,
    number: int,
    folder: Path,
    *,
    trusted: bool = False,
    accept_changed: bool = False,
) -> tuple[list[Path], str]:
    """Write the network of a trial to a folder; see `export_model`.

    Raises:
        StudyError: a training loop of the user's own trained it.
    """
    if trainer := record.config.get("trainer"):
        raise StudyError(
            f"{record.name}: export must be of a network that normsearch trained, and {trainer} "
            "trained this one; let it write its weights to trial.folder, and see normsearch best "
            "for the norm of each slot."
        )
    row: dict[Any, Any] = record.trials().to_dict(orient="records")[number]
    place = trial_folder(record.folder, number)
    score = float(row["score"]) if row["state"] == "COMPLETE" else None
    trial = read_trial(place / "trial.json")
    if not trusted:
        refuse_unseen_network(trial.network, str(place / "trial.json"))
    config = ModelConfig(trial=trial, metric=record.metric, score=score)
    return export_model(folder, place, config, accept_changed_network=accept_changed)


def none_eligible(record: StudyRecord) -> str:
    """Return a sentence if trials are COMPLETE and each exceeds a constraint, else ''."""
    limits: dict[str, float] = record.config["search"].get("constraints") or {}
    trials = record.trials()
    done = trials[trials["state"] == "COMPLETE"].set_index("number")
    if not limits or done.empty or record.best is not None:
        return ""
    least = []
    for name, limit in limits.items():
        values = done[_COLUMNS.get(name, name)].astype(float)
        told = "none has one" if values.isna().all() else (
            f"the lowest is {values.min():.4f}, of trial {values.idxmin()}")  # fmt: skip
        least.append(f"{name} must be at most {limit:g}, and {told}")
    return f"no COMPLETE trial keeps search.constraints: {'; '.join(least)}"


def nothing_completed(record: StudyRecord) -> StudyError:
    """Return the error of a run without a completed trial, with the reason."""
    trials = record.trials()
    failed = trials[trials["state"] == "FAIL"]
    reason = "every one was pruned"
    if len(failed):
        number, why = int(failed["number"].iloc[0]), failed["failure"].iloc[0]
        trace = trial_folder(record.folder, number) / "error.txt"
        told = f" (see {trace})" if trace.is_file() else ""
        reason = (
            f"{len(failed)} of {finished(trials['state'])} failed, trial {number} of '{why}'{told}"
        )
    return StudyError(
        f"{record.name}: at least one trial must be completed, and none was: {reason}; fix the "
        "cause, then start a new run."
    )
