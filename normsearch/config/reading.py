"""Reading of studies, spaces and trials; each error is one sentence with place and cure."""

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
from normsearch.errors import ConfigError, did_you_mean, one_line, short
from normsearch.files import find_yaml
from normsearch.files.json_file import read_object

AnyModel = TypeVar("AnyModel", bound=Model)
Part = str | Mapping[str, Any] | Model | None
"""A part of a study in Python: its keys and values, its model, or a text."""

# The keys of a space decide its kind, so errors are those of this model only.
_SPACE_MODELS: dict[object, type[Model]] = {
    PYTHON_SPACE: PythonSpaceConfig,
    ARMS: ArmsConfig,
    YAML_SPACE: SpaceConfig,
}


def read_study(text: str, overrides: Iterable[str] = ()) -> tuple[StudyConfig, str]:
    """Return the study of a YAML file, and the prefix of its space's keys in messages.

    The prefix is ``studies/lv.yaml: space.`` or ``search_spaces/per_layer.yaml: ``. A `space` given
    as text is the path (also relative to the study) or the name of a space file.

    Args:
        text: the file's path, or the name of a study of the library.
        overrides: texts ``key.key=value``, with the value in YAML.

    Raises:
        ConfigError: there is no such file, it is not YAML, or a key or value is invalid.
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
        validate(_SPACE_MODELS[space_kind(raw["space"])], raw["space"], str(space_path))
    return validate(StudyConfig, raw, str(path)), space_origin


def keys_of(part: Any, *, of_text: str = "") -> Any:
    """Return a part of a study as keys and values; a text becomes the value of key `of_text`."""
    if isinstance(part, str):
        return {of_text: part} if of_text else part  # `validate` refuses a text without a key
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
        name: name of the study.
        trainer: ``module:function`` of the user's training loop.
        task: keys and values, a model, or only the data set.
        network: keys and values, a model, or its name.
        training: keys and values, or a model.
        space: keys and values, a model, or the name of a space file.
        search: keys and values, or a model.

    Raises:
        ConfigError: a key or value is invalid.
    """
    raw = {
        "name": name,
        "trainer": trainer,
        "task": keys_of(task, of_text="data"),
        "network": keys_of(network, of_text="name"),
        "training": keys_of(training),
        "space": read_space({} if space is None else keys_of(space)),
        "search": keys_of(search),
    }
    given = {key: value for key, value in raw.items() if value is not None}
    return validate(StudyConfig, given, f"Study({name!r})")


def read_space(space: Any) -> Any:
    """Return a space as keys and values, given as such or by path or name of a space file."""
    if not isinstance(space, str):
        return space  # `validate` refuses what is no mapping
    path = find_yaml(space, "search_spaces")
    raw = read_yaml(path)
    validate(_SPACE_MODELS[space_kind(raw)], raw, str(path))
    return raw


def read_recorded_study(folder: Path) -> StudyConfig:
    """Return the resolved study in a run's folder."""
    path = folder / "study.yaml"
    return validate(StudyConfig, read_yaml(path), str(path))


def amend_search(study: StudyConfig, overrides: Iterable[str]) -> StudyConfig:
    """Return `study` with ``search.key=value`` texts applied.

    Raises:
        ConfigError: a key is not of `search`, or a key or value is invalid.
    """
    raw = plain(study)
    for override in overrides:
        if not override.startswith("search."):
            raise ConfigError(
                f"--set {override}: must be a key of search, such as search.workers=4; task, "
                "network, training and space of a run cannot change."
            )
        _override(raw, override)
    return validate(StudyConfig, raw, "--set")


def read_trial(path: Path) -> TrialConfig:
    """Return the trial of a trial.json.

    Raises:
        ConfigError: there is no such file, or it is not JSON of a complete trial.
    """
    return read_model_file(TrialConfig, path)


def read_model_file(model: type[AnyModel], path: Path) -> AnyModel:
    """Return the model of a JSON file that normsearch wrote.

    Raises:
        ConfigError: there is no such file, it is not JSON, or a key or value is invalid.
    """
    return validate(model, read_object(path), str(path))


def validate(model: type[AnyModel], raw: Mapping[str, Any], origin: str) -> AnyModel:
    """Return `raw` as `model`.

    Raises:
        ConfigError: the first error, as ``ORIGIN: KEY: what must hold, what was given, cure``.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first, *others = _faults(error)
        more = f" ({len(others)} more error{'s' * (len(others) > 1)}.)" if others else ""
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
            f"--set {key}: the value must be valid YAML, got {short(value)} ({error})."
        ) from None


def _faults(error: ValidationError) -> list[dict[str, Any]]:
    """Return one error for each value; of a union, the error of the branch of its type.

    Unknown keys come first: a misspelt key is why a required one is missing.
    """
    found: dict[tuple[int | str, ...], dict[str, Any]] = {}
    for fault in error.errors():
        tags = [index for index, part in enumerate(fault["loc"]) if _is_branch(part)]
        place = fault["loc"][: tags[0]] if tags else fault["loc"]
        known = found.get(place)
        of_text = known is not None and known["type"] in ("literal_error", "string_type")
        if known is None or (of_text and isinstance(known["input"], list)):
            found[place] = dict(fault)
    return sorted(found.values(), key=lambda fault: fault["type"] != "extra_forbidden")


def _is_branch(part: int | str) -> bool:
    """Whether a part of a location is pydantic's name of a branch, such as ``tuple[int,int]``."""
    return (
        isinstance(part, str)
        and part not in _SPACE_MODELS
        and re.fullmatch(r"[a-z-]+\[.*\]", part) is not None
    )


def _sentence(model: type[BaseModel], error: dict[str, Any]) -> str:
    location = [part for part in error["loc"] if not _is_branch(part) and part not in _SPACE_MODELS]
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, ItemError):
        location.append(cause.index)
    parts = (f"[{part}]" if isinstance(part, int) else f".{one_line(part)}" for part in location)
    where = "".join(parts)
    fault = _fault(model, error, cause)
    return f"{where.lstrip('.')}: {fault}" if where else fault


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
        return f"must be one of {', '.join(known)}, got {short(given)}.{hint}"
    if cause is not None:
        return f"{str(cause).rstrip('.')}." if "Did you mean" not in str(cause) else str(cause)
    if kind == "model_type":
        return f"must be a mapping of keys, got {short(given)}."
    message = re.sub(r"^\w+ should", "must", error["msg"]).replace("valid tuple", "list")
    return f"{message.removesuffix(' after validation, not 0')}, got {short(given)}."


def _model_at(model: type[BaseModel], location: Iterable[object]) -> type[BaseModel]:
    for part in location:
        if part in _SPACE_MODELS:
            model = _SPACE_MODELS[part]
        elif isinstance(part, str) and part in model.model_fields:
            annotation = model.model_fields[part].annotation
            for candidate in (annotation, *get_args(annotation)):
                if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                    model = candidate
    return model
