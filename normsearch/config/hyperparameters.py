"""The one record of hyperparameters: whatever a trial may choose beside its norms, and from what.

`Hyperparameters` is what known points, arms, choices and trials hold; a space offers the same
names, and so do the tables of trials. A new hyperparameter is one field of it: its type, and
`Offered`, how a space offers it. A name that TrainingConfig or NetworkConfig has too is a setting
of the training or the network, and what is chosen takes its place there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from normsearch import limits
from normsearch.config.base import BatchSize, LearningRate, Model, WeightDecay


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
    """Numbers from 0 on: `choices`, or the range `low` to `high` (`log` spaced)."""

    choices: Annotated[tuple[WeightDecay, ...], Field(min_length=1)] | None = None
    low: WeightDecay | None = None
    high: WeightDecay | None = None
    log: bool = True
    default: WeightDecay | None = None

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
    """Numbers above 0 to choose from: learning rates, and factors of them."""

    choices: Annotated[tuple[LearningRate, ...], Field(min_length=1)] | None = None
    low: LearningRate | None = None
    high: LearningRate | None = None
    default: LearningRate | None = None


class BatchSizeSpace(Model):
    """Batch sizes (samples a step) to choose from."""

    choices: Annotated[tuple[BatchSize, ...], Field(min_length=1)]
    default: BatchSize | None = None

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
    """Whether norms learn γ and β: true, false, or either."""

    choices: Annotated[tuple[bool, ...], Field(min_length=1, max_length=2)]

    def allows(self, value: bool) -> bool:
        """Whether `value` is one of what is offered."""
        return value in self.choices

    @property
    def middle(self) -> bool:
        """The value a baseline takes: the first choice."""
        return self.choices[0]


class ActivationSpace(Model):
    """Activations to choose from, by the names that the network offers."""

    choices: Annotated[tuple[str, ...], Field(min_length=1)]

    def allows(self, value: str) -> bool:
        """Whether `value` is one of what is offered."""
        return value in self.choices

    @property
    def middle(self) -> str:
        """The value a baseline takes: the first choice."""
        return self.choices[0]


@dataclass(frozen=True)
class Offered:
    """How a space offers a hyperparameter: as which model, read from what a YAML file says."""

    space: type[Model]
    read: Callable[[object], object] = _choices

    @property
    def numeric(self) -> bool:
        """Whether it is a number."""
        return issubclass(self.space, NumberSpace | BatchSizeSpace)


class Hyperparameters(Model):
    """What a trial may choose beside its norms. What is None is not chosen.

    Then the training or the network says it, or, of a known point, the space's default.
    """

    learning_rate: Annotated[LearningRate | None, Offered(LearningRateSpace, _range)] = None
    batch_size: Annotated[BatchSize | None, Offered(BatchSizeSpace, _range)] = None
    weight_decay: Annotated[WeightDecay | None, Offered(NumberSpace, _range)] = None
    gate_learning_rate_factor: Annotated[
        LearningRate | None, Offered(LearningRateSpace, _range)
    ] = Field(default=None, description="factor of the learning rate for gates of adaptive norms")
    affine: Annotated[bool | None, Offered(AffineSpace)] = Field(
        default=None, description="whether norms learn γ and β"
    )
    activation: Annotated[str | None, Offered(ActivationSpace)] = Field(
        default=None, description="a name that the network offers"
    )

    def given(self, names: Iterable[str]) -> dict[str, Any]:
        """Return those of `names` that are not None."""
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


class Required(Hyperparameters):
    """Hyperparameters of a training: it has a learning rate and a batch size."""

    learning_rate: LearningRate
    batch_size: BatchSize


HYPERPARAMETERS = tuple(Hyperparameters.model_fields)
"""Their names: keys of a space, of points and arms, and columns of a table of trials."""


def offers(record: type[Hyperparameters] = Hyperparameters) -> dict[str, Offered]:
    """Return how each hyperparameter of a record is offered, by name."""
    return {
        name: next(item for item in field.metadata if isinstance(item, Offered))
        for name, field in record.model_fields.items()
    }


def fields_of_a_space(
    record: type[Hyperparameters] = Hyperparameters, needed: type[Model] = Required
) -> dict[str, Any]:
    """Return the fields by which a space offers a record, for `pydantic.create_model`.

    Those that `needed` requires must be offered; others may be left out.
    """
    found: dict[str, Any] = {}
    for name, offered in offers(record).items():
        required = name in needed.model_fields and needed.model_fields[name].is_required()
        kind: Any = offered.space if required else offered.space | None
        found[name] = Annotated[kind, BeforeValidator(offered.read)], ... if required else None
    return found
