"""Published findings as registered experiments: YAML files in studies/findings, typed and hashed.

An experiment says everything before it runs: what is trained (parts, each an ordinary study), how
large at each scale, and what each statement's judge will look at. What it says is what counts: the
SHA-256 of it stands in each result.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from normsearch.config import ItemError, Model
from normsearch.config.reading import validate
from normsearch.config.yaml_file import read_yaml
from normsearch.errors import ConfigError, did_you_mean
from normsearch.files import shipped

TAKES = ("best", "argmax")
SCALES = ("toy", "small", "paper")
Scale = Literal["toy", "small", "paper"]
_ORDER = "SIGPZB"  # first letters of findings, one a source


def _one_or_more(value: object) -> object:
    """Read one mapping as a list of one."""
    return [value] if isinstance(value, dict) else value


class Part(Model):
    """One study of an experiment: fixed trainings, or a search.

    Fixed trainings are `arms` as in a study's space, and each `grid`: keys of an arm with one value
    or a list of them, of which every combination is an arm
    (`normsearch.findings.experiment_plan`).
    With `rates_from` the learning rate of each norm on each fold is the one that scored best in
    that earlier part. `found` adds arms, name -> {part, take}: the ``best`` trial of an earlier
    search, or the ``argmax`` of the weights that an earlier part learnt. A search has `space` and
    `search` in place of arms, and a `replay` reads recorded trainings.
    """

    task: dict[str, Any] = Field(default_factory=dict)
    network: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    grid: Annotated[tuple[dict[str, Any], ...], BeforeValidator(_one_or_more)] = ()
    arms: tuple[dict[str, Any], ...] = ()
    found: dict[str, dict[str, str]] = Field(default_factory=dict)
    rates_from: str | None = None
    seeds: int | tuple[int, ...] = 1
    folds: Annotated[
        tuple[str, ...],
        BeforeValidator(lambda v: tuple(map(str, v)) if isinstance(v, list | tuple) else v),
    ] = ()
    space: dict[str, Any] | str | None = None
    search: dict[str, Any] = Field(default_factory=dict)
    replay: dict[str, Any] | None = None

    @field_validator("found")
    @classmethod
    def _known_takes(cls, found: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        for name, arm in found.items():
            if "part" not in arm or arm.get("take") not in TAKES:
                raise ItemError(
                    name, f"must name a part, and take {' or '.join(TAKES)}, got {arm!r:.100}"
                )
        return found

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [bool(self.arms or self.grid or self.found), self.space is not None]
        if sum([*kinds, self.replay is not None]) != 1:
            raise ValueError("a part must have either arms (or grid, found), a space, or a replay")
        return self

    @property
    def needs(self) -> tuple[str, ...]:
        """The earlier parts whose outcome this one takes up."""
        rates = [self.rates_from] if self.rates_from else []
        return tuple(dict.fromkeys([*rates, *(found["part"] for found in self.found.values())]))


class Statement(Model):
    """One published statement: how it is measured, in which direction, judged how.

    `paper` is what was published, in short; `judge` a name in `JUDGES` and `arguments` what it is
    given beside the measurements.
    """

    text: str
    metric: str
    direction: str
    paper: str
    judge: str
    arguments: dict[str, Any] = Field(default_factory=dict)

    @property
    def _looks(self) -> list[dict[str, Any]]:
        return [{"judge": self.judge, **self.arguments}, *self.arguments.get("of_each", [])]

    @field_validator("arguments")
    @classmethod
    def _looks_are_mappings(cls, value: dict[str, Any]) -> dict[str, Any]:
        looks = value.get("of_each", [])
        if not isinstance(looks, list) or not all(
            isinstance(look, dict) and "judge" in look for look in looks
        ):
            raise ValueError(f"of_each must be a list of mappings with a judge, got {looks!r:.100}")
        if not all(isinstance(look.get("part", ""), str) for look in [value, *looks]):
            raise ValueError("part must be the name of a part")
        return value

    @property
    def judges(self) -> tuple[str, ...]:
        """The judges, one or several in turn."""
        return tuple(str(look["judge"]) for look in self._looks)

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that its arguments name."""
        return tuple(dict.fromkeys(look["part"] for look in self._looks if "part" in look))


class Experiment(Model):
    """What is trained to judge the statements of one source, at each scale.

    `scales` gives for each scale what is otherwise there than in the file, by dotted places:
    ``studies.main.seeds: 5``.
    """

    name: str
    source: str
    notes: str = ""
    studies: Annotated[dict[str, Part], Field(min_length=1)]
    scales: dict[Scale, dict[str, Any]]
    statements: Annotated[dict[str, Statement], Field(min_length=1)]

    @model_validator(mode="after")
    def _judges_and_parts_are_known(self) -> Self:
        from normsearch.findings.judges import JUDGES

        earlier: list[str] = []
        for name, part in self.studies.items():
            for need in part.needs:
                if need not in earlier:
                    raise ItemError(f"studies.{name}", f"must come after the part {need!r}")
            earlier.append(name)
        for key, statement in self.statements.items():
            self._check_statement(f"statements.{key}", statement, JUDGES)
        return self

    def _check_statement(self, place: str, statement: Statement, judges: Iterable[str]) -> None:
        known = list(judges)
        for judge in statement.judges:
            if judge not in known:
                hint = did_you_mean(judge, known)
                told = f"must be one of {', '.join(known)}, got {judge!r}.{hint}"
                raise ItemError(f"{place}.judge", told)
        for part in statement.parts:
            if part not in self.studies:
                raise ItemError(f"{place}.arguments.part", f"must be a part, got {part!r}")

    @property
    def sha256(self) -> str:
        """SHA-256 of everything that is registered."""
        return digest(self.model_dump(mode="json"))

    def parts_of(self, finding: str) -> dict[str, Part]:
        """Return the parts that the judge of a statement looks at, and what those need, in order.

        A statement whose arguments name no part looks at all.
        """
        needed = set(self.statements[finding].parts) or set(self.studies)
        for name in reversed(self.studies):
            if name in needed:
                needed |= set(self.studies[name].needs)
        return {name: part for name, part in self.studies.items() if name in needed}


def digest(value: Any) -> str:
    """Return the SHA-256 of a plain value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def experiment_files() -> list[Path]:
    """Return the registered experiments, those of the working folder's own studies/ first."""
    folders = dict.fromkeys([Path("studies/findings").resolve(), shipped("studies") / "findings"])
    files: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.yaml")):
            files.setdefault(path.stem, path)
    return list(files.values())


def read_experiment(path: Path, scale: str) -> Experiment:
    """Return the experiment of a file at one scale.

    `common` in the file is task, network, training and search of every part, where the part does
    not say otherwise.

    Raises:
        ConfigError: no such file, or something in it that must not be.
    """
    raw = read_yaml(path)
    changes = dict(_mapping(_mapping(raw, "scales", path), scale, f"{path}: scales"))
    changed = json.loads(json.dumps(raw))  # a copy in which no two places share a value
    for place, value in changes.items():
        _put(changed, place, value, f"{path}: scales.{scale}")
    common = _mapping(changed, "common", path)
    changed.pop("common", None)
    studies = _mapping(changed, "studies", path)
    for name in studies:
        part = _mapping(studies, name, f"{path}: studies")
        for key in common if "replay" not in part else ():
            own = _mapping(part, key, f"{path}: studies.{name}")
            part[key] = {**_mapping(common, key, f"{path}: common"), **own}
    changed["scales"] = {scale: changes}
    changed.setdefault("name", path.stem)
    return validate(Experiment, changed, str(path))


def find_experiment(finding: str, scale: str) -> tuple[Experiment, Path]:
    """Return the experiment that holds a finding, at one scale.

    Raises:
        ConfigError: there is no such finding.
    """
    known: list[str] = []
    if scale not in SCALES:
        raise ConfigError(
            f"--scale: must be one of {', '.join(SCALES)}, got {scale!r}."
            + did_you_mean(scale, SCALES)
        )
    for path in experiment_files():
        names = list(_mapping(read_yaml(path), "statements", path))
        if finding.upper() in names:
            return read_experiment(path, scale), path
        known += names
    raise ConfigError(
        f"finding: must be one of {', '.join(known)}, got {finding!r}."
        + did_you_mean(finding, known)
    )


def all_statements() -> Mapping[str, tuple[Path, Statement]]:
    """Return every finding's file and its statement, as written for the toy scale."""
    found: dict[str, tuple[Path, Statement]] = {}
    for path in experiment_files():
        statements = read_experiment(path, "toy").statements
        found |= {name: (path, statement) for name, statement in statements.items()}
    return dict(sorted(found.items(), key=lambda item: _place(item[0])))


def _place(finding: str) -> tuple[int, str]:
    """Where a finding stands in a list: by source, then by number."""
    return (_ORDER + finding[0]).index(finding[0]), finding


def _mapping(raw: Mapping[str, Any], key: str, origin: object) -> dict[str, Any]:
    """Return what stands under a key, empty where nothing does."""
    found = raw.get(key)
    if found is not None and not isinstance(found, dict):
        raise ConfigError(f"{origin}: {key}: must be a mapping of keys, got {found!r:.100}.")
    return found or {}


def _put(raw: dict[str, Any], place: str, value: Any, origin: str) -> None:
    *parents, last = place.split(".")
    target: Any = raw
    for parent in parents:
        if isinstance(target, list) and parent.isdigit() and int(parent) < len(target):
            target = target[int(parent)]
        elif isinstance(target, dict):
            target = target.setdefault(parent, {})
        else:
            raise ConfigError(f"{origin}: {place}: there is no {parent} to change.")
    if isinstance(target, list) and last.isdigit() and int(last) < len(target):
        target[int(last)] = value
    elif isinstance(target, dict):
        target[last] = value
    else:
        raise ConfigError(f"{origin}: {place}: there is no {last} to change.")
