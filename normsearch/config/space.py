"""The space of a study as typed models: what a trial may choose."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    create_model,
    field_validator,
    model_validator,
)

from normsearch.config.arms import ArmsConfig
from normsearch.config.base import ImportPath, ItemError, Model
from normsearch.config.hyperparameters import fields_of_a_space
from normsearch.errors import NormError
from normsearch.norms import NormSpec
from normsearch.norms.options import MOST as MOST_GROUPS


def _none_is_a_norm(value: object) -> object:
    # YAML reads a bare ~ or null as None; people mean the norm called none.
    if isinstance(value, list | tuple):
        return ["none" if item is None else item for item in value]
    return value


NormChoices = Annotated[tuple[str, ...], BeforeValidator(_none_is_a_norm)]


def _check_norms(choices: tuple[str, ...], place: str = "") -> None:
    for index, text in enumerate(choices):
        if text != "GN":
            try:
                NormSpec.parse(text)
            except NormError as error:
                where: int | str = f"{place}[{index}]" if place else index
                raise ItemError(where, str(error)) from error


class NormSpace(Model):
    """The norms of a space, and where they may be placed."""

    per: Literal["layer", "block", "stage", "network"] = "layer"
    """The slots that share one choice."""
    choices: Annotated[NormChoices, Field(min_length=1)] = ()
    """Specs of norms; ``GN`` stands for GN-G with each G of `groups`."""
    by_slot: dict[str, Annotated[NormChoices, Field(min_length=1)]] = Field(default_factory=dict)
    """Choices for the slots that a glob matches; the last matching glob applies."""
    groups: tuple[Annotated[int, Field(gt=0, le=MOST_GROUPS)], ...] = (2, 4, 8, 16)
    """Numbers of groups for ``GN``; those that divide the channels of no slot are left out."""

    @field_validator("choices")
    @classmethod
    def _known(cls, choices: tuple[str, ...]) -> tuple[str, ...]:
        _check_norms(choices)
        return choices

    @field_validator("by_slot")
    @classmethod
    def _known_by_slot(cls, by_slot: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for glob, choices in by_slot.items():
            _check_norms(choices, glob)
        return by_slot

    @model_validator(mode="after")
    def _some_choices(self) -> Self:
        if not self.choices and not self.by_slot:
            raise ItemError("choices", "must be given, and is not")
        return self


class _SpaceNorms(Model):
    norm: NormSpace
    """Norms."""


_SpaceFields: Any = create_model("_SpaceFields", __base__=_SpaceNorms, **fields_of_a_space())


class SpaceConfig(_SpaceFields):  # type: ignore[misc]
    """What a trial may choose. A value that is left out is that of the training or the network."""


class PythonSpaceConfig(Model):
    """A space in Python."""

    function: ImportPath
    """``module:function``; function(trial, slots) returns the choice."""


# Tags of the kinds of spaces, which pydantic adds to the locations of errors.
PYTHON_SPACE, YAML_SPACE, ARMS = "space[function]", "space[norm]", "space[arms]"


def space_kind(value: Any) -> str:
    """Return the tag of the kind of a space, given as a mapping or a model."""
    for key, tag in (("function", PYTHON_SPACE), ("arms", ARMS)):
        if key in value if isinstance(value, dict) else hasattr(value, key):
            return tag
    return YAML_SPACE


AnySpaceConfig = Annotated[
    Annotated[PythonSpaceConfig, Tag(PYTHON_SPACE)]
    | Annotated[ArmsConfig, Tag(ARMS)]
    | Annotated[SpaceConfig, Tag(YAML_SPACE)],
    Discriminator(space_kind),
]
