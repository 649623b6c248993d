"""The plan of a confirmation: from a search to the study of its best mixtures and single norms.

Each is trained again with several seeds on training and validation subjects, and tested on the
subjects that the search held out.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import scipy

from normsearch import limits
from normsearch.config import ArmsConfig, SearchConfig, StudyConfig
from normsearch.config.arms import LOOKS
from normsearch.config.reading import read_recorded_study, validate
from normsearch.confirmation.look_course import begun_course
from normsearch.confirmation.look_progress import progress_sentences
from normsearch.confirmation.pair_tests import ALPHA
from normsearch.confirmation.plan_arms import (
    SEEDS,
    TOP,
    Chosen,
    Design,
    PlanSize,
    chosen_arms,
    origin_of,
    plan_size,
)
from normsearch.confirmation.power import SHARE
from normsearch.errors import ConfigError, StudyError, count, short
from normsearch.storage.confirm_share import ConfirmShare, confirm_share
from normsearch.storage.leases import hours_of
from normsearch.storage.records import StudyRecord
from normsearch.storage.trial_states import finished, outcome

_KEPT = ("resources", "workers", "time_limit", "grace_seconds", "callbacks", "checkpoints")


@dataclass(frozen=True)
class Plan:
    """A confirmation that has not begun.

    Attributes:
        config: its study, called NAME-confirm.
        notes: sentences on what it trains, and what it leaves out to keep to its share.
    """

    config: StudyConfig
    notes: tuple[str, ...]


def plan_confirmation(
    record: StudyRecord,
    *,
    top: int | None = None,
    seeds: int | None = None,
    folds: Sequence[str] = (),
    design: Design | None = None,
    trainings: int | None = None,
) -> Plan:
    """Return the plan of a search's confirmation.

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
    share = _share_of(record, config) if seeds is None and trainings is None else None
    limit, rows = share.trainings if share else trainings, record.trials().to_dict("records")
    tops = range(TOP, -1, -1) if top is None else [top]
    every = list(chosen_arms(record, rows, single, tops))
    found = _first_within(limit, every, len(folds), seeds, design)
    if found is None:
        fewest = _size(every[-1], len(folds), seeds, design).fewest
        raise _too_few(record, fewest, limit, share)
    chosen, size = found
    # Seeds that the search has not used: scores with its own are biased upwards by the selection.
    new = itertools.islice(config.new_seeds(row["seed"] for row in rows), size.seeds)
    space = ArmsConfig(
        arms=tuple(chosen.arms.values()),
        seeds=tuple(new),
        design=size.design,
        trainings=limit if limit is not None and limit < size.most else None,
        folds=tuple(folds),
        reference=next(iter(single)),
        origin=origin_of(record, config, rows, chosen, single, folds),
    )
    study, fixed = _study(config, space), _first_within(limit, every, len(folds), None, "fixed")
    told = _sentences(space, share, None if fixed is None else fixed[1].most)
    return Plan(study, (*_unfinished(record), *(f"{study.name}: {note}" for note in told)))


def _share_of(record: StudyRecord, config: StudyConfig) -> ConfirmShare | None:
    """Return what a search sets aside for its confirmation, None for nothing."""
    return confirm_share(record.frozen(), config, hours_of(record.folder))


def _size(chosen: Chosen, folds: int, seeds: int | None, design: Design | None) -> PlanSize:
    return plan_size(len(chosen.arms), len(chosen.trials), folds, seeds, design)


def _first_within(
    limit: int | None, every: Sequence[Chosen], *how: Any
) -> tuple[Chosen, PlanSize] | None:
    """Return the first arms that `limit` trainings can test, and their size; None without any."""
    for chosen in every:
        whole = _size(chosen, *how)
        size = whole if limit is None else whole.within(limit)
        if size is not None:
            return chosen, size
    return None


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
    ended: Callable[[], bool],
    *,
    top: int | None = None,
    seeds: int | None = None,
    folds: str | None = None,
    design: Design | None = None,
    trainings: int | None = None,
) -> StudyConfig:
    """Return the study of a confirmation that has begun, with as many `trainings` as now allowed.

    Looks may be allowed more: how often an arm is judged changes no level of a look. `ended`
    says whether it has ended as it is; fewer trainings then change nothing.

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
        if ended():
            return config
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
    more = f" --set search.baselines=true --trials {len(record.frozen()) + 10}"
    return StudyError(
        f"{record.name}: must have a COMPLETE single-norm network to compare with, and has none; "
        f"train them with `normsearch resume {record.name}"
        f"{more if record.ended or not config.search.baselines else ''}`."
    )


def _too_few(
    record: StudyRecord, fewest: int, limit: int | None, share: ConfirmShare | None
) -> StudyError:
    told = f"search.confirm left {share}" if share else f"got {limit}"
    return StudyError(
        f"{record.name}: a confirmation of these arms must have {count(fewest, 'training')} at "
        f"least to test anything, and {told}; allow it more with --trainings {fewest}."
    )


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


def _unfinished(record: StudyRecord) -> Iterator[str]:
    """Yield a warning if a search has trials left to train."""
    states, asked = [outcome(trial) for trial in record.frozen()], record.asked
    if {"RUNNING", "WAITING"}.intersection(states) and not record.ended:
        of = "" if asked is None else f"of {asked} "
        yield (
            f"normsearch: warning: {record.name} has finished {finished(states)} {of}trials; this "
            "confirms the best of them."
        )


def _sentences(space: ArmsConfig, share: ConfirmShare | None, fixed: int | None) -> Iterator[str]:
    """Yield what a confirmation trains, and what it leaves out to keep to its share.

    Args:
        space: its arms.
        share: what the search left to it, None where that is no limit.
        fixed: how many trainings design fixed would have in its place, None if too few to test.
    """
    about = (
        f"{len(space.arms)} arms ({', '.join(arm.name for arm in space.arms)}) x "
        f"{'up to ' if space.design == 'looks' else ''}{len(space.seeds)} seeds"
        f"{f' x {len(space.folds)} folds' if space.folds else ''}"
    )
    if space.design == "looks":
        cost = " ".join(progress_sentences(begun_course(space)))
        other = "" if fixed is None else f" --design fixed trains {fixed}."
        yield f"{about}, judged in looks; compared with {space.reference}. {cost}{other}"
    else:
        yield f"{about}, {space.size} trainings; compared with {space.reference}"
    if share:
        yield from _reductions(space, share)


def _reductions(space: ArmsConfig, share: ConfirmShare) -> Iterator[str]:
    """Yield what a confirmation leaves out to keep to its share, and how to give it more."""
    folds, origin = max(len(space.folds), 1), space.origin
    less = []
    if origin and origin.top is not None and origin.top < TOP:
        less.append(f"{count(origin.top, 'mixture')} instead of {TOP}")
    if space.design == "fixed" and len(space.seeds) < SEEDS:
        less.append(f"{len(space.seeds)} seeds instead of {SEEDS}")
    if space.trainings is not None:
        less.append(f"no look that would exceed {count(space.trainings, 'training')}")
    if not less:
        return
    cure = (
        f"--seeds {SEEDS} trains {len(space.arms) * folds * SEEDS}"
        if space.design == "fixed" and len(space.seeds) < SEEDS
        else "--trainings N allows more"
    )
    yield f"search.confirm left {share}: {', '.join(less)}; {cure}."
    if space.design == "fixed":
        yield (
            f"With {len(space.seeds)} seeds, {SHARE:.0%} of studies find a difference of about "
            f"{_detectable(len(space.seeds)):.1f} standard deviations over seeds at best "
            f"({_detectable(SEEDS):.1f} with {SEEDS})."
        )


def _detectable(seeds: int) -> float:
    """Return the difference of two arms that a t test over their seeds finds, in their SD."""
    level, power = (float(scipy.stats.t.isf(p, 2 * (seeds - 1))) for p in (ALPHA / 2, 1 - SHARE))
    return (level + power) * math.sqrt(2 / seeds)
