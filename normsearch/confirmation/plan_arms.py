"""The arms of a confirmation, from the trials of a search; its design and number of seeds."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from normsearch.config import Arm, Origin, SpaceConfig, StudyConfig
from normsearch.config.arms import LOOKS
from normsearch.config.hyperparameters import HYPERPARAMETERS
from normsearch.space.range_ends import at_edges
from normsearch.storage.records import StudyRecord

Design = Literal["fixed", "looks"]
TOP, SEEDS = 3, 5
LOOKS_FROM = 6
"""The number of compared arms, the reference among them, from which looks are the default."""
_FEWEST = {"fixed": 2, "looks": LOOKS[1]}  # seeds with which a design can claim anything
SETTINGS = 3  # completed in the search before a single norm is called better or worse
Rows = Sequence[Mapping[Any, Any]]
"""The table of a search's trials, by row."""


@dataclass(frozen=True)
class Chosen:
    """What a confirmation trains.

    Attributes:
        top: how many mixtures were asked for.
        trials: the trial of the search, by arm; the best single norm first.
        arms: by name, also the reference at other arms' settings.
        beside: the arm that trains the reference at an arm's setting, by arm.
    """

    top: int
    trials: dict[str, int]
    arms: dict[str, Arm]
    beside: dict[str, str]


def chosen_arms(
    record: StudyRecord, rows: Rows, single: Mapping[str, int], tops: Sequence[int]
) -> Iterator[Chosen]:
    """Yield the arms of a confirmation with so many mixtures, for each of `tops`.

    Args:
        record: the record of the search.
        rows: its trials.
        single: the best trial of each single norm, the best one first.
        tops: numbers of mixtures.
    """
    mixtures = _mixtures(record, rows)
    for top in tops:
        trials = {**single, **{f"trial {trial}": trial for trial in mixtures[:top]}}
        arms = {name: _arm(record, name, trial, single) for name, trial in trials.items()}
        beside = _beside(arms, next(iter(single)), [*list(trials)[len(single) :], *single])
        yield Chosen(top, trials, arms, beside)


def origin_of(
    record: StudyRecord,
    config: StudyConfig,
    rows: Rows,
    chosen: Chosen,
    single: Collection[str],
    folds: Sequence[str],
) -> Origin:
    """Return what a confirmation of `config` records of the search and its choice."""
    return Origin(
        top=chosen.top,
        beside=chosen.beside,
        study=record.name,
        trials=chosen.trials,
        scores={name: record.mean_score(number) for name, number in chosen.trials.items()},
        left_out=_left_out(rows, single),
        seen_folds=tuple(fold for fold in folds if fold not in config.task.test_folds),
        mixtures=tuple(name for name in chosen.trials if name not in single),
        untuned=_untuned(record, config, rows, single),
        edges=_edges(record, chosen.trials),
    )


def edges(space: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a sentence for each number that lies at an end of its range; see `at_edges`."""
    return tuple(at_edges(space, values))


def _mixtures(record: StudyRecord, rows: Rows) -> list[int]:
    """Return the COMPLETE trials with several norms, the best first, each configuration once."""
    singles = {row["number"]: row["single_norm"] for row in rows}
    found: dict[int, tuple[dict[str, Any], dict[str, str]]] = {}
    for number in record.ranked():
        choice = record.values(number), record.norm_map(number)
        several = not isinstance(singles[number], str) and len(set(choice[1].values())) > 1
        if several and choice not in found.values():
            found[number] = choice
    return list(found)


def _arm(record: StudyRecord, name: str, number: int, single: Collection[str]) -> Arm:
    """Return a trial's choice as an arm.

    A slot in which a single norm has another form gets an entry of its own (GN-8 is IN on 8
    channels, and has the nearest number of groups on channels that 8 does not divide).
    """
    norm = record.norm_map(number)
    if name in single:
        norm = {"*": name, **{slot: spec for slot, spec in norm.items() if spec != name}}
    values = {key: value for key, value in record.values(number).items() if key in HYPERPARAMETERS}
    return Arm(name=name, norm=norm, **values)


def _beside(arms: dict[str, Arm], reference: str, names: Sequence[str]) -> dict[str, str]:
    """Return, by arm, the arm with the reference at its setting; add missing ones to `arms`."""
    own = arms[reference]
    found = {}
    for name in names:
        if name == reference:
            continue
        wanted = own.model_copy(update={key: getattr(arms[name], key) for key in HYPERPARAMETERS})
        same = [arm.name for arm in arms.values() if _same_training(arm, wanted)]
        if not same:
            same = [f"{reference} at {name}'s setting"]
            arms[same[0]] = wanted.model_copy(update={"name": same[0]})
        found[name] = same[0]
    return found


def _untuned(
    record: StudyRecord, config: StudyConfig, rows: Rows, single: Collection[str]
) -> dict[str, int]:
    """Return the single norms that were completed at too few settings for a comparison."""
    tried: dict[str, list[dict[str, Any]]] = {name: [] for name in single}
    for row in rows:
        if row["state"] == "COMPLETE" and row["single_norm"] in tried:
            setting = record.values(int(row["number"]))
            if setting not in tried[row["single_norm"]]:
                tried[row["single_norm"]].append(setting)
    needed = min(SETTINGS, _settings(config) or SETTINGS)
    return {name: len(found) for name, found in tried.items() if len(found) < needed}


def _settings(config: StudyConfig) -> int | None:
    """Return the number of settings in a space, None if it has a range or is code."""
    if not isinstance(config.space, SpaceConfig):
        return None
    offered = [getattr(config.space, name) for name in HYPERPARAMETERS]
    choices = [values.choices for values in offered if values is not None]
    return None if None in choices else math.prod(len(set(each)) for each in choices)


def _same_training(arm: Arm, other: Arm) -> bool:
    return arm.model_copy(update={"name": other.name}) == other


def _edges(record: StudyRecord, chosen: dict[str, int]) -> dict[str, tuple[str, ...]]:
    space = record.config["space"]
    found = {name: edges(space, record.values(number)) for name, number in chosen.items()}
    return {name: sentences for name, sentences in found.items() if sentences}


def _left_out(rows: Rows, single: Collection[str]) -> dict[str, str]:
    """Return why single norms of the search are no arms: the failure of their last trial."""
    return {
        row["single_norm"]: row["failure"] if isinstance(row["failure"], str) else "not finished"
        for row in rows
        if isinstance(row["single_norm"], str) and row["single_norm"] not in single
    }


@dataclass(frozen=True)
class PlanSize:
    """What a confirmation trains.

    Attributes:
        design: how arms are judged.
        seeds: trainings of each arm; in looks the most.
        each: trainings with one seed, of all arms on all folds.
        given: whether the user chose `seeds`.
    """

    design: Design
    seeds: int
    each: int
    given: bool

    @property
    def most(self) -> int:
        """The most trainings."""
        return self.each * self.seeds

    @property
    def fewest(self) -> int:
        """The fewest trainings with which it may begin."""
        return self.most if self.given else self.each * _FEWEST[self.design]

    def within(self, trainings: int) -> PlanSize | None:
        """Return what so many trainings allow, None if this can test nothing."""
        if trainings < self.fewest:
            return None
        if self.given or self.design == "looks":  # looks end by themselves, see `course`
            return self
        return replace(self, seeds=min(self.seeds, trainings // self.each))


def plan_size(
    arms: int, compared: int, folds: int, seeds: int | None, design: Design | None
) -> PlanSize:
    """Return what a confirmation trains that may take any number of trainings.

    Args:
        arms: number of arms that are trained.
        compared: number of those that are compared, the reference among them.
        folds: number of folds that are tested in turn, 0 for one split.
        seeds, design: what the user chose, if anything.
    """
    each, given = arms * max(folds, 1), seeds is not None
    design = design or ("looks" if not given and compared >= LOOKS_FROM else "fixed")
    number = LOOKS[-1] if design == "looks" else SEEDS if seeds is None else seeds
    return PlanSize(design, number, each, given)
