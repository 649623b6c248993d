"""Preparation of a study: its checks, its data and its space."""

from __future__ import annotations

import os
import platform
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from normsearch.config import ArmsConfig, StudyConfig
from normsearch.config.task import OWN_DATA
from normsearch.data import Case, Split, folds_table
from normsearch.errors import ConfigError
from normsearch.files import user_path
from normsearch.norms import kernels_in_use
from normsearch.search.checks import build_space, check_search
from normsearch.search.jobs import trial_config
from normsearch.space.choice import Choice
from normsearch.space.interface import AnySpace
from normsearch.space.layered import Space
from normsearch.training import gpu_settings
from normsearch.trials.class_weights import class_weights
from normsearch.trials.measured_task import measure_task, preparation_text
from normsearch.trials.network_check import try_network
from normsearch.trials.network_memory import check_weights, enough_memory
from normsearch.trials.own_training import find_slots
from normsearch.trials.patch_size import with_patch_size
from normsearch.trials.task import (
    check_fingerprint,
    check_foreground,
    load_task,
    resolve_task,
    sample_shape,
    split_task,
    training_geometry,
)
from normsearch.trials.trial_time import with_precision
from normsearch.trials.trust import refuse_unseen_code
from normsearch.trials.validation_cost import check_seams, padding_text, validation_cost


@dataclass(frozen=True)
class PreparedStudy:
    """A study that has passed every check; runs are created only from prepared studies."""

    config: StudyConfig
    split: Split
    space: AnySpace
    data: Path | None
    cases: tuple[Case, ...]
    notes: tuple[str, ...] = ()
    """Sentences on what was chosen, and what it costs, to be told at the start."""

    @property
    def folds_table(self) -> str:
        """The folds.csv of folds that were made for the data set; empty without such."""
        return folds_table(self.cases) if self.config.task.folds else ""


_NO_CASES = Split((), (), ())


def prepare(
    config: StudyConfig,
    space_origin: str,
    data: Path | None,
    where: str,
    *,
    items: Sequence[Any] | None = None,
    trusted: bool = False,
    accept_changed: bool = False,
) -> PreparedStudy:
    """Read the data, build and try the network, and build the space on its slots.

    Args:
        config: the study.
        space_origin: prefix of its space's keys in messages.
        data: the folder of the data sets.
        where: name of the study in messages.
        items: the data set, if it is in memory; see `normsearch.data.in_memory.cases_of`.
        trusted: whether all code that it names may run; see `refuse_unseen_code`.
        accept_changed: whether to accept a network that differs from the recorded one.

    Raises:
        NormsearchError: the first check that fails.
    """
    if not trusted:
        refuse_unseen_code(config, where)
    data = Path(os.path.realpath(user_path(data))) if data else None
    if config.trainer and items is None and config.task.data == OWN_DATA:
        return _of_own_trainer(config, space_origin)
    if items is None:
        config = config.model_copy(update={"task": resolve_task(config.task, data)})
    in_turn = config.space.folds if isinstance(config.space, ArmsConfig) else ()
    task = measure_task(config.task, data, items, in_turn=in_turn)
    config = config.model_copy(update={"task": task})
    with enough_memory(f"{config.task.data}: its prepared images", "task.size"):
        cases = load_task(config.task, data, items)
    fingerprint = check_fingerprint(cases, config.fingerprint, where)
    split = _first_split(config, cases)
    config, notes = with_patch_size(config, split.train)
    facts: dict[str, Any] = {
        "fingerprint": fingerprint,
        "sample_shape": sample_shape(config.task, split.train),
        "geometry": training_geometry(split.train),
    }
    if config.trainer:
        return _of_own_trainer(config.model_copy(update=facts), space_origin, split, data, cases)
    check_foreground(config.task, split.validation)
    check_seams(config, split.validation)
    with enough_memory(f"network: {config.network.name}", "network.first_channels or task.size"):
        check_weights(config, facts["sample_shape"][0])
        network = try_network(config, split, where, accept_changed=accept_changed)
    facts["network_digest"] = network.digest
    config, told = with_precision(config, split)
    notes += told
    if not (isinstance(config.space, ArmsConfig) and config.space.folds):  # else each its own
        weights = class_weights(config.training, config.task, split.train)
        facts["training"] = config.training.model_copy(update={"class_weights": weights})
    space = build_space(config.space, network.slots, space_origin)
    notes += _notes(config, split, cases)
    return _checked(config.model_copy(update=facts), split, space, data, cases, notes)


def _of_own_trainer(
    config: StudyConfig,
    origin: str,
    split: Split = _NO_CASES,
    data: Path | None = None,
    cases: Sequence[Case] = (),
) -> PreparedStudy:
    """Prepare a study with the user's trainer, on the slots of the network that it builds."""
    example = Choice(norm_map={}, learning_rate=1e-3, batch_size=1)
    with tempfile.TemporaryDirectory() as folder:
        slots = find_slots(trial_config(config, 0, example, None), split, Path(folder))
    if not slots:
        raise ConfigError(
            f"trainer: {config.trainer} must place norms on a network with norm slots, and its "
            "network has none."
        )
    return _checked(config, split, build_space(config.space, slots, origin), data, cases)


def _checked(
    config: StudyConfig,
    split: Split,
    space: AnySpace,
    data: Path | None,
    cases: Sequence[Case],
    notes: Sequence[str] = (),
) -> PreparedStudy:
    check_search(config, space)
    _warn_of_single_norms(space)
    gpu = config.search.resources.gpu
    config = config.model_copy(update={"versions": config.versions or versions(gpu=bool(gpu))})
    return PreparedStudy(config, split, space, data, tuple(cases), tuple(notes))


def _notes(config: StudyConfig, split: Split, cases: Sequence[Case]) -> list[str]:
    """Return sentences on what is done to the cases, and on the cost of validation."""
    notes = preparation_text(config.task, cases)
    if config.task.folds:
        subjects = Counter(fold for _, fold in {(case.subject, case.fold) for case in cases})
        sizes = ", ".join(str(subjects[fold]) for fold in sorted(subjects, key=int))
        told = f"task.folds made {len(subjects)} folds of {sizes} subjects"
        notes.append(f"{told}; folds.csv in the run's folder lists them")
    if config.task.sample == "patch":
        notes += filter(None, (padding_text(config, split), validation_cost(config, split)))
    return notes


def _warn_of_single_norms(space: AnySpace) -> None:
    """Warn about norms that are not single norms, and single norms that differ between slots."""
    if not isinstance(space, Space):
        return
    for norm, slots in space.substitutes().items():
        placed = ", ".join(f"{spec} in {slot}" for slot, spec in list(slots.items())[:3])
        more = f" and {len(slots) - 3} more slots" if len(slots) > 3 else ""
        told = f"{norm} as a single norm does not fit every slot; the nearest norm replaces it"
        warnings.warn(f"{told}: {placed}{more}.", stacklevel=2)
    for norm, reason in space.missing_single_norms().items():
        told = f"{norm} is not compared as a single norm: {reason}."
        warnings.warn(told, stacklevel=2)


def _first_split(config: StudyConfig, cases: list[Case]) -> Split:
    """Return the study's split; for arms with several folds, that of the first."""
    folds = config.space.folds if isinstance(config.space, ArmsConfig) else ()
    tasks = [config.task.model_copy(update={"test_folds": (fold,)}) for fold in folds]
    splits = [split_task(task, cases) for task in tasks or [config.task]]
    return splits[0]


def versions(*, gpu: bool = False) -> dict[str, str]:
    """Return the versions of the packages that a run depends on, and the kernels in use.

    With `gpu` also those of CUDA and cuDNN, and torch's settings on which their rounding depends.
    """
    names = ("normsearch", "torch", "optuna", "ray", "numpy", "pynrrd")
    found = {"python": platform.python_version(), **{name: version(name) for name in names}}
    found["kernels"] = kernels_in_use()  # compiled now, before the workers need them
    return {**found, **gpu_settings()} if gpu else found
