"""The YAML files as typed models. Everything a study says is checked here, once, before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from normsearch.errors import NormError
from normsearch.norms import NormSpec

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
LabelValue = Annotated[int, Field(ge=0, le=255)]


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


_DEPTHS = {"stack": 3, "slab": 16}  # slices, where a task does not say


class AugmentationConfig(Model):
    """How training samples are varied at random; nothing is varied if nothing is given.

    `rotation` is [lowest, highest, step] in degrees, in plane; `flip` names axes (z, y, x); `scale`
    is [lowest, highest] factor of the intensities.
    """

    rotation: tuple[float, float, Annotated[float, Field(gt=0)]] | None = None
    flip: tuple[Literal["z", "y", "x"], ...] = ()
    scale: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] | None = None

    @field_validator("rotation", "scale")
    @classmethod
    def _in_order(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and value[0] > value[1]:
            raise ValueError(f"must be lowest, then highest, got {value[0]:g} above {value[1]:g}")
        return value


class TaskConfig(Model):
    """What is segmented, and which subjects train, validate and test.

    `data` is ``phantom``, a folder or a manifest (absolute, or below the data folder), in a
    `layout` of ``normsearch list layouts``. A `sample` is a slice, a stack of `depth` slices whose
    middle one is predicted, a slab of `depth` slices that shares `overlap` with the next, or a
    volume. `size` is (y, x) in pixels, for volumes (z, y, x), reached by `fit`; `intensity` a rule
    or a window [low, high] (HU). `foreground` are the label values merged to one class, `classes`
    those kept apart as classes 1 to K; all non-zero ones are merged if neither is given. `segments`
    names the segments of .seg.nrrd labels that are taken as label values 1, 2, ... `validation` on
    the training cases is a check that they can be learnt at all, and no evidence.
    """

    data: str
    layout: Literal["auto", "folders", "msd", "nnunet", "manifest", "idx"] = "auto"
    phantom: PhantomConfig = PhantomConfig()
    sample: Literal["slice", "stack", "slab", "volume"] = "slice"
    depth: Positive | None = None
    overlap: Annotated[int, Field(ge=0)] | None = None
    size: tuple[Positive, ...] | None = None
    fit: Literal["resize", "pad"] = "resize"
    intensity: Literal["minmax", "percentile", "zscore"] | tuple[float, float] = "percentile"
    foreground: tuple[LabelValue, ...] | None = None
    classes: tuple[LabelValue, ...] | None = None
    segments: tuple[str, ...] = ()
    augmentation: AugmentationConfig = AugmentationConfig()
    test_folds: Folds = ()
    validation: Literal["held_out", "training"] = "held_out"
    validation_folds: Folds | None = None
    validation_fraction: Fraction = 0.25
    split_seed: int = 0

    @field_validator("validation_folds")
    @classmethod
    def _folds_to_validate_on(cls, value: object, info: ValidationInfo) -> object:
        if value is not None and info.data.get("validation") == "training":
            raise ValueError("must be left out where validation is training")
        return value

    @field_validator("size")
    @classmethod
    def _size_of_a_sample(
        cls, size: tuple[int, ...] | None, info: ValidationInfo
    ) -> tuple[int, ...] | None:
        sample = info.data.get("sample")
        axes = "(z, y, x)" if sample == "volume" else "(y, x)"
        if size is not None and len(size) != axes.count(",") + 1:
            raise ValueError(f"must be {axes} where a sample is a {sample}, got {list(size)}")
        return size

    @field_validator("depth", "overlap")
    @classmethod
    def _slices_of_a_sample(cls, value: int | None, info: ValidationInfo) -> int | None:
        sample = info.data.get("sample")
        depth = info.data.get("depth") or _DEPTHS.get(str(sample), 1)
        if value is None:
            return value
        if sample not in (("stack", "slab") if info.field_name == "depth" else ("slab",)):
            raise ValueError(f"must be left out where a sample is a {sample}, got {value}")
        if info.field_name == "overlap" and value >= depth:
            raise ValueError(f"must be below depth ({depth}), got {value}")
        if sample == "stack" and value % 2 == 0:
            raise ValueError(f"must be odd, so that a stack has a middle, got {value}")
        return value

    @field_validator("augmentation")
    @classmethod
    def _axes_of_a_sample(
        cls, value: AugmentationConfig, info: ValidationInfo
    ) -> AugmentationConfig:
        sample = info.data.get("sample")
        if "z" in value.flip and sample not in ("slab", "volume"):
            raise ValueError(f"a {sample} can be flipped along y and x, got z")
        return value

    @model_validator(mode="after")
    def _one_choice_of_classes(self) -> Self:
        for name, values in (("foreground", self.foreground), ("classes", self.classes)):
            if values is not None and (not values or len(set(values)) < len(values)):
                raise ValueError(f"{name} must be label values, each once, got {list(values)}")
        if self.foreground and self.classes:
            raise ValueError("foreground and classes must not both be given; leave one out")
        if self.kind == "segmentation" and 0 in (*(self.foreground or ()), *(self.classes or ())):
            raise ValueError("foreground and classes must not hold 0, which is background")
        return self

    @property
    def kind(self) -> Literal["segmentation", "classification"]:
        """What is asked of the network; known once the `layout` is."""
        return "classification" if self.layout == "idx" else "segmentation"

    @property
    def outputs(self) -> int:
        """The network's output channels: 1, background and K classes, or an image's classes."""
        if self.kind == "classification":
            return len(self.classes or ())
        return 1 + len(self.classes) if self.classes else 1

    @property
    def slices(self) -> int:
        """Slices of a stack or a slab, 1 for others."""
        return self.depth or _DEPTHS.get(self.sample, 1)

    @property
    def shared(self) -> int:
        """Slices that a slab shares with the next."""
        given = self.slices // 2 if self.overlap is None else self.overlap
        return given if self.sample == "slab" else 0

    @property
    def metric(self) -> str:
        """What a validation score is, for people."""
        return "accuracy" if self.kind == "classification" else "Dice"


class NetworkConfig(Model):
    """A network by name, its size, and the seed of its initial weights."""

    name: str = "unet2d"
    first_channels: Positive = 16
    depth: Annotated[int, Field(ge=1, le=8)] = 4
    seed: int = 0


class TrainingConfig(Model):
    """How a trial trains. The budget is counted in `samples`, whatever the batch size.

    `evaluations` validation points lie at equal fractions of the budget. `loss` auto is bce_dice
    for one foreground, dice_cross_entropy for several classes, cross_entropy for whole images.
    `step_points` (shares of the budget) and `step_factor` belong to schedule step; `amp` is
    automatic mixed precision; a step takes `accumulate` batches; `checkpointing` trades time for
    memory where the network offers it. `recompute_statistics` replaces running statistics by
    fresh ones, over `statistics_samples` samples, before each validation. The seeds of order,
    augmentation and (in network) first weights are independent of each other.
    """

    samples: Positive = 10_000
    evaluations: Positive = 9
    loss: Literal["auto", "bce_dice", "cross_entropy", "dice_cross_entropy"] = "auto"
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["constant", "step", "polynomial", "cosine"] = "cosine"
    step_points: tuple[Fraction, ...] = (0.5,)
    step_factor: Fraction = 0.2
    amp: Literal["off", "bfloat16", "float16"] = "off"
    accumulate: Positive = 1
    checkpointing: bool = False
    gate_learning_rate_factor: Annotated[float, Field(gt=0)] = 10.0
    recompute_statistics: bool = True
    statistics_samples: Positive = 128
    data_seed: int = 0
    augmentation_seed: int = 0

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
    `workers` trials run at once; if it is not given, as many as the resources hold.
    """

    trials: Positive = 50
    sampler: Literal["tpe", "random"] = "tpe"
    seed: int = 0
    pruner: PrunerConfig = PrunerConfig()
    baselines: bool = True
    resources: Resources = Resources()
    workers: Positive | None = None


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

    @model_validator(mode="after")
    def _float16_needs_a_gpu(self) -> Self:
        if self.training.amp == "float16" and not self.search.resources.gpu:
            raise ValueError(
                "training.amp float16 needs a GPU, and search.resources.gpu is 0; "
                "use bfloat16 on a CPU"
            )
        return self


class TrialConfig(Model):
    """One resolved choice, complete: the trial can be trained again from this alone.

    `norm_map` gives the effective spec of every slot; `fingerprint` is the SHA-256 of the cases.
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
