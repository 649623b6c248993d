"""Checks of a search, made before its run is created."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.trial import TrialState

from normsearch.config import (
    AnySpaceConfig,
    ArmsConfig,
    Point,
    PythonSpaceConfig,
    SearchConfig,
    StudyConfig,
)
from normsearch.config.reading import read_recorded_study
from normsearch.errors import ConfigError, StudyError
from normsearch.networks import NormSlot
from normsearch.samplers.pruners import build_pruner
from normsearch.samplers.registry import build_sampler
from normsearch.search.identity import check_identity, identity, record_network
from normsearch.search.supernet import mixable
from normsearch.space.arms import ArmsSpace
from normsearch.space.initial_trials import initial_trials, paper_points, warm_start_points
from normsearch.space.interface import AnySpace
from normsearch.space.layered import Space
from normsearch.space.python_space import PythonSpace
from normsearch.storage.opening import open_storage, refuse_taken, retrying
from normsearch.storage.optuna_access import storage_of
from normsearch.storage.records import StudyRecord
from normsearch.storage.remote_checkpoints import RemoteCheckpoints
from normsearch.storage.run_folder import find_run


def build_space(config: AnySpaceConfig, slots: Sequence[NormSlot], origin: str) -> AnySpace:
    """Return the space of a study on a network's slots; see `Space`, `PythonSpace`, `ArmsSpace`."""
    if isinstance(config, ArmsConfig):
        return ArmsSpace(config, slots, origin)
    if isinstance(config, PythonSpaceConfig):
        return PythonSpace(config, slots, origin)
    return Space(config, slots, origin)


def check_search(config: StudyConfig, space: AnySpace) -> None:
    """Raise ConfigError unless sampler, pruner and initial trials fit the space."""
    build_sampler(config.search, space, seed=0)
    build_pruner(config.search.pruner, config.training.evaluations)
    initial_trials(config.search, space)
    if config.search.method == "supernet":
        mixable(space)


def check_reachable(config: StudyConfig, storage: str | None) -> None:
    """Raise StudyError unless a new run's storage and checkpoints are usable.

    The storage must hold no study of the run's name.
    """
    refuse_taken(config.name, storage)
    if config.search.checkpoints:
        RemoteCheckpoints(config.search.checkpoints, config.name)


def check_storage(
    config: StudyConfig, folder: Path, url: str | None, *, accept_changed: bool = False
) -> None:
    """Raise StudyError if a run's storage cannot be opened, or holds another run of its name.

    Or if the run began with other constraints. With `accept_changed` the storage records the
    network as it is now.
    """
    known = read_recorded_study(folder).search.constraints
    if known != config.search.constraints:
        told = ", ".join(f"{name} {limit:g}" for name, limit in known.limits.items()) or "none"
        raise StudyError(
            f"{config.name}: search.constraints must stay as they were at the start of the run "
            f"({told}), since its trials were judged by them; start a new run, with "
            f"search.warm_start: {config.name}."
        )
    if study := _stored(config.name, folder, url):
        if accept_changed:
            retrying(record_network, study, config)
        check_identity(study, config)


def discard_unbegun(config: StudyConfig, folder: Path, url: str | None) -> None:
    """Delete a run without started trials, so that the corrected command can create it.

    Its study in a database is deleted too, unless it belongs to another run of the same name.

    Raises:
        StudyError: the database does not answer; the run's folder is then kept.
    """
    if any((folder / "trials").glob("*")):
        return
    study = _stored(config.name, folder, url) if url else None
    if study and study.user_attrs.get("identity") == identity(config):
        if any(trial.state != TrialState.WAITING for trial in study.get_trials(deepcopy=False)):
            return
        retrying(optuna.delete_study, study_name=config.name, storage=storage_of(study))
    shutil.rmtree(folder, ignore_errors=True)


def _stored(name: str, folder: Path, url: str | None) -> optuna.Study | None:
    storage = retrying(open_storage, folder, url)
    if name not in retrying(optuna.get_all_study_names, storage):
        return None
    return retrying(optuna.load_study, study_name=name, storage=storage)


def with_initial_trials(search: SearchConfig, space: AnySpace, runs: Path) -> SearchConfig:
    """Return `search` with the configurations of `papers` and `warm_start` among its `points`.

    The run's study.yaml is then complete without the other run. Configurations that do not fit
    the space are left out with a warning.

    Raises:
        ConfigError: the space is in Python, or no configuration of the other run fits.
        StudyError: there is no such run below `runs`.
    """
    if not search.papers and search.warm_start is None:
        return search
    if not isinstance(space, Space):
        raise ConfigError(
            "search: papers and warm_start need a space in YAML, got one in Python; "
            "let its function suggest them first."
        )
    points: list[Point] = [*search.points, *(paper_points(space) if search.papers else [])]
    if search.warm_start is not None:
        points += _warm(search.warm_start, search.warm_start_top, space, runs)
    return search.model_copy(update={"points": tuple(points)})


def _warm(name: str, top: int, space: Space, runs: Path) -> list[Point]:
    record = StudyRecord(find_run(name, runs))
    best = [(n, record.norm_map(n), record.values(n)) for n in record.ranked()[:top]]
    points, reasons = warm_start_points(space, record.name, best)
    if not points:
        why = reasons[0] if reasons else "it has no COMPLETE trial."
        raise ConfigError(f"search.warm_start: {name} must have a trial that fits: {why}")
    if reasons:
        warnings.warn(
            f"{len(reasons)} of {len(reasons) + len(points)} trials of {name} do not fit this "
            f"space and are left out: {reasons[0]}",
            stacklevel=2,
        )
    return points
