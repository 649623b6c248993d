"""The training of a study as a typed model."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from normsearch import limits
from normsearch.config.base import (
    BatchSize,
    Evaluations,
    Fraction,
    LearningRate,
    Model,
    Samples,
    Seed,
    WeightDecay,
    one_of,
)
from normsearch.config.metric import AnyMetric, MetricConfig
from normsearch.errors import did_you_mean, short
from normsearch.training import LOSSES, OPTIMIZERS, SCHEDULES


def _some_positive(weights: tuple[float, ...]) -> tuple[float, ...]:
    if not any(weights):
        raise ValueError("must have a weight above 0, got only 0")
    return weights


ClassWeights = Annotated[
    tuple[WeightDecay, ...], Field(min_length=2), AfterValidator(_some_positive)
]


class TrainingConfig(Model):
    """How a trial is trained.

    With equal samples a larger batch takes fewer steps; with equal steps it sees more samples. The
    seeds of the order of samples, of augmentation and (in the network) of initial weights are
    independent of each other.
    """

    budget: Literal["samples", "steps"] = "samples"
    """Unit of the budget: samples, independent of the batch size, or optimizer steps."""
    samples: Samples = 10_000
    """Training samples of a trial, if `budget` is samples."""
    steps: Samples | None = None
    """Optimizer steps of a trial, if `budget` is steps."""
    evaluations: Evaluations = 9
    """Number of validation points, at equal fractions of the budget."""
    metric: AnyMetric = MetricConfig()
    """The metric that is optimized; a name, or the keys of a metric."""
    loss: Annotated[str, AfterValidator(one_of(["auto", *LOSSES], "my_losses:focal"))] = "auto"
    """One of ``normsearch list losses``, ``module:name``, or auto: bce_dice for one foreground
    class, dice_cross_entropy for several, and cross_entropy for whole images."""
    class_weights: ClassWeights | Literal["balanced"] | None = None
    """Weights of the background and of each class in the cross-entropy part of the loss; or
    balanced, which weights each class by the inverse of its voxels in the training cases."""
    deep_supervision: Literal["auto", False] = "auto"
    """Whether the loss of a network that returns logits at several scales is the weighted sum over
    them (auto), or that of the first alone (false)."""
    optimizer: Annotated[str, AfterValidator(one_of(OPTIMIZERS, "torch.optim:RAdam"))] = "sgd"
    """One of ``normsearch list optimizers``, or ``module:name``."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of sgd."""
    weight_decay: WeightDecay = 0.0
    """Weight decay."""
    schedule: Annotated[str, AfterValidator(one_of(SCHEDULES, "my_schedules:warm_up"))] = "cosine"
    """How the learning rate changes during training: one of ``normsearch list schedules``, or
    ``module:name``."""
    step_points: tuple[Fraction, ...] = (0.5,)
    """Fractions of the budget at which schedule step lowers the learning rate."""
    step_factor: Fraction = 0.2
    """Factor of the learning rate at each of the `step_points`."""
    warmup: Fraction | None = None
    """Fraction of the budget over which the learning rate rises linearly from 0 to that of the
    schedule."""
    gradient_clipping: LearningRate | None = None
    """Largest norm of the gradient of all parameters together; a longer one is scaled down."""
    ema: Fraction | None = None
    """Decay of an exponential moving average of the weights, which is evaluated and exported
    instead of the weights."""
    amp: Literal["off", "bfloat16", "float16", "auto"] = "off"
    """Data type of automatic mixed precision; auto is bfloat16 on a GPU, and on a CPU where it
    shortens a training step by 5% or more, which is measured when the study is prepared."""
    accumulate: BatchSize = 1
    """Batches whose gradients are accumulated for one optimizer step."""
    checkpointing: bool = False
    """Recompute activations in the backward pass to save memory, if the network supports it."""
    channels_last: bool = False
    """Store images and weights with the channels last in memory, which suits convolutions on most
    GPUs; the numbers are the same up to rounding."""
    compile: bool = False
    """Compile the network's training steps with torch.compile."""
    cuda_graphs: bool = False
    """Replay the compiled steps as CUDA graphs, which saves the time that the CPU needs to launch
    them; needs compile, a GPU, and accumulate 1."""
    gate_learning_rate_factor: LearningRate = 10.0
    """Learning rate of the weights by which norms mix, as a factor of the others'."""
    recompute_statistics: bool = True
    """Whether running statistics are recomputed before each validation."""
    statistics_samples: Annotated[int, Field(gt=0, le=limits.STATISTICS_SAMPLES)] = 128
    """Samples from which they are recomputed."""
    data_seed: Seed = 0
    """Seed of the order of samples."""
    augmentation_seed: Seed = 0
    """Seed of the augmentation."""

    @field_validator("amp", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: object) -> object:
        return "off" if value is False else value  # YAML reads a bare off as false

    @field_validator("deep_supervision", mode="before")
    @classmethod
    def _auto_or_false(cls, value: object) -> object:
        if value != "auto" and value is not False:
            raise ValueError(f"must be auto or false, got {short(value)}")
        return value

    @field_validator("class_weights", mode="before")
    @classmethod
    def _a_list_or_balanced(cls, value: object) -> object:
        if isinstance(value, str) and value != "balanced":
            raise ValueError(
                "must be balanced, or a list of weights with that of the background first, got "
                f"{short(value)}.{did_you_mean(value, ['balanced'])}"
            )
        return value

    def changed(self, values: dict[str, Any]) -> TrainingConfig:
        """Return this training with other `values`, validated as in a file."""
        if values.get("amp") == "auto":
            raise ValueError(
                "training.amp must be off, bfloat16 or float16 in a part of a study, got auto, "
                "which is chosen once for all trials"
            )
        return TrainingConfig.model_validate({**self.model_dump(), **values})

    @model_validator(mode="after")
    def _one_step_an_evaluation(self) -> Self:
        if (self.steps is not None) != (self.budget == "steps"):
            raise ValueError(
                f"steps must be given with budget: steps, and left out otherwise, got budget "
                f"{self.budget} and steps {self.steps}"
            )
        counted = self.steps or self.samples
        if counted < self.evaluations:
            raise ValueError(
                f"{self.budget} must be at least evaluations ({self.evaluations}), got {counted}"
            )
        return self

    @model_validator(mode="after")
    def _options_that_go_together(self) -> Self:
        if self.compile and self.checkpointing:
            raise ValueError(
                "compile and checkpointing must not both be true, as torch.compile cannot "
                "recompute activations; leave one of them out"
            )
        if self.cuda_graphs and not self.compile:
            raise ValueError(
                "cuda_graphs needs compile: true, as torch.compile records the graphs, got false"
            )
        if self.cuda_graphs and self.accumulate > 1:
            raise ValueError(
                "cuda_graphs needs accumulate: 1, as the graph of a second batch overwrites the "
                f"gradients of the first, got {self.accumulate}; use a larger batch instead"
            )
        if self.ema is not None and not self.recompute_statistics:
            raise ValueError(
                "ema needs recompute_statistics: true, as running statistics belong to the weights "
                "of each step and not to their average, got false"
            )
        return self

    def samples_of(self, batch_size: int) -> int:
        """Return the number of samples of a training with this batch size."""
        return self.samples if self.steps is None else self.steps * batch_size * self.accumulate
