"""The hyperparameters that a trial may choose besides its norms, and their choices in a space.

`Hyperparameters` is the base of points, arms, choices and trials; its names are also keys of a
space and columns of a table of trials. To add a hyperparameter, add a field with its type and
`Offered`. If TrainingConfig or NetworkConfig has a field of the same name, the chosen value
replaces it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from normsearch import limits
from normsearch.config.base import BatchSize, LearningRate, Model, WeightDecay


def _range(value: object) -> object:
    """Read ``0.1`` as one choice and ``[1, 2]`` as choices; leave a mapping unchanged.

    YAML reads ``1e-3``, without a point, as a text.
    """
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        return {"choices": [value]}
    return _choices(value) if isinstance(value, list | tuple) else value


def _choices(value: object) -> object:
    """Read one value as one choice and a list as choices; leave a mapping unchanged."""
    if isinstance(value, list | tuple):
        return {"choices": value}
    return value if value is None or isinstance(value, dict | Model) else {"choices": [value]}


class NumberSpace(Model):
    """Numbers of at least 0: `choices`, or a range from `low` to `high`."""

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
                    f"{self.low:g}; or use log: false"
                )
        elif self.low is not None or self.high is not None:
            raise ValueError("must be either choices or a range, got both")
        if self.default is not None and not self.allows(self.default):
            raise ValueError(f"default must be in the choices or the range, got {self.default}")
        return self

    def allows(self, value: float) -> bool:
        """Whether `value` is one of the choices, or in the range."""
        if self.choices is not None:
            return value in self.choices
        return self.low is not None and self.high is not None and self.low <= value <= self.high

    @property
    def middle(self) -> float:
        """The default: `default`, else the middle of the choices or the range."""
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


class ChoiceSpace(Model):
    """Base of lists of choices."""

    choices: tuple[Any, ...]

    def allows(self, value: object) -> bool:
        """Whether `value` is one of the choices."""
        return value in self.choices

    @property
    def middle(self) -> Any:
        """The default: the first choice."""
        return self.choices[0]


class BatchSizeSpace(ChoiceSpace):
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

    @property
    def middle(self) -> int:
        """The default: `default`, else the middle choice."""
        return self.default or sorted(self.choices)[len(self.choices) // 2]


class AffineSpace(ChoiceSpace):
    """Whether norms learn γ and β."""

    choices: Annotated[tuple[bool, ...], Field(min_length=1, max_length=2)]
    """true, false, or both."""


class ActivationSpace(ChoiceSpace):
    """Activations to choose from."""

    choices: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of activations of the network."""


@dataclass(frozen=True)
class Offered:
    """How a space offers a hyperparameter: the model, and the function that reads its YAML."""

    space: type[Model]
    read: Callable[[object], object] = _choices

    @property
    def ranged(self) -> bool:
        """Whether it can be a range."""
        return issubclass(self.space, NumberSpace)

    @property
    def numeric(self) -> bool:
        """Whether it is a number."""
        return issubclass(self.space, NumberSpace | BatchSizeSpace)


class Hyperparameters(Model):
    """The hyperparameters besides norms. None means not chosen.

    The value is then that of the training or the network; for a known point, the space's default.
    """

    learning_rate: Annotated[LearningRate | None, Offered(LearningRateSpace, _range)] = None
    """Learning rate."""
    batch_size: Annotated[BatchSize | None, Offered(BatchSizeSpace, _range)] = None
    """Batch size."""
    weight_decay: Annotated[WeightDecay | None, Offered(NumberSpace, _range)] = None
    """Weight decay."""
    gate_learning_rate_factor: Annotated[
        LearningRate | None, Offered(LearningRateSpace, _range)
    ] = None
    """Factor of the learning rate of the weights by which norms mix."""
    affine: Annotated[bool | None, Offered(AffineSpace)] = None
    """Whether norms learn γ and β."""
    activation: Annotated[str | None, Offered(ActivationSpace)] = None
    """Name of an activation of the network."""
    gradient_clipping: Annotated[LearningRate | None, Offered(LearningRateSpace, _range)] = None
    """Largest norm of the gradient of all parameters together."""

    def given(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the values of `names` that are not None, by name."""
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


class Required(Hyperparameters):
    """Hyperparameters of a training, which needs a learning rate and a batch size."""

    learning_rate: LearningRate
    """Learning rate."""
    batch_size: BatchSize
    """Batch size."""


HYPERPARAMETERS = tuple(Hyperparameters.model_fields)
"""The names of the hyperparameters."""


def offers(record: type[Hyperparameters] = Hyperparameters) -> dict[str, Offered]:
    """Return `Offered` of each hyperparameter of a record, by name."""
    return {
        name: next(item for item in field.metadata if isinstance(item, Offered))
        for name, field in record.model_fields.items()
    }


def fields_of_a_space(
    record: type[Hyperparameters] = Hyperparameters, needed: type[Model] = Required
) -> dict[str, Any]:
    """Return the fields of a space for a record, for `pydantic.create_model`.

    A field is required if `needed` requires it.
    """
    found: dict[str, Any] = {}
    for name, offered in offers(record).items():
        required = name in needed.model_fields and needed.model_fields[name].is_required()
        kind: Any = offered.space if required else offered.space | None
        how = (
            "a value, a list, or a range {low, high, log}"
            if offered.ranged
            else "a value or a list"
        )
        meaning = (record.model_fields[name].description or name).rstrip(".")
        found[name] = (
            Annotated[kind, BeforeValidator(offered.read)],
            Field(... if required else None, description=f"{meaning}: {how}."),
        )
    return found
