"""Reading the YAML and JSON files a user writes; every fault becomes one sentence that helps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from normsearch.config import (
    ArmsConfig,
    ItemError,
    Model,
    PythonSpaceConfig,
    SpaceConfig,
    StudyConfig,
    TrialConfig,
    plain,
)
from normsearch.config.space import ARMS, PYTHON_SPACE, YAML_SPACE, space_kind
from normsearch.config.yaml_file import parse_yaml, read_yaml
from normsearch.errors import ConfigError, did_you_mean, one_line
from normsearch.files import find_yaml
from normsearch.files.json_file import read_object

AnyModel = TypeVar("AnyModel", bound=Model)
Part = str | Mapping[str, Any] | Model | None
"""A part of a study in Python: its keys and values, its model, or one text."""

_SHOWN = 200  # characters of a value in a message

# The branch of a space that its keys pick: no guess, so all its faults are told.
_PICKED: dict[object, type[Model]] = {
    PYTHON_SPACE: PythonSpaceConfig,
    ARMS: ArmsConfig,
    YAML_SPACE: SpaceConfig,
}


def read_study(text: str, overrides: Iterable[str] = ()) -> tuple[StudyConfig, str]:
    """Return the study of a YAML file (a path, or the name of a shipped one).

    With it comes what stands before a key of its space in messages: ``studies/lv.yaml: space.`` or
    ``search_spaces/per_layer.yaml: ``.

    `overrides` are ``key.key=value`` texts, the value in YAML. A `space` given as text is the path
    (also relative to the study) or the name of a space file.

    Raises:
        ConfigError: no such file, not YAML, or something in it that must not be.
    """
    path = find_yaml(text, "studies")
    raw = read_yaml(path)
    for override in overrides:
        _override(raw, override)
    space_origin = f"{path}: space."
    if isinstance(space := raw.get("space"), str):
        space_path = find_yaml(space, "search_spaces", near=path)
        raw["space"] = read_yaml(space_path)
        space_origin = f"{space_path}: "
        validate(_PICKED[space_kind(raw["space"])], raw["space"], str(space_path))
    return validate(StudyConfig, raw, str(path)), space_origin


def keys_of(part: Any, *, of_text: str = "") -> Any:
    """Return a part of a study as keys and values; a text is the value of the key `of_text`."""
    if isinstance(part, str):
        return {of_text: part}
    if isinstance(part, Model):
        return plain(part)
    return dict(part) if isinstance(part, Mapping) else part  # `validate` refuses other types


def study_of(
    name: str,
    trainer: str | None,
    *,
    task: Part,
    network: Part,
    training: Part,
    space: Part,
    search: Part,
) -> StudyConfig:
    """Return the study of parts given in Python.

    Args:
        name: of the study.
        trainer: the ``module:function`` of a training loop of the user's own.
        task: keys and values, a model, or the data set alone.
        network: keys and values, a model, or its name.
        training: keys and values or a model.
        space: likewise, or the name of a space file.
        search: likewise.

    Raises:
        ConfigError: a key or value that a study file must not hold either.
    """
    raw = {
        "name": name,
        "trainer": trainer,
        "task": keys_of(task, of_text="data"),
        "network": keys_of(network, of_text="name"),
        "training": keys_of(training),
        "space": read_space(space if isinstance(space, str) else keys_of(space) or {}),
        "search": keys_of(search),
    }
    given = {key: value for key, value in raw.items() if value is not None}
    return validate(StudyConfig, given, f"Study({name!r})")


def read_space(space: dict[str, Any] | str) -> dict[str, Any]:
    """Return a space as written in place, or that of a space file or a shipped one by name."""
    if isinstance(space, dict):
        return space
    path = find_yaml(space, "search_spaces")
    raw = read_yaml(path)
    validate(_PICKED[space_kind(raw)], raw, str(path))
    return raw


def read_recorded_study(folder: Path) -> StudyConfig:
    """Return the resolved study that a run keeps in its folder."""
    path = folder / "study.yaml"
    return validate(StudyConfig, read_yaml(path), str(path))


def amend_search(study: StudyConfig, overrides: Iterable[str]) -> StudyConfig:
    """Return `study` with ``search.key=value`` texts applied; the rest stays as it began.

    Raises:
        ConfigError: a key is of another part of the study, or wrong.
    """
    raw = plain(study)
    for override in overrides:
        if not override.startswith("search."):
            raise ConfigError(
                f"--set {override}: must be a key of search (such as search.workers=4); what is "
                "trained, and on what, stays as the study began."
            )
        _override(raw, override)
    return validate(StudyConfig, raw, "--set")


def read_trial(path: Path) -> TrialConfig:
    """Return the trial of a trial.json.

    Raises:
        ConfigError: no such file, not JSON, or not a whole trial.
    """
    return read_model_file(TrialConfig, path)


def read_model_file(model: type[AnyModel], path: Path) -> AnyModel:
    """Return the model of a JSON file that this program wrote.

    Raises:
        ConfigError: no such file, not JSON, or something in it that must not be.
    """
    return validate(model, read_object(path), str(path))


def validate(model: type[AnyModel], raw: Mapping[str, Any], origin: str) -> AnyModel:
    """Return `raw` as `model`.

    Raises:
        ConfigError: the first fault as ``ORIGIN: KEY: what must hold, what came, likely cure``.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first, *others = _faults(error)
        more = f" ({len(others)} more to mend.)" if others else ""
        raise ConfigError(f"{origin}: {_sentence(model, first)}{more}") from None


def _override(raw: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(f"--set {text}: must be key=value, such as search.trials=20.")
    *parents, last = key.split(".")
    for parent in parents:
        raw = raw.setdefault(parent, {})
        if not isinstance(raw, dict):
            raise ConfigError(f"--set {text}: {parent} must be a mapping to hold {last}.")
    try:
        raw[last] = parse_yaml(value)
    except ValueError as error:
        raise ConfigError(
            f"--set {key}: the value must be valid YAML, got {_shown(value)} ({error})."
        ) from None


def _faults(error: ValidationError) -> list[dict[str, Any]]:
    """Return one fault a value; of the branches of a union, the one that is of the value's kind."""
    found: dict[tuple[int | str, ...], dict[str, Any]] = {}
    for fault in error.errors():
        tags = [index for index, part in enumerate(fault["loc"]) if _is_branch(part)]
        place = fault["loc"][: tags[0]] if tags else fault["loc"]
        known = found.get(place)
        of_text = known is not None and known["type"] in ("literal_error", "string_type")
        if known is None or (of_text and isinstance(known["input"], list)):
            found[place] = dict(fault)
    return list(found.values())


def _is_branch(part: int | str) -> bool:
    """Tell whether a part of a location is pydantic's name for a branch, as ``tuple[int,int]``."""
    return (
        isinstance(part, str)
        and part not in _PICKED
        and re.fullmatch(r"[a-z-]+\[.*\]", part) is not None
    )


def _sentence(model: type[BaseModel], error: dict[str, Any]) -> str:
    location = [part for part in error["loc"] if not _is_branch(part) and part not in _PICKED]
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, ItemError):
        location.append(cause.index)
    parts = (f"[{part}]" if isinstance(part, int) else f".{one_line(part)}" for part in location)
    where = "".join(parts)
    fault = _fault(model, error, cause)
    return f"{where.lstrip('.')}: {fault}" if where else fault


def _shown(value: object) -> str:
    """Return a value as Python writes it, cut short where it is long."""
    told = repr(value)
    return told if len(told) <= _SHOWN else f"{told[:_SHOWN]}..."


def _fault(model: type[BaseModel], error: dict[str, Any], cause: object) -> str:
    kind, given = error["type"], error["input"]
    if kind == "extra_forbidden":
        known = list(_model_at(model, error["loc"][:-1]).model_fields)
        hint = did_you_mean(str(error["loc"][-1]), known)
        return f"unknown key, must be one of {', '.join(known)}.{hint}"
    if kind == "missing":
        return "must be given, and is not."
    if kind == "literal_error":
        known = [
            part.strip("'") for part in error["ctx"]["expected"].replace(" or ", ", ").split(", ")
        ]
        hint = did_you_mean(str(given), known)
        return f"must be one of {', '.join(known)}, got {_shown(given)}.{hint}"
    if cause is not None:
        return f"{str(cause).rstrip('.')}." if "Did you mean" not in str(cause) else str(cause)
    if kind == "model_type":
        return f"must be a mapping of keys, got {_shown(given)}."
    message = re.sub(r"^\w+ should", "must", error["msg"]).replace("valid tuple", "list")
    return f"{message.removesuffix(' after validation, not 0')}, got {_shown(given)}."


def _model_at(model: type[BaseModel], location: Iterable[object]) -> type[BaseModel]:
    for part in location:
        if part in _PICKED:
            model = _PICKED[part]
        elif isinstance(part, str) and part in model.model_fields:
            annotation = model.model_fields[part].annotation
            for candidate in (annotation, *get_args(annotation)):
                if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                    model = candidate
    return model
