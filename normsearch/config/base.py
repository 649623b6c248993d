"""Shared parts of the models: the frozen base class, bounded numbers, and names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from normsearch import limits
from normsearch.errors import did_you_mean, short

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Seed = Annotated[int, Field(ge=0, le=limits.SEED)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Samples = Annotated[int, Field(gt=0, le=limits.SAMPLES)]
Evaluations = Annotated[int, Field(gt=0, le=limits.EVALUATIONS)]
Points = Annotated[int, Field(ge=0, le=limits.EVALUATIONS)]
"""A number of evaluation points, or of trials to wait for; may be 0."""
BatchSize = Annotated[int, Field(gt=0, le=limits.BATCH_SIZE)]
LearningRate = Annotated[float, Field(ge=limits.LEARNING_RATE[0], le=limits.LEARNING_RATE[1])]
"""A learning rate, or a factor of one."""
WeightDecay = Annotated[float, Field(ge=0, le=limits.WEIGHT_DECAY)]
Side = Annotated[int, Field(gt=0, le=limits.SIDE)]
Trials = Annotated[int, Field(gt=0, le=limits.TRIALS)]
Number = Annotated[int, Field(ge=0, le=limits.TRIALS)]
"""The number of a trial, or a count of trials."""
Cores = Annotated[int, Field(gt=0, le=limits.CORES)]
LoaderWorkers = Annotated[int, Field(ge=0, le=limits.LOADER_WORKERS)]
Seconds = Annotated[float, Field(ge=0, le=limits.SECONDS)]
RunName = Annotated[str, AfterValidator(limits.check_run_name)]


class Listed(NamedTuple):
    """An entry of a registry: its import path, and a summary in one line."""

    path: str
    summary: str


_IMPORT_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_NUMBERS = re.compile(r"\b(int|float)\b")
_TRUTH = re.compile(r"\bbool\b|\bAny\b|Literal\[[^]]*False")


def _import_path(text: str) -> str:
    if _IMPORT_PATH.fullmatch(text):
        return text
    raise ValueError(
        f"must be an import path such as my_module:my_function, got {short(text)}; give a function "
        "by the name that it has in a module"
    )


ImportPath = Annotated[str, AfterValidator(_import_path)]
"""``module:name``, as in ``my_space:ask``."""


def one_of(names: Iterable[str], example: str) -> Callable[[str], str]:
    """Return a validator that accepts one of `names`, or ``module:name`` such as `example`."""
    known = list(names)

    def check(text: str) -> str:
        if text in known or _IMPORT_PATH.fullmatch(text):
            return text
        raise ValueError(
            f"must be one of {', '.join(known)}, or an import path such as {example}, got "
            f"{short(text)}.{did_you_mean(text, known)}"
        )

    return check


def text_as_name(value: object) -> object:
    """Read a bare name as a model of this name with default settings."""
    return {"name": value} if isinstance(value, str) else value


def _is_number(kind: str) -> bool:
    """Return whether an annotation, as text, is of numbers alone."""
    return bool(_NUMBERS.search(kind)) and not _TRUTH.search(kind)


class Model(BaseModel):
    """Base of the models: frozen, without unknown keys.

    The string below a field is the field's description.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_and_no_empty_text(cls, value: object, info: ValidationInfo) -> object:
        """Refuse true and false where a number is wanted, and texts of no characters.

        Models of other rooms are of files that normsearch writes, where a text may be empty.
        """
        if not cls.__module__.startswith("normsearch.config."):
            return value
        field = cls.model_fields[info.field_name or ""]
        listed = isinstance(value, list | tuple)
        for index, one in enumerate(value if isinstance(value, list | tuple) else [value]):
            fault = ""
            if isinstance(one, bool) and _is_number(repr(field.annotation)):
                fault = f"must be a number, got {str(one).lower()}; YAML reads yes and on as true"
            elif isinstance(one, str) and not one.strip() and value != field.default:
                fault = f"must not be an empty text, got {short(one)}"
            if fault:
                raise ItemError(index, fault) if listed else ValueError(fault)
        return value


def shared(config: BaseModel, record: type[DataclassInstance]) -> dict[str, Any]:
    """Return the values of a configuration for the fields of a data class, by equal names."""
    names = {field.name for field in fields(record)} & type(config).model_fields.keys()
    return {name: getattr(config, name) for name in names}


class ItemError(ValueError):
    """An error in one item of a value; `index` is the place of the item, for the message."""

    def __init__(self, index: int | str, message: str) -> None:
        super().__init__(message)
        self.index = index
