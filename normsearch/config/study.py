"""Studies, networks and trials as typed models, with the checks of their values."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, create_model, model_validator

from normsearch import limits
from normsearch.config.arms import ArmsConfig
from normsearch.config.base import (
    Cores,
    ImportPath,
    ItemError,
    LoaderWorkers,
    Model,
    Number,
    RunName,
    Seed,
    Side,
)
from normsearch.config.case_facts import GeometryConfig
from normsearch.config.hyperparameters import HYPERPARAMETERS, Required
from normsearch.config.metric import Scored
from normsearch.config.search import PrunerConfig, SearchConfig
from normsearch.config.space import AnySpaceConfig
from normsearch.config.task import (
    OWN_DATA,
    SampleShape,
    TaskConfig,
)
from normsearch.config.training import TrainingConfig


class NetworkConfig(Model):
    """The network of a study, its size, and the seed of its initial weights."""

    name: str = "unet2d"
    """One of ``normsearch list networks``, or ``module:function``; modules in the working folder
    can be imported."""
    first_channels: Annotated[int, Field(gt=0, le=limits.CHANNELS)] | None = None
    """Channels of the first level, for the networks of normsearch; the network's default if left
    out."""
    depth: Annotated[int, Field(ge=1, le=8)] | None = None
    """Number of levels, for the networks of normsearch; the network's default if left out."""
    activation: str | None = None
    """One of the network's activations; its default if left out."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of the network's function."""
    seed: Seed = 0
    """Seed of the initial weights."""

    @model_validator(mode="after")
    def _arguments_of_a_foreign_network(self) -> Self:
        sizes = [key for key in ("first_channels", "depth") if getattr(self, key) is not None]
        if ":" in self.name and sizes:
            raise ValueError(
                f"{self.name} takes its size from arguments, got {' and '.join(sizes)}"
            )
        return self


class NetworkDigest(Model):
    """A digest of the network of a run, trial or model; see `digest_network`."""

    files: dict[str, str]
    """SHA-256 of the source of each module; empty for a network of normsearch."""
    parameters: str
    """SHA-256 of the names and shapes of the parameters."""
    output: tuple[float, ...]
    """A few outputs of the network with fixed weights."""
    sides: tuple[Side, ...] | None = None
    """Spatial sides of the input that `output` is computed from; those of a sample if left out."""


class StudyConfig(Model, Scored):
    """A study: task, network, training, space and search."""

    name: RunName
    """Name of the study, and of its run unless --name gives another."""
    trainer: ImportPath | None = None
    """Your own training loop, ``module:function``; `task` and `network` may then be left out."""
    task: TaskConfig = TaskConfig()
    """The data."""
    network: NetworkConfig = NetworkConfig()
    """The network."""
    training: TrainingConfig = TrainingConfig()
    """How each trial is trained."""
    space: AnySpaceConfig
    """What a trial may choose: the keys of a space, or the name or path of a space file."""
    search: SearchConfig = SearchConfig()
    """How configurations are chosen."""
    fingerprint: str | None = None
    """SHA-256 of the cases; recorded by a run."""
    sample_shape: SampleShape | None = None
    """Shape of a sample, (channels, *spatial); recorded by a run."""
    geometry: GeometryConfig | None = None
    """Orientation and spacing of the training cases; recorded by a run."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of the software at the start; recorded by a run."""
    network_digest: NetworkDigest | None = None
    """The network at the start; recorded by a run."""

    @property
    def in_looks(self) -> bool:
        """Whether this is a study of fixed trainings with design looks."""
        return isinstance(self.space, ArmsConfig) and self.space.design == "looks"

    def new_seeds(self, used: Iterable[object]) -> Iterator[int]:
        """Yield the seeds, from 0 up, that are neither the study's own nor among `used`."""
        training = self.training
        own = {self.network.seed, training.data_seed, training.augmentation_seed}
        taken = own.union(used)
        return (seed for seed in itertools.count() if seed not in taken)

    @model_validator(mode="after")
    def _a_trainer_or_a_task(self) -> Self:
        if self.trainer is None and self.task.data == OWN_DATA:
            raise ItemError("task.data", "must be given, and is not")
        if self.trainer and self.training.amp == "auto":
            raise ItemError(
                "training.amp",
                "must be off, bfloat16 or float16 for a training loop of your own, whose steps "
                "normsearch cannot time, got auto",
            )
        if self.trainer and self.search.method == "supernet":
            raise ItemError(
                "search.method", "must be trials in a study with a trainer, got supernet"
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
    def _one_gpu_a_trial(self) -> Self:
        gpus = self.search.resources.gpu
        if gpus > 1 and self.trainer is None:
            raise ItemError(
                "search.resources.gpu",
                "must be at most 1, as a trial trains on one GPU and the others would be idle "
                f"(a training loop of your own may use several), got {gpus:g}",
            )
        return self

    @model_validator(mode="after")
    def _budget_of_a_search(self) -> Self:
        samples, one = self.search.samples, self.training.samples
        if samples is not None and self.training.budget == "samples" and samples < one:
            raise ItemError(
                "search.samples",
                f"must be at least training.samples ({one}), or no trial fits, got {samples}",
            )
        low, high = self.bounds
        if self.search.stop and self.search.stop.gain >= high - low:
            raise ItemError(
                "search.stop.gain",
                f"must be below {high - low:g}, the range of the score, "
                f"got {self.search.stop.gain:g}",
            )
        return self

    @model_validator(mode="after")
    def _only_arms_see_the_test_folds(self) -> Self:
        if self.task.validation == "test" and not isinstance(self.space, ArmsConfig):
            raise ValueError(
                "task.validation must not be test in a search, which would then choose by the test "
                "folds; search on validation subjects, then `normsearch confirm`"
            )
        return self

    @model_validator(mode="after")
    def _seams_are_of_patches(self) -> Self:
        search, place = self.search, "search.constraints.seam"
        if "seam" in search.objectives:
            place = f"search.objectives[{search.objectives.index('seam')}]"
        elif "seam" not in search.constraints.limits:
            return self
        must = "seam is measured where normsearch trains on patches (task.sample: patch), and"
        if self.trainer:
            raise ItemError(place, f"{must} {self.trainer} trains here; leave it out")
        if self.task.sample != "patch":
            raise ItemError(place, f"{must} a sample is a {self.task.sample} here; leave it out")
        return self

    @model_validator(mode="after")
    def _arms_are_trained_once_each(self) -> Self:
        if not isinstance(self.space, ArmsConfig):
            return self
        for arm in self.space.arms:
            self.training.changed(arm.training)
        needed: dict[str, Any] = dict.fromkeys(("hours", "samples", "stop"))
        needed |= {"sampler": "grid", "pruner": PrunerConfig(name="none"), "baselines": False}
        needed |= {"race": 0.0, "confirm": 0.0, "trials": self.space.size}
        for name, value in needed.items():
            given = getattr(self.search, name)
            if name in self.search.model_fields_set and given != value:
                raise ItemError(f"search.{name}", f"must be left out for arms, got {given}")
        object.__setattr__(self, "search", self.search.model_copy(update=needed))
        return self


class Mixture(Model):
    """Slots of a supernet that mix all choices with one vector of learnt weights."""

    slots: tuple[str, ...]
    """Names of the slots."""
    choices: tuple[str, ...]
    """Specs of the norms that are mixed."""
    weights: Literal["softmax", "sparsest_max"] = "softmax"
    """Function from parameters to weights."""


OF_TRAINING = tuple(name for name in HYPERPARAMETERS if name in TrainingConfig.model_fields)
"""The hyperparameters that are settings of the training."""
OF_NETWORK = tuple(name for name in HYPERPARAMETERS if name in NetworkConfig.model_fields)
"""The hyperparameters that are settings of the network."""
OF_TRIAL = tuple(name for name in HYPERPARAMETERS if name not in (*OF_TRAINING, *OF_NETWORK))
"""The other hyperparameters, which are fields of a trial."""
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
    """The complete configuration of a trial, from which it can be trained again.

    It has a field for each of `OF_TRIAL`; the other chosen hyperparameters are in `training` and
    `network`. A supernet has `mixtures` instead of a norm map.
    """

    study: RunName
    """Name of the run."""
    trainer: ImportPath | None = None
    """The study's training loop, if it is not that of normsearch."""
    number: Number
    """Number of the trial."""
    task: TaskConfig = TaskConfig()
    """The data."""
    network: NetworkConfig
    """The network."""
    training: TrainingConfig
    """How the trial is trained."""
    norm_map: dict[str, str]
    """Effective spec of the norm in each slot."""
    affine: bool = True
    """Whether norms learn γ and β."""
    arm: str | None = None
    """Name of the arm, in a study of arms."""
    mixtures: tuple[Mixture, ...] = ()
    """Mixtures of a supernet."""
    baseline: str | None = None
    """The norm, for a single norm at the space's default setting."""
    device: Literal["cpu", "cuda"] = "cpu"
    """The device of the training."""
    gpu_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Largest share of the GPU's memory that the trial may use."""
    threads: Cores = 1
    """CPU threads."""
    loader_workers: LoaderWorkers = 0
    """Threads that build batches ahead."""
    fingerprint: str | None = None
    """SHA-256 of the cases."""
    sample_shape: SampleShape | None = None
    """Shape of a sample, (channels, *spatial)."""
    geometry: GeometryConfig | None = None
    """Orientation and spacing of the training cases."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of the software."""
    network_digest: NetworkDigest | None = None
    """The network at the start."""

    @property
    def gate_learning_rate(self) -> float:
        """Learning rate of the weights by which norms mix."""
        return self.learning_rate * self.training.gate_learning_rate_factor

    def write(self, path: Path) -> None:
        """Write the trial as JSON, atomically."""
        from normsearch.files import write_text

        write_text(path, self.model_dump_json(indent=2) + "\n")


def plain(model: Model) -> dict[str, Any]:
    """Return a model as dicts, lists, numbers and texts, for YAML and JSON."""
    return model.model_dump(mode="json", exclude_none=True)
