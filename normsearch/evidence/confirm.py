"""From a search to the study that confirms it: its best configurations and all its single norms.

Each is trained anew with several seeds on training and validation subjects, and tested on the
subjects that the search held out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from normsearch.config import Arm, ArmsConfig, Origin, SearchConfig, StudyConfig
from normsearch.config_file import read_recorded_study, validate
from normsearch.errors import StudyError
from normsearch.search.choice import VALUES
from normsearch.search.records import StudyRecord

TOP, SEEDS = 3, 5
_KEPT = ("resources", "workers", "time_limit", "grace_seconds", "callbacks", "checkpoints")


def confirm_study(
    record: StudyRecord, *, top: int = TOP, seeds: int = SEEDS, folds: Sequence[str] = ()
) -> StudyConfig:
    """Return the study that confirms a search, called NAME-confirm.

    Its arms are the search's COMPLETE single-norm baselines, by their specs, and the `top` best
    other configurations, as ``trial 17``. The reference is the single norm with the best validation
    score.

    Args:
        record: of the search.
        top: configurations beside the single norms, fewer if the search has fewer.
        seeds: trainings of each arm.
        folds: test folds to take one after another; the search's own, all at once, if empty.

    Raises:
        StudyError: it is no search, held out no fold, or has no single norm to compare with.
    """
    config = read_recorded_study(record.folder)
    _check(record, config, folds)
    rows = {int(row["number"]): row for row in record.trials().to_dict("records")}
    ranked = [rows[number] for number in record.ranked()]
    single = _single_norms(record, ranked)
    if not single:
        raise StudyError(
            f"{record.name}: must have a COMPLETE single-norm network to compare with, and has "
            f"none; train them with `normsearch resume {record.name} --set search.baselines=true "
            f"--trials {len(rows) + 10}`."
        )
    taken = {row["number"] for row in single.values()}
    best = _distinct(record, [row for row in ranked if row["number"] not in taken])[:top]
    chosen = {**single, **{f"trial {row['number']}": row for row in best}}
    space = ArmsConfig(
        arms=tuple(
            Arm(name=name, norm=_norm(record, name, row, single), **_values(record, row))
            for name, row in chosen.items()
        ),
        seeds=tuple(range(seeds)),
        folds=tuple(folds),
        reference=next(iter(single)),
        origin=Origin(
            study=record.name,
            top=top,
            trials={name: int(row["number"]) for name, row in chosen.items()},
            scores={name: float(row["score"]) for name, row in chosen.items()},
            left_out=_left_out(list(rows.values()), single),
            seen_folds=tuple(fold for fold in folds if fold not in config.task.test_folds),
        ),
    )
    return _study(config, space)


def _check(record: StudyRecord, config: StudyConfig, folds: Sequence[str]) -> None:
    if isinstance(config.space, ArmsConfig):
        raise StudyError(
            f"{record.name}: must be a search to be confirmed, and is a study of fixed trainings "
            f"already; see what it found with `normsearch report {record.name}`."
        )
    if not (config.task.test_folds or folds):
        raise StudyError(
            f"{record.name}: must have held out test_folds to be confirmed on, and its search saw "
            "every subject; begin a search with --set task.test_folds=[...], or, for results that "
            "are optimistic for what was searched, confirm with --folds all."
        )


def _single_norms(record: StudyRecord, ranked: list[dict[Any, Any]]) -> dict[str, dict[Any, Any]]:
    """The best trial of each single norm: the baselines, or in a search without, what it tried."""
    named = [(row["baseline"], row) for row in ranked if isinstance(row["baseline"], str)]
    if not named:
        maps = [(set(record.norm_map(row["number"]).values()), row) for row in ranked]
        named = [(norms.pop(), row) for norms, row in maps if len(norms) == 1]
    found: dict[str, dict[Any, Any]] = {}
    for name, row in named:
        found.setdefault(name, row)
    return found


def _distinct(record: StudyRecord, rows: list[dict[Any, Any]]) -> list[dict[Any, Any]]:
    """`rows` without those that repeat the configuration of one before."""
    found: list[dict[Any, Any]] = []
    known: list[tuple[dict[str, Any], dict[str, str]]] = []
    for row in rows:
        choice = record.values(row["number"]), record.norm_map(row["number"])
        if choice not in known:
            known.append(choice)
            found.append(row)
    return found


def _values(record: StudyRecord, row: dict[Any, Any]) -> dict[str, Any]:
    """What a trial chose beside its norms."""
    return {key: value for key, value in record.values(row["number"]).items() if key in VALUES}


def _norm(
    record: StudyRecord, name: str, row: dict[Any, Any], single: Collection[str]
) -> dict[str, str]:
    return {"*": name} if name in single else record.norm_map(row["number"])


def _left_out(rows: list[dict[Any, Any]], single: dict[str, Any]) -> dict[str, str]:
    """Why single norms of the search are no arms."""
    return {
        row["baseline"]: row["failure"] if isinstance(row["failure"], str) else "not finished"
        for row in rows
        if isinstance(row["baseline"], str) and row["baseline"] not in single
    }


def _study(config: StudyConfig, space: ArmsConfig) -> StudyConfig:
    task = config.task.model_dump() | {"validation": "test", "validation_folds": None}
    search = SearchConfig(**{name: getattr(config.search, name) for name in _KEPT})
    raw = {
        "name": f"{config.name}-confirm",
        "task": task,
        "network": config.network.model_dump(),
        "training": config.training.model_dump(),
        "space": space.model_dump(),
        "search": search.model_dump(include=set(_KEPT)),
        "fingerprint": config.fingerprint,  # the same data, or it confirms nothing
    }
    return validate(StudyConfig, raw, f"confirm {config.name}")
