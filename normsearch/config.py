"""The YAML files as typed models. Everything a study says is checked here, once, before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from normsearch.config_search import Point, PrunerConfig, Resources, SearchConfig, SupernetConfig
from normsearch.config_space import (
    AnySpaceConfig,
    BatchSizeSpace,
    LearningRateSpace,
    NormSpace,
    NumberSpace,
    PythonSpaceConfig,
    SpaceConfig,
)
from normsearch.model import Fraction, ImportPath, ItemError, Model, Positive

__all__ = [
    "AnySpaceConfig",
    "BatchSizeSpace",
    "ImportPath",
    "ItemError",
    "LearningRateSpace",
    "Mixture",
    "Model",
    "NetworkConfig",
    "NormSpace",
    "NumberSpace",
    "PhantomConfig",
    "Point",
    "Positive",
    "PrunerConfig",
    "PythonSpaceConfig",
    "Resources",
    "SearchConfig",
    "SpaceConfig",
    "StudyConfig",
    "SupernetConfig",
    "TaskConfig",
    "TrainingConfig",
    "TrialConfig",
    "plain",
]


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
    """A network by name, its size, and the seed of its initial weights.

    `activation` is a name that the network offers; the network's own if it is not given.
    """

    name: str = "unet2d"
    first_channels: Positive = 16
    depth: Annotated[int, Field(ge=1, le=8)] = 4
    activation: str | None = None
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


class StudyConfig(Model):
    """One study: task + network + training + space + search.

    A run records the SHA-256 of its cases (`fingerprint`) and the `versions` it began with.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]
    task: TaskConfig
    network: NetworkConfig = NetworkConfig()
    training: TrainingConfig = TrainingConfig()
    space: AnySpaceConfig
    search: SearchConfig = SearchConfig()
    fingerprint: str | None = None
    versions: dict[str, str] = Field(default_factory=dict)


class Mixture(Model):
    """Slots that mix all `choices` by one vector of learnt weights: a unit of a supernet."""

    slots: tuple[str, ...]
    choices: tuple[str, ...]
    weights: Literal["softmax", "sparsest_max"] = "softmax"


class TrialConfig(Model):
    """One resolved choice, complete: the trial can be trained again from this alone.

    `norm_map` gives the effective spec of every slot; `fingerprint` is the SHA-256 of the cases. On
    a GPU it takes no more than `gpu_share` of the memory. `affine`: whether norms learn γ and β. A
    supernet has `mixtures`, and no norm map.
    """

    study: str
    number: Annotated[int, Field(ge=0)]
    task: TaskConfig
    network: NetworkConfig
    training: TrainingConfig
    norm_map: dict[str, str]
    affine: bool = True
    mixtures: tuple[Mixture, ...] = ()
    learning_rate: Annotated[float, Field(gt=0)]
    batch_size: Positive
    baseline: str | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    gpu_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    threads: Positive = 1
    fingerprint: str | None = None
    versions: dict[str, str] = Field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write the trial as JSON, whole or not at all."""
        from normsearch.files import write_text

        write_text(path, self.model_dump_json(indent=2) + "\n")


def plain(model: Model) -> dict[str, Any]:
    """Return a model as plain lists, dicts, numbers and texts, as YAML and JSON hold them."""
    return model.model_dump(mode="json", exclude_none=True)
