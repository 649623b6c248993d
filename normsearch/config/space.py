"""The space of a study as typed models: what a trial may choose."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from normsearch import limits
from normsearch.config.arms import ArmsConfig
from normsearch.config.base import (
    BatchSize,
    ImportPath,
    ItemError,
    LearningRate,
    Model,
    WeightDecay,
)
from normsearch.errors import NormError
from normsearch.norms import NormSpec
from normsearch.norms.spec import MOST as MOST_GROUPS


def _range(value: object) -> object:
    """Read ``0.1`` as one choice and ``[1, 2]`` as choices; a mapping stays what it is.

    To YAML ``1e-3``, without a point, is a text.
    """
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        return {"choices": [value]}
    return _choices(value) if isinstance(value, list | tuple) else value


def _choices(value: object) -> object:
    """Read one value as one choice and a list as choices; a mapping stays what it is."""
    if isinstance(value, list | tuple):
        return {"choices": value}
    return value if value is None or isinstance(value, dict | Model) else {"choices": [value]}


class NumberSpace(Model):
    """Numbers from 0 on: a list of choices, or a range."""

    choices: Annotated[tuple[WeightDecay, ...], Field(min_length=1)] | None = None
    """The choices."""
    low: WeightDecay | None = None
    """Lower end of the range."""
    high: WeightDecay | None = None
    """Upper end of the range."""
    log: bool = True
    """Whether the range is sampled on a log scale."""
    default: WeightDecay | None = None
    """Value of the baselines; the middle if left out."""

    @model_validator(mode="after")
    def _choices_or_range(self) -> Self:
        if self.choices is None:
            if self.low is None or self.high is None or self.low >= self.high:
                raise ValueError(
                    f"must be choices, or low below high; got low {self.low}, high {self.high}"
                )
            if self.log and self.low < limits.LEARNING_RATE[0]:
                raise ValueError(
                    f"low must be at least {limits.LEARNING_RATE[0]} in a log range, got "
                    f"{self.low:g}; or take log: false"
                )
        elif self.low is not None or self.high is not None:
            raise ValueError("must be either choices or a range, got both")
        if self.default is not None and not self.allows(self.default):
            raise ValueError(f"default must be one of what is offered, got {self.default}")
        return self

    def allows(self, value: float) -> bool:
        """Whether `value` is one of what is offered."""
        if self.choices is not None:
            return value in self.choices
        return self.low is not None and self.high is not None and self.low <= value <= self.high

    @property
    def middle(self) -> float:
        """The value a baseline takes: `default`, else the middle of the choices or the range."""
        if self.default is not None:
            return self.default
        if self.choices is not None:
            return sorted(self.choices)[len(self.choices) // 2]
        low, high = self.low or 0.0, self.high or 0.0
        return float((low * high) ** 0.5 if self.log else (low + high) / 2)


class LearningRateSpace(NumberSpace):
    """Numbers above 0, such as learning rates: a list of choices, or a range."""

    choices: Annotated[tuple[LearningRate, ...], Field(min_length=1)] | None = None
    """The choices."""
    low: LearningRate | None = None
    """Lower end of the range."""
    high: LearningRate | None = None
    """Upper end of the range."""
    default: LearningRate | None = None
    """Value of the baselines; the middle if left out."""


class BatchSizeSpace(Model):
    """Batch sizes to choose from."""

    choices: Annotated[tuple[BatchSize, ...], Field(min_length=1)]
    """Samples in a batch."""
    default: BatchSize | None = None
    """Value of the baselines; the middle choice if left out."""

    @model_validator(mode="after")
    def _default_is_offered(self) -> Self:
        if self.default is not None and self.default not in self.choices:
            raise ValueError(f"default must be one of {list(self.choices)}, got {self.default}")
        return self

    def allows(self, value: int) -> bool:
        """Whether `value` is one of what is offered."""
        return value in self.choices

    @property
    def middle(self) -> int:
        """The value a baseline takes: `default`, else the middle choice."""
        return self.default or sorted(self.choices)[len(self.choices) // 2]


class AffineSpace(Model):
    """Whether norms learn γ and β."""

    choices: Annotated[tuple[bool, ...], Field(min_length=1, max_length=2)]
    """true, false, or both."""

    def allows(self, value: bool) -> bool:
        """Whether `value` is one of what is offered."""
        return value in self.choices

    @property
    def middle(self) -> bool:
        """The value a baseline takes: the first choice."""
        return self.choices[0]


class ActivationSpace(Model):
    """Activations to choose from."""

    choices: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names that the network knows."""

    def allows(self, value: str) -> bool:
        """Whether `value` is one of what is offered."""
        return value in self.choices

    @property
    def middle(self) -> str:
        """The value a baseline takes: the first choice."""
        return self.choices[0]


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
    """Which norms may be placed where."""

    per: Literal["layer", "block", "stage", "network"] = "layer"
    """What one choice applies to."""
    choices: Annotated[NormChoices, Field(min_length=1)] = ()
    """Specs of norms; ``GN`` stands for GN-G with each G of `groups`."""
    by_slot: dict[str, Annotated[NormChoices, Field(min_length=1)]] = Field(default_factory=dict)
    """Choices for the slots that a glob matches; the last matching glob applies."""
    groups: tuple[Annotated[int, Field(gt=0, le=MOST_GROUPS)], ...] = (2, 4, 8, 16)
    """Numbers of groups for ``GN``."""

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


class SpaceConfig(Model):
    """What a trial may choose. A value that is left out is that of the training or the network."""

    norm: NormSpace
    """Norms."""
    learning_rate: Annotated[LearningRateSpace, BeforeValidator(_range)]
    """Learning rate: a value, a list, or a range {low, high, log}."""
    batch_size: Annotated[BatchSizeSpace, BeforeValidator(_range)]
    """Batch size: a value or a list."""
    weight_decay: Annotated[NumberSpace | None, BeforeValidator(_range)] = None
    """Weight decay: a value, a list, or a range."""
    gate_learning_rate_factor: Annotated[LearningRateSpace | None, BeforeValidator(_range)] = None
    """Factor of the learning rate of the weights by which norms mix."""
    affine: Annotated[AffineSpace | None, BeforeValidator(_choices)] = None
    """Whether norms learn γ and β: true, false, or [true, false]."""
    activation: Annotated[ActivationSpace | None, BeforeValidator(_choices)] = None
    """Activation: a name or a list, of those that the network knows."""


class PythonSpaceConfig(Model):
    """A space in Python."""

    function: ImportPath
    """``module:function``; function(trial, slots) returns the choice."""


# What pydantic adds to locations.
PYTHON_SPACE, YAML_SPACE, ARMS = "space[function]", "space[norm]", "space[arms]"


def space_kind(value: Any) -> str:
    """Return which kind of space a mapping, or a model, is, by the key that tells."""
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
