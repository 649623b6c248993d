"""The plan of a confirmation: from a search to the study of its best mixtures and single norms.

Each is trained again with several seeds on training and validation subjects, and tested on the
subjects that the search held out.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from normsearch import limits
from normsearch.config import Arm, ArmsConfig, Origin, SearchConfig, SpaceConfig, StudyConfig
from normsearch.config.arms import LOOKS
from normsearch.config.hyperparameters import HYPERPARAMETERS
from normsearch.config.reading import read_recorded_study, validate
from normsearch.confirmation.plan_size import TOP, Design, plan_size
from normsearch.errors import ConfigError, StudyError, count, short
from normsearch.space.range_ends import at_edges
from normsearch.storage.confirm_share import ConfirmShare, confirm_share
from normsearch.storage.leases import hours_of
from normsearch.storage.records import StudyRecord
from normsearch.storage.trial_states import finished

SETTINGS = 3  # completed in the search before a single norm is called better or worse
_KEPT = ("resources", "workers", "time_limit", "grace_seconds", "callbacks", "checkpoints")


def confirm_study(
    record: StudyRecord,
    *,
    top: int | None = None,
    seeds: int | None = None,
    folds: Sequence[str] = (),
    design: Design | None = None,
    trainings: int | None = None,
) -> StudyConfig:
    """Return the study that confirms a search, called NAME-confirm.

    Its arms are all single norms of the search, named by their specs, and the `top` best mixtures,
    named like ``trial 17``, each at the learning rate, batch size and other choices of its best
    trial. The reference is the single norm that the search ranks first. If an arm's setting
    differs from the reference's, the reference is trained at the arm's setting too, as ``BN at
    trial 17's setting``.

    Args:
        record: the record of the search.
        top: number of mixtures (3, or as many as `trainings` allow), fewer if the search has fewer.
        seeds: trainings of each arm (5, or as many as `trainings` allow), for the fixed design
            alone, each with a seed that no training of the search had.
        folds: test folds to use in turn; if empty, the search's own test folds, all at once.
        design: ``fixed`` trains every arm with every seed and tests once; ``looks`` judges after 2,
            3, 5 and 8 seeds, and ends arms that are decided or not worth pursuing. If None,
            ``looks`` from six compared arms on, unless `seeds` are given.
        trainings: the most trainings. If None, those that fit into the share `search.confirm`; any
            number if the search sets no share aside, or `seeds` are given.

    Raises:
        StudyError: the study is not a search, held out no fold, or has no single norm to compare
            with; or so few trainings can test nothing.
    """
    _check_seeds(seeds, design)
    config = read_recorded_study(record.folder)
    _check(record, config, folds)
    single = record.best_single_norms()
    if not single:
        raise _no_single_norm(record, config)
    share = share_of(record, config) if seeds is None and trainings is None else None
    limit, every, fewest = share.trainings if share else trainings, _mixtures(record), 0
    for number in range(TOP, -1, -1) if top is None else [top]:
        chosen = {**single, **{f"trial {trial}": trial for trial in every[:number]}}
        arms = {name: _arm(record, name, trial, single) for name, trial in chosen.items()}
        beside = _beside(arms, next(iter(single)), [*list(chosen)[len(single) :], *single])
        whole = plan_size(len(arms), len(chosen), len(folds), seeds, design)
        size, fewest = whole if limit is None else whole.within(limit), whole.fewest
        if size is not None:
            break
    else:
        raise _too_few(record, fewest, limit, share)
    # Seeds that the search has not used: scores with its own are biased upwards by the selection.
    new = itertools.islice(config.new_seeds(record.trials()["seed"]), size.seeds)
    space = ArmsConfig(
        arms=tuple(arms.values()),
        seeds=tuple(new),
        design=size.design,
        trainings=limit if limit is not None and limit < size.most else None,
        folds=tuple(folds),
        reference=next(iter(single)),
        origin=_origin(record, config, chosen, single, folds, top=number, beside=beside),
    )
    return _study(config, space)


def share_of(record: StudyRecord, config: StudyConfig) -> ConfirmShare | None:
    """Return what a search sets aside for its confirmation, None for nothing."""
    return confirm_share(record.frozen(), config, hours_of(record.folder))


def _origin(
    record: StudyRecord,
    config: StudyConfig,
    chosen: dict[str, int],
    single: Collection[str],
    folds: Sequence[str],
    **found: Any,
) -> Origin:
    """Return what is recorded of the search; `chosen` are its trials by arm."""
    return Origin(
        **found,
        study=record.name,
        trials=chosen,
        scores={name: record.mean_score(number) for name, number in chosen.items()},
        left_out=_left_out(record.trials().to_dict("records"), single),
        seen_folds=tuple(fold for fold in folds if fold not in config.task.test_folds),
        mixtures=tuple(name for name in chosen if name not in single),
        untuned=_untuned(record, config, single),
        edges=_edges(record, chosen),
    )


def _check_seeds(seeds: int | None, design: Design | None) -> None:
    if seeds is not None and not 0 < seeds <= limits.SEEDS:
        raise ConfigError(f"seeds must be from 1 to {limits.SEEDS}, got {short(seeds)}.")
    if seeds is not None and design == "looks":
        looks = f"{', '.join(map(str, LOOKS[:-1]))} and {LOOKS[-1]}"
        raise ConfigError(
            f"seeds must be left out with design looks, which judges after {looks} seeds, got "
            f"{seeds}; leave it out, or choose design fixed."
        )


def resumed(
    config: StudyConfig,
    *,
    top: int | None = None,
    seeds: int | None = None,
    folds: str | None = None,
    design: Design | None = None,
    trainings: int | None = None,
) -> StudyConfig:
    """Return the study of a confirmation that has begun, with as many `trainings` as now allowed.

    Looks may be allowed more: how often an arm is judged changes no level of a look.

    Raises:
        StudyError: an option would change the confirmation, whose scores may have been seen.
    """
    space: Any = config.space
    begun = {
        "top": space.origin.top,
        "seeds": len(space.seeds),
        "folds": "all" if space.folds else "test",
        "design": space.design,
    }
    given_now = {"top": top, "seeds": seeds, "folds": folds, "design": design}
    for option, given in given_now.items():
        if given is not None and given != begun[option]:
            raise StudyError(
                f"{config.name}: must be resumed as it started, with --{option} {begun[option]}, "
                "since a change after scores were seen would invalidate the confirmation; leave "
                "the option out, or remove the run's folder to confirm again."
            )
    if trainings is None:
        return config
    least = space.trainings or space.size
    if trainings < least:
        raise StudyError(
            f"{config.name}: must be resumed with --trainings {least} or more, as it started, got "
            f"{trainings}."
        )
    allowed = trainings if trainings < space.size else None
    return config.model_copy(update={"space": space.model_copy(update={"trainings": allowed})})


def _check(record: StudyRecord, config: StudyConfig, folds: Sequence[str]) -> None:
    if isinstance(config.space, ArmsConfig):
        raise StudyError(
            f"{record.name}: must be a search to be confirmed, and is a study of fixed trainings "
            f"already; see what it found with `normsearch report {record.name}`."
        )
    if not (config.task.test_folds or folds or config.trainer):
        raise StudyError(
            f"{record.name}: must have held out test_folds to be confirmed on, and its search saw "
            "every subject; start a search with --set task.test_folds=[...], or confirm with "
            "--folds all, whose results are optimistic for the norms that the search chose."
        )


def _no_single_norm(record: StudyRecord, config: StudyConfig) -> StudyError:
    states, asked = list(record.trials()["state"]), record.asked
    going = asked is None or finished(states) < asked
    more = f" --set search.baselines=true --trials {len(states) + 10}"
    return StudyError(
        f"{record.name}: must have a COMPLETE single-norm network to compare with, and has none; "
        f"train them with `normsearch resume {record.name}"
        f"{'' if going and config.search.baselines else more}`."
    )


def _too_few(
    record: StudyRecord, fewest: int, limit: int | None, share: ConfirmShare | None
) -> StudyError:
    told = f"search.confirm left {share}" if share else f"got {limit}"
    return StudyError(
        f"{record.name}: a confirmation of these arms must have {count(fewest, 'training')} at "
        f"least to test anything, and {told}; allow it more with --trainings {fewest}."
    )


def _mixtures(record: StudyRecord) -> list[int]:
    """Return the COMPLETE trials with several norms, the best first, each configuration once."""
    singles = dict(record.trials()[["number", "single_norm"]].itertuples(index=False, name=None))
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


def _untuned(record: StudyRecord, config: StudyConfig, single: Collection[str]) -> dict[str, int]:
    """Return the single norms that were completed at too few settings for a comparison."""
    rows = record.trials().to_dict("records")
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


def edges(space: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a sentence for each number that lies at an end of its range; see `at_edges`."""
    return tuple(at_edges(space, values))


def _edges(record: StudyRecord, chosen: dict[str, int]) -> dict[str, tuple[str, ...]]:
    space = record.config["space"]
    found = {name: tuple(at_edges(space, record.values(number))) for name, number in chosen.items()}
    return {name: sentences for name, sentences in found.items() if sentences}


def _left_out(rows: list[dict[Any, Any]], single: Collection[str]) -> dict[str, str]:
    """Return why single norms of the search are no arms: the failure of their last trial."""
    return {
        row["single_norm"]: row["failure"] if isinstance(row["failure"], str) else "not finished"
        for row in rows
        if isinstance(row["single_norm"], str) and row["single_norm"] not in single
    }


def _study(config: StudyConfig, space: ArmsConfig) -> StudyConfig:
    task = config.task.model_dump() | {"validation": "test", "validation_folds": None}
    search = SearchConfig(**{name: getattr(config.search, name) for name in _KEPT})
    raw = {
        "trainer": config.trainer,
        "name": f"{config.name}-confirm",
        "task": task,
        "network": config.network.model_dump(),
        "training": config.training.model_dump(),
        "space": space.model_dump(),
        "search": search.model_dump(include=set(_KEPT)),
        "fingerprint": config.fingerprint,  # the same data and network, or it confirms nothing
        "network_digest": config.network_digest and config.network_digest.model_dump(),
    }
    return validate(StudyConfig, raw, f"confirm {config.name}")
