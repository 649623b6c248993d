"""The YAML files as typed models. Everything a study says is checked here, once, before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, create_model, field_validator, model_validator

from normsearch import limits
from normsearch.config.arms import ArmsConfig
from normsearch.config.base import (
    BatchSize,
    Cores,
    Evaluations,
    Fraction,
    ImportPath,
    ItemError,
    LearningRate,
    Model,
    Number,
    RunName,
    Samples,
    Seed,
    WeightDecay,
    one_of,
)
from normsearch.config.hyperparameters import HYPERPARAMETERS, Required
from normsearch.config.metric import AnyMetric, MetricConfig, Scored
from normsearch.config.search import PrunerConfig, SearchConfig
from normsearch.config.space import (
    AnySpaceConfig,
)
from normsearch.config.task import (
    OWN_DATA,
    GeometryConfig,
    SampleShape,
    TaskConfig,
)
from normsearch.training import LOSSES, OPTIMIZERS, SCHEDULES


class NetworkConfig(Model):
    """A network by name, its size, and the seed of its initial weights.

    `name` is one of ours or anybody's ``module:function`` (the working folder is importable), and
    `arguments` are its further arguments. `first_channels` and `depth` are for our networks, which
    have defaults of their own. `activation` is a name that the network offers; its own if None.
    """

    name: str = "unet2d"
    first_channels: Annotated[int, Field(gt=0, le=limits.CHANNELS)] | None = None
    depth: Annotated[int, Field(ge=1, le=8)] | None = None
    activation: str | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)
    seed: Seed = 0

    @model_validator(mode="after")
    def _arguments_of_a_foreign_network(self) -> Self:
        sizes = [key for key in ("first_channels", "depth") if getattr(self, key) is not None]
        if ":" in self.name and sizes:
            raise ValueError(
                f"{self.name} takes its size from arguments, got {' and '.join(sizes)}"
            )
        return self


class NetworkDigest(Model):
    """What a network was when a run, a trial or a model was made; see `digest_network`.

    `files`: module -> SHA-256 of its source, none for a network of this package; `parameters`: the
    SHA-256 of their names and shapes; `output`: a few numbers that it computes with fixed weights.
    """

    files: dict[str, str]
    parameters: str
    output: tuple[float, ...]


class TrainingConfig(Model):
    """How a trial trains. The `budget` is `samples`, whatever the batch size, or optimizer `steps`.

    Equal samples mean fewer steps for larger batches, equal steps more samples. `evaluations`
    validation points lie at equal fractions of the budget. `metric` is what is optimized. `loss`,
    `optimizer` and `schedule` may also be ``module:name``. `loss` auto is bce_dice for one
    foreground, dice_cross_entropy for several classes, cross_entropy for whole images.
    `step_points` (shares of the budget) and `step_factor` belong to schedule step; `amp` is
    automatic mixed precision; a step takes `accumulate` batches; `checkpointing` trades time for
    memory where the network offers it. `recompute_statistics` replaces running statistics by fresh
    ones, over `statistics_samples` samples, before each validation. The seeds of order,
    augmentation and (in network) first weights are independent of each other.
    """

    budget: Literal["samples", "steps"] = "samples"
    samples: Samples = 10_000
    steps: Samples | None = None
    evaluations: Evaluations = 9
    metric: AnyMetric = MetricConfig()
    loss: Annotated[str, AfterValidator(one_of(["auto", *LOSSES], "my_losses:focal"))] = "auto"
    optimizer: Annotated[str, AfterValidator(one_of(OPTIMIZERS, "torch.optim:RAdam"))] = "sgd"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: WeightDecay = 0.0
    schedule: Annotated[str, AfterValidator(one_of(SCHEDULES, "my_schedules:warm_up"))] = "cosine"
    step_points: tuple[Fraction, ...] = (0.5,)
    step_factor: Fraction = 0.2
    amp: Literal["off", "bfloat16", "float16"] = "off"
    accumulate: BatchSize = 1
    checkpointing: bool = False
    gate_learning_rate_factor: LearningRate = 10.0
    recompute_statistics: bool = True
    statistics_samples: Annotated[int, Field(gt=0, le=limits.STATISTICS_SAMPLES)] = 128
    data_seed: Seed = 0
    augmentation_seed: Seed = 0

    @field_validator("amp", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: object) -> object:
        return "off" if value is False else value  # YAML reads a bare off as false

    def changed(self, values: dict[str, Any]) -> TrainingConfig:
        """Return this training with other `values`, checked as if they had stood in the file."""
        return TrainingConfig.model_validate({**self.model_dump(), **values})

    @model_validator(mode="after")
    def _one_step_an_evaluation(self) -> Self:
        if (self.steps is not None) != (self.budget == "steps"):
            raise ValueError(
                f"steps must be given with budget: steps, and only then, got budget {self.budget} "
                f"and steps {self.steps}"
            )
        counted = self.steps or self.samples
        if counted < self.evaluations:
            raise ValueError(
                f"{self.budget} must be at least evaluations ({self.evaluations}), got {counted}"
            )
        return self

    def samples_of(self, batch_size: int) -> int:
        """Return the samples of a whole training with batches of `batch_size` samples."""
        return self.samples if self.steps is None else self.steps * batch_size * self.accumulate


class StudyConfig(Model, Scored):
    """One study: task + network + training + space + search.

    `trainer` names a training loop of the user's own, ``module:function``, in place of ours;
    `task` and `network` may then be left out.

    A run records the SHA-256 of its cases (`fingerprint`), the `sample_shape` (channels, *spatial),
    the orientation and spacing of its training cases (`geometry`), the `versions` it began with and
    what its network was (`network_digest`).
    """

    name: RunName
    trainer: ImportPath | None = None
    task: TaskConfig = TaskConfig()
    network: NetworkConfig = NetworkConfig()
    training: TrainingConfig = TrainingConfig()
    space: AnySpaceConfig
    search: SearchConfig = SearchConfig()
    fingerprint: str | None = None
    sample_shape: SampleShape | None = None
    geometry: GeometryConfig | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    network_digest: NetworkDigest | None = None

    @model_validator(mode="after")
    def _a_trainer_or_a_task(self) -> Self:
        if self.trainer is None and self.task.data == OWN_DATA:
            raise ItemError("task.data", "must be given, and is not")
        if self.trainer and self.search.method == "supernet":
            raise ItemError(
                "search.method", "must be trials where a trainer is given, got supernet"
            )
        return self

    @model_validator(mode="after")
    def _float16_needs_a_gpu(self) -> Self:
        if self.training.amp == "float16" and not self.search.resources.gpu:
            raise ValueError(
                "training.amp float16 needs a GPU, and search.resources.gpu is 0; "
                "use bfloat16 on a CPU"
            )
        return self

    @model_validator(mode="after")
    def _only_arms_see_the_test_folds(self) -> Self:
        if self.task.validation == "test" and not isinstance(self.space, ArmsConfig):
            raise ValueError(
                "task.validation must not be test in a search, for it would choose by the test "
                "folds; search on validation subjects, then `normsearch confirm`"
            )
        return self

    @model_validator(mode="after")
    def _arms_are_trained_once_each(self) -> Self:
        if not isinstance(self.space, ArmsConfig):
            return self
        for arm in self.space.arms:
            self.training.changed(arm.training)
        needed = {"sampler": "grid", "pruner": PrunerConfig(name="none"), "baselines": False}
        needed["trials"] = self.space.size
        for name, value in needed.items():
            given = getattr(self.search, name)
            if name in self.search.model_fields_set and given != value:
                raise ItemError(f"search.{name}", f"must be left out where arms are, got {given}")
        object.__setattr__(self, "search", self.search.model_copy(update=needed))
        return self


class Mixture(Model):
    """Slots that mix all `choices` by one vector of learnt weights: a unit of a supernet."""

    slots: tuple[str, ...]
    choices: tuple[str, ...]
    weights: Literal["softmax", "sparsest_max"] = "softmax"


OF_TRAINING = tuple(name for name in HYPERPARAMETERS if name in TrainingConfig.model_fields)
"""The hyperparameters that are settings of the training."""
OF_NETWORK = tuple(name for name in HYPERPARAMETERS if name in NetworkConfig.model_fields)
"""The hyperparameters that are settings of the network."""
OF_TRIAL = tuple(name for name in HYPERPARAMETERS if name not in (*OF_TRAINING, *OF_NETWORK))
"""The others: a trial holds them itself."""
_own: dict[str, Any] = {
    name: (field.annotation, field)
    for name, field in Required.model_fields.items()
    if name in OF_TRIAL
}
if TYPE_CHECKING:
    _OwnHyperparameters = Required
else:
    _OwnHyperparameters = create_model("_OwnHyperparameters", __base__=Model, **_own)


class TrialConfig(_OwnHyperparameters, Scored):
    """One resolved choice, complete: the trial can be trained again from this alone.

    `norm_map` gives the effective spec of every slot; `fingerprint` is the SHA-256 of the cases,
    `sample_shape` the (channels, *spatial) of what the network is given, `geometry` the orientation
    and spacing of the training cases, `network_digest` what the network was. On a GPU it takes no
    more than `gpu_share` of the memory. It has a field for each of `OF_TRIAL`; what was chosen of
    the other hyperparameters is said by `training` and `network`. A supernet has `mixtures`, and no
    norm map. `arm`: which of the study's arms it is, if it has arms.
    """

    study: RunName
    trainer: ImportPath | None = None
    number: Number
    task: TaskConfig = TaskConfig()
    network: NetworkConfig
    training: TrainingConfig
    norm_map: dict[str, str]
    affine: bool = True
    arm: str | None = None
    mixtures: tuple[Mixture, ...] = ()
    baseline: str | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    gpu_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    threads: Cores = 1
    fingerprint: str | None = None
    sample_shape: SampleShape | None = None
    geometry: GeometryConfig | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    network_digest: NetworkDigest | None = None

    def write(self, path: Path) -> None:
        """Write the trial as JSON, whole or not at all."""
        from normsearch.files import write_text

        write_text(path, self.model_dump_json(indent=2) + "\n")


def plain(model: Model) -> dict[str, Any]:
    """Return a model as plain lists, dicts, numbers and texts, as YAML and JSON hold them."""
    return model.model_dump(mode="json", exclude_none=True)
