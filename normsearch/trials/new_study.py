"""`init_study`: writes the file of a study for a data set, with a reason for each setting."""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from normsearch.config import StudyConfig
from normsearch.config.reading import validate
from normsearch.config.yaml_file import parse_yaml
from normsearch.data import Report, Split, inspect
from normsearch.data.faults import refuse
from normsearch.errors import ConfigError, StudyError, count
from normsearch.files import is_there, user_path, write_text
from normsearch.trials.measured_task import measure_task
from normsearch.trials.patch_size import with_patch_size
from normsearch.trials.proposal import TRIALS, Line, nested, propose, replaced
from normsearch.trials.task import (
    check_foreground,
    data_folder,
    load_task,
    resolve_task,
    split_task,
)
from normsearch.trials.trial_time import TrialTime, time_trial

_GIB_CPU, _GIB_GPU = 2.0, 8.0  # of a training step; a GPU as in nnU-Net
_MANY = 12  # validation cases, of which not all are scored on the way
_SCORED = 8
_COLUMNS = 110
_BUSY = 1.5  # a measurement that other programs slowed by this factor is reported as such
_PLAIN = re.compile(r"[A-Za-z][\w.:/()=+-]*")


@dataclass(frozen=True)
class NewStudy:
    """A study that was proposed and written.

    Attributes:
        path: its file.
        config: its settings.
        lines: each setting with its reason.
        minutes: of a trial that is not stopped early, on this machine.
        cost: a sentence on the time of a trial and of the search.
    """

    path: Path
    config: StudyConfig
    lines: tuple[Line, ...]
    minutes: float
    cost: str


def init_study(
    data_set: str | Path,
    *,
    data: str | Path | None = None,
    name: str | None = None,
    output: str | Path | None = None,
    force: bool = False,
    minutes: float | None = None,
) -> NewStudy:
    """Propose a study for a data set, time it on this machine, and write its file.

    Args:
        data_set: its folder or manifest, absolute, or below `data`; or ``phantom``.
        data: the folder that holds the data sets.
        name: name of the study; that of the data set if None.
        output: the file; NAME.yaml in the working folder if None.
        force: whether a file that exists is overwritten.
        minutes: of a trial; the training samples are as many as fit. If None, a usual number.

    Raises:
        StudyError: the file exists, or the minutes are too few for a training.
        DataError: the data set cannot be used; all faults are named.
        ConfigError: the name or another setting is invalid.
    """
    named, base = _located(data_set, data)
    name = name or _name(named)
    path = user_path(output) if output else Path(f"{name}.yaml")
    if is_there(path) and not force:
        raise StudyError(
            f"{path}: must not exist, and does; choose another --output, or overwrite it by --force"
        )
    if minutes is not None and not minutes > 0:
        raise StudyError(f"--minutes: must be above 0, got {minutes:g}; give a trial more time")
    first = {"name": name, "task": {"data": named}, "space": _ANY_SPACE}
    task = validate(StudyConfig, first, f"init {named}").task
    report = inspect(data_folder(task, base))
    refuse(report.data_set.root, report.faults)
    lines = propose(report, name, named, gpu=torch.cuda.is_available())
    lines, split = _sized(lines, base)
    taken = time_trial(_config(lines), split)
    if minutes is not None:
        lines = _within(lines, taken, minutes)
    return _written(path, lines, taken, report)


_ANY_SPACE = {"norm": {"choices": ["BN"]}, "learning_rate": 0.1, "batch_size": 1}


def _located(data_set: str | Path, data: str | Path | None) -> tuple[str, Path | None]:
    """Return the value of ``task.data``, and the folder of the data sets.

    A path that is only there from the working folder becomes absolute, so that the study finds it.
    """
    base = Path(os.path.realpath(user_path(data))) if data else None
    own = user_path(data_set)
    if base and is_there(own) and not is_there(base / own) and own.name != base.name:
        return os.path.realpath(own), base
    return str(data_set), base


def _name(data_set: str) -> str:
    path = Path(os.path.realpath(user_path(data_set)))
    stem = path.parent.name if path.suffix in (".csv", ".tsv", ".json") else path.name
    return re.sub(r"[^A-Za-z0-9._-]+", "_", stem).strip("._-") or "study"


def _config(lines: Sequence[Line]) -> StudyConfig:
    given = nested(lines)
    return validate(StudyConfig, given, f"init {given['task']['data']}")


def _sized(lines: list[Line], data: Path | None) -> tuple[list[Line], Split]:
    """Return the lines with the size of patches and the cases that are scored, and the split."""
    config = _config(lines)
    task = measure_task(resolve_task(config.task, data), data)
    cases = load_task(task, data)
    split = split_task(task, cases)
    check_foreground(task, split.validation)
    if task.sample != "patch":
        return lines, split
    limit = _GIB_GPU if config.search.resources.gpu else _GIB_CPU
    task = validate(type(task), {**task.model_dump(), "memory": limit}, "task")
    found, _ = with_patch_size(config.model_copy(update={"task": task}), split.train)
    size = list(found.task.sides)
    why = f"the median image, or what {limit:g} GiB hold in a training step; as size: auto chooses"
    lines = replaced(lines, Line("task.size", size, why))
    if len(split.validation) > _MANY:
        why = f"each evaluation but the last scores so many of {len(split.validation)} cases"
        place = 1 + max(n for n, line in enumerate(lines) if line.key.startswith("task."))
        lines.insert(place, Line("task.validation_cases", _SCORED, why))
    return lines, split


def _within(lines: list[Line], taken: TrialTime, minutes: float) -> list[Line]:
    """Return the lines with as many training samples as fit into the minutes of a trial."""
    config = _config(lines)
    training = config.training
    samples = taken.samples(60 * minutes, training.evaluations)
    least = training.evaluations * max(config.space.batch_size.choices)  # type: ignore[union-attr]
    if samples < least:
        needed = taken.seconds(least, training.evaluations) / 60
        raise StudyError(
            f"--minutes: must be at least {needed:.2g} for {least} training samples and their "
            f"{training.evaluations} evaluations on this machine, got {minutes:g}; give a trial "
            "more time"
        )
    samples = _round_down(samples) if _round_down(samples) >= least else samples
    why = f"what fits into {minutes:g} minutes of a trial on this machine"
    return replaced(lines, Line("training.samples", samples, why))


def _round_down(number: int) -> int:
    """Return the number with two digits that are not 0.

    >>> _round_down(2468)
    2400
    """
    unit = 10 ** max(len(str(number)) - 2, 0)
    return int(number // unit * unit)


def _written(path: Path, lines: list[Line], taken: TrialTime, report: Report) -> NewStudy:
    config = _config(lines)
    training, trials = config.training, TRIALS
    seconds = taken.seconds(training.samples, training.evaluations)
    own = count(config.search.resources.cpu, "core")
    where = "this GPU" if config.search.resources.gpu else f"{own} of its own"
    cost = (
        f"about {_amount(seconds / 60)} minutes a trial on {where}, "
        f"{_amount(seconds * trials / 3600)} hours for {trials} trials one after another if none "
        f"stops early ({count(taken.steps, 'step')} with {taken.norm} timed on this machine)"
    )
    if taken.delay > _BUSY:
        cost += f"; other programs made it {_amount(taken.delay)} times as long just now"
    text = study_text(lines, [f"Proposed by normsearch init from {config.task.data}.", f"{cost}."])
    if parse_yaml(text) != json.loads(json.dumps(nested(lines))):
        raise ConfigError(f"{path}: must read back as it was proposed, and does not; report this")
    write_text(path, text)
    return NewStudy(path, config, tuple(lines), seconds / 60, cost)


def _amount(number: float) -> str:
    """Return a number with two digits.

    >>> _amount(134.2), _amount(0.0317)
    ('130', '0.032')
    """
    return f"{float(f'{number:.2g}'):g}"


def study_text(lines: Sequence[Line], head: Sequence[str]) -> str:
    """Return a study file with the reason of each setting as a comment.

    Args:
        lines: the settings, those of one parent one after another.
        head: sentences above them.
    """
    found = []
    for sentence in head:
        told = f"{sentence[0].upper()}{sentence[1:]}"
        found += [f"# {part}" for part in textwrap.wrap(told, _COLUMNS, break_on_hyphens=False)]
    parents: list[str] = []
    for line in lines:
        *above, last = line.key.split(".")
        for depth, parent in enumerate(above):
            if parents[: depth + 1] != above[: depth + 1]:
                found.append(f"{'  ' * depth}{parent}:")
                parents = above[: depth + 1]
        parents = above
        found += _setting(f"{'  ' * len(above)}{last}: {_value(line.value)}", line.reason)
    return "\n".join(found) + "\n"


def _setting(setting: str, reason: str) -> Iterator[str]:
    """Yield a setting with its reason beside it, or above it if both are too long for a line."""
    reason = " ".join(reason.split())
    if len(setting) + len(reason) + 5 > _COLUMNS:
        yield f"{' ' * (len(setting) - len(setting.lstrip()))}# {reason}"
        reason = ""
    yield f"{setting}   # {reason}" if reason else setting


def _value(value: Any) -> str:
    """Return a value in one line of YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and parse_yaml(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)
