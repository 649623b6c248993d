"""The YAML files as typed models. Everything a study says is checked here, once, before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from normsearch.errors import NormError
from normsearch.norms import NormSpec

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]


class Model(BaseModel):
    """A frozen record that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _texts(value: object) -> object:
    """Read ``[1, 2]`` as ``["1", "2"]``: fold names look like numbers in YAML."""
    if isinstance(value, list | tuple):
        return [str(item) if isinstance(item, int) else item for item in value]
    return value


Folds = Annotated[tuple[str, ...], BeforeValidator(_texts)]


class PhantomConfig(Model):
    """The embedded data set: `subjects` volumes of `size`³ voxels."""

    size: Annotated[int, Field(ge=32, le=512)] = 64
    subjects: Annotated[int, Field(ge=3)] = 10
    seed: int = 0


class TaskConfig(Model):
    """What is segmented, and which subjects train, validate and test.

    `data` is ``phantom`` or a folder with images/ and labels/ (absolute, or below the data folder).
    `size` is the in-plane size (y, x) in pixels; `intensity` a rule or a window [low, high] (HU);
    `foreground` the label values merged to one class, all non-zero ones if not given.
    """

    data: str
    phantom: PhantomConfig = PhantomConfig()
    size: tuple[Positive, Positive] | None = None
    intensity: Literal["minmax", "percentile", "zscore"] | tuple[float, float] = "percentile"
    foreground: tuple[Positive, ...] | None = None
    test_folds: Folds = ()
    validation_folds: Folds | None = None
    validation_fraction: Fraction = 0.25
    split_seed: int = 0

    @property
    def metric(self) -> str:
        """What a validation score is, for people."""
        return "Dice"


class NetworkConfig(Model):
    """A network by name, its size, and the seed of its initial weights."""

    name: str = "unet2d"
    first_channels: Positive = 16
    depth: Annotated[int, Field(ge=1, le=8)] = 4
    seed: int = 0


class TrainingConfig(Model):
    """How a trial trains. The budget is counted in `samples` (2D slices), whatever the batch size.

    `evaluations` validation points lie at equal fractions of the budget. `recompute_statistics`
    replaces running statistics by fresh ones, over `statistics_samples` samples, before each.
    """

    samples: Positive = 10_000
    evaluations: Positive = 9
    optimizer: Literal["sgd", "adam"] = "sgd"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["constant", "cosine"] = "cosine"
    gate_learning_rate_factor: Annotated[float, Field(gt=0)] = 10.0
    recompute_statistics: bool = True
    statistics_samples: Positive = 128
    data_seed: int = 0

    @model_validator(mode="after")
    def _one_sample_an_evaluation(self) -> Self:
        if self.samples < self.evaluations:
            raise ValueError(
                f"samples must be at least evaluations ({self.evaluations}), got {self.samples}"
            )
        return self


def _range(value: object) -> object:
    """Read ``0.1`` as one choice and ``[1, 2]`` as choices; a mapping stays what it is.

    To YAML ``1e-3``, without a point, is a text.
    """
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        return {"choices": [value]}
    return {"choices": value} if isinstance(value, list | tuple) else value


class LearningRateSpace(Model):
    """Learning rates to choose from: `choices`, or the range `low` to `high` (`log` spaced)."""

    choices: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] | None = None
    low: Annotated[float, Field(gt=0)] | None = None
    high: Annotated[float, Field(gt=0)] | None = None
    log: bool = True
    default: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _choices_or_range(self) -> Self:
        if self.choices is None:
            if self.low is None or self.high is None or self.low >= self.high:
                raise ValueError(
                    f"must be choices, or low below high; got low {self.low}, high {self.high}"
                )
        elif self.low is not None or self.high is not None:
            raise ValueError("must be either choices or a range, got both")
        if self.default is not None and not self._allows(self.default):
            raise ValueError(f"default must be one of what is offered, got {self.default}")
        return self

    def _allows(self, value: float) -> bool:
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


class BatchSizeSpace(Model):
    """Batch sizes (samples a step) to choose from."""

    choices: Annotated[tuple[Positive, ...], Field(min_length=1)]
    default: Positive | None = None

    @model_validator(mode="after")
    def _default_is_offered(self) -> Self:
        if self.default is not None and self.default not in self.choices:
            raise ValueError(f"default must be one of {list(self.choices)}, got {self.default}")
        return self

    @property
    def middle(self) -> int:
        """The value a baseline takes: `default`, else the middle choice."""
        return self.default or sorted(self.choices)[len(self.choices) // 2]


class NormSpace(Model):
    """Which norms may sit where: one choice `per` layer, block, stage or the whole network.

    ``GN`` among the `choices` stands for one GN-G for each of `groups`.
    """

    per: Literal["layer", "block", "stage", "network"] = "layer"
    choices: Annotated[tuple[str, ...], Field(min_length=1)]
    groups: tuple[Positive, ...] = (2, 4, 8, 16)

    @field_validator("choices", mode="before")
    @classmethod
    def _none_is_a_norm(cls, value: object) -> object:
        # YAML reads a bare ~ or null as None; people mean the norm called none.
        if isinstance(value, list | tuple):
            return ["none" if item is None else item for item in value]
        return value

    @field_validator("choices")
    @classmethod
    def _known(cls, choices: tuple[str, ...]) -> tuple[str, ...]:
        for index, text in enumerate(choices):
            if text != "GN":
                try:
                    NormSpec.parse(text)
                except NormError as error:
                    raise ItemError(index, str(error)) from error
        return choices


class ItemError(ValueError):
    """A fault of one item of a list; carries the item's index for the message."""

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index


class SpaceConfig(Model):
    """What a trial may choose."""

    norm: NormSpace
    learning_rate: Annotated[LearningRateSpace, BeforeValidator(_range)]
    batch_size: Annotated[BatchSizeSpace, BeforeValidator(_range)]


class PrunerConfig(Model):
    """Successive halving on validation scores, or no pruning. Resources are evaluation points."""

    name: Literal["successive_halving", "none"] = "successive_halving"
    min_resource: Positive = 1
    reduction_factor: Annotated[int, Field(ge=2)] = 3


class Resources(Model):
    """What one trial occupies: CPU cores and GPUs (a fraction shares one)."""

    cpu: Positive = 1
    gpu: Annotated[float, Field(ge=0)] = 0.0


class SearchConfig(Model):
    """How many trials are asked for, by which sampler, pruned how, on what.

    `baselines` runs every norm of the space as a single-norm network first, never pruned.
    `workers` trials run at once; if it is not given, as many as the resources hold. `time_limit`
    is what a trial may train, in seconds; after SIGTERM a driver waits `grace_seconds` at most.
    """

    trials: Positive = 50
    sampler: Literal["tpe", "random"] = "tpe"
    seed: int = 0
    pruner: PrunerConfig = PrunerConfig()
    baselines: bool = True
    resources: Resources = Resources()
    workers: Positive | None = None
    time_limit: Annotated[float, Field(gt=0)] | None = None
    grace_seconds: Annotated[float, Field(ge=0)] = 20.0


class StudyConfig(Model):
    """One study: task + network + training + space + search.

    A run records the SHA-256 of its cases (`fingerprint`) and the `versions` it began with.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]
    task: TaskConfig
    network: NetworkConfig = NetworkConfig()
    training: TrainingConfig = TrainingConfig()
    space: SpaceConfig
    search: SearchConfig = SearchConfig()
    fingerprint: str | None = None
    versions: dict[str, str] = {}


class TrialConfig(Model):
    """One resolved choice, complete: the trial can be trained again from this alone.

    `norm_map` gives the effective spec of every slot; `fingerprint` is the SHA-256 of the cases. On
    a GPU it takes no more than `gpu_share` of the memory.
    """

    study: str
    number: Annotated[int, Field(ge=0)]
    task: TaskConfig
    network: NetworkConfig
    training: TrainingConfig
    norm_map: dict[str, str]
    learning_rate: Annotated[float, Field(gt=0)]
    batch_size: Positive
    baseline: str | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    gpu_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    threads: Positive = 1
    fingerprint: str | None = None
    versions: dict[str, str] = {}

    def write(self, path: Path) -> None:
        """Write the trial as JSON, whole or not at all."""
        from normsearch.files import write_text

        write_text(path, self.model_dump_json(indent=2) + "\n")


def plain(model: Model) -> dict[str, Any]:
    """Return a model as plain lists, dicts, numbers and texts, as YAML and JSON hold them."""
    return model.model_dump(mode="json", exclude_none=True)
