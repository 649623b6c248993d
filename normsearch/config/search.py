"""The search of a study as typed models: how many trials, by which sampler, pruned how, on what."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from normsearch import limits
from normsearch.config.base import (
    BatchSize,
    Cores,
    Evaluations,
    ItemError,
    LearningRate,
    Listed,
    Model,
    Number,
    Points,
    Samples,
    Seconds,
    Seed,
    Trials,
    one_of,
    text_as_name,
)
from normsearch.config.hyperparameters import Hyperparameters
from normsearch.errors import did_you_mean

_OURS = "normsearch.samplers"

#: Name -> the class or function that builds it, and a line on it; likewise below.
SAMPLERS: dict[str, Listed] = {
    "gp": Listed(
        f"{_OURS}.gp_sampler:GaussianProcessSampler",
        "a Gaussian process over the choices; learns from pruned trials and repeats none",
    ),
    "tpe": Listed(
        "optuna.samplers:TPESampler",
        "Optuna's tree-structured Parzen estimator; learns from pruned trials too",
    ),
    "random": Listed("optuna.samplers:RandomSampler", "uniform draws"),
    "grid": Listed(
        f"{_OURS}.fixed:GridSampler",
        "every configuration of a space without ranges, once, in order",
    ),
    "genetic": Listed(f"{_OURS}.registry:genetic", "NSGA-II; one objective or several"),
    "evonms": Listed(
        f"{_OURS}.evolution:OnePointGenetic",
        "genetic search as in evoNMS: 20 a generation, one-point crossover, 10% mutation",
    ),
    "evolution": Listed(
        f"{_OURS}.evolution:AgeingEvolution",
        "regularized evolution: the best of a few mutates, the oldest dies",
    ),
}
PRUNERS: dict[str, Listed] = {
    "successive_halving": Listed(
        f"{_OURS}.pruners:successive_halving",
        "asynchronous: the best third at each rung goes on",
    ),
    "hyperband": Listed(
        f"{_OURS}.pruners:hyperband",
        "several brackets of successive halving, with later first rungs",
    ),
    "median": Listed(
        f"{_OURS}.pruners:median", "below the median of the trials before at the same point"
    ),
    "patient": Listed(
        f"{_OURS}.pruners:patient",
        "another pruner, asked only once a curve has been falling for a while",
    ),
    "none": Listed(f"{_OURS}.pruners:none", "every trial runs to the end"),
}
CALLBACKS: dict[str, Listed] = {
    "tensorboard": Listed("normsearch.search.callbacks:TensorBoard", "scalars in RUN/tensorboard"),
    "mlflow": Listed("normsearch.search.callbacks:MLflow", "runs where MLFLOW_TRACKING_URI says"),
    "wandb": Listed("normsearch.search.callbacks:WeightsAndBiases", "Weights & Biases"),
}
OBJECTIVES: dict[str, tuple[str, Literal["maximize", "minimize"]]] = {
    "score": ("score", "maximize"),
    "seconds": ("seconds", "minimize"),
    "memory": ("peak_memory", "minimize"),
    "parameters": ("parameters", "minimize"),
}
"""What a search may aim at -> (the field of a trial's last record, direction)."""

ONE_OBJECTIVE = ("gp", "evonms", "evolution")  # samplers that know no Pareto front


class PrunerConfig(Model):
    """When a trial is stopped early. Resources are evaluation points.

    successive_halving and hyperband: the first rung lies at `min_resource`, each further one
    `reduction_factor` times later. median: not before `startup_trials` trials and not in the first
    `warmup` points. patient: where the best of the last `patience` + 1 points is more than
    `min_delta` below the best before them, `wrapped` is asked; without one the trial is stopped.
    `name` may also be the import path of any Optuna pruner, whose constructor takes `arguments`.
    """

    name: Annotated[str, AfterValidator(one_of(PRUNERS, "optuna.pruners:PercentilePruner"))] = (
        "successive_halving"
    )
    arguments: dict[str, Any] = Field(default_factory=dict)
    min_resource: Evaluations = 2
    reduction_factor: Annotated[int, Field(ge=2, le=limits.EVALUATIONS)] = 3
    startup_trials: Number = 5
    warmup: Points = 0
    patience: Points = 1
    min_delta: Annotated[float, Field(ge=0, le=1)] = 0.0
    wrapped: Annotated[PrunerConfig | None, BeforeValidator(text_as_name)] = None

    @model_validator(mode="after")
    def _patient_wraps(self) -> Self:
        if self.wrapped is not None and self.name != "patient":
            raise ValueError(f"only patient takes wrapped, got {self.name} with it")
        if self.arguments and self.name in PRUNERS:
            raise ValueError(f"arguments are for an import path, got {self.name} with them")
        return self


class Resources(Model):
    """What one trial occupies: CPU cores and GPUs (a fraction shares one)."""

    cpu: Cores = 1
    gpu: Annotated[float, Field(ge=0, le=limits.GPUS)] = 0.0

    @field_validator("gpu")
    @classmethod
    def _share_or_whole(cls, gpu: float) -> float:
        """Ray gives shares of one GPU, or whole ones."""
        if (gpu > 1 and gpu != int(gpu)) or 0 < gpu < limits.GPU_SHARE:
            raise ValueError(
                f"must be 0, a share of one GPU from {limits.GPU_SHARE} on, or a whole number, "
                f"got {gpu}"
            )
        return gpu


class _PlacedNorms(Model):
    norm: dict[str, str]


class Point(Hyperparameters, _PlacedNorms):
    """A known configuration to train early: a norm map by globs and whatever else is fixed.

    What is left out takes the space's default. `source` says where it comes from.
    """

    source: str = "points"


class SupernetConfig(Model):
    """The one-shot network of `method: supernet`; what is left out is the study's own.

    `weights` is how a slot's candidates are mixed: ``softmax``, or ``sparsest_max``, which ends
    with one candidate alone. `learning_rate` and `batch_size`: the space's defaults if left out.
    """

    weights: Literal["softmax", "sparsest_max"] = "softmax"
    samples: Samples | None = None
    learning_rate: LearningRate | None = None
    batch_size: BatchSize | None = None


class SearchConfig(Model):
    """How many trials are asked for, by which sampler, pruned how, on what.

    `sampler` is a name, or the import path of any Optuna sampler (``optuna.samplers:QMCSampler``,
    ``optunahub:samplers/PACKAGE:CLASS``); `sampler_arguments` go to its constructor. If it is not
    given it is gp, and tpe with several objectives.
    `baselines` runs every norm of the space as a single-norm network first, at the space's default
    setting and never pruned; then come `points`, to which `papers` adds the published settings and
    `warm_start` the `warm_start_top` best configurations of another run. Of the trials that are
    left the share `single_norms` tunes the better single norms: it tries them at further learning
    rates and batch sizes (and whatever else the space holds), and at those of the best mixtures.
    Without `baselines`, with sampler grid, or where every choice is a single norm, the sampler has
    all trials. `method: supernet` trains one network with
    all candidates in every slot first, and adds what it prefers.
    `workers` trials run at once; if it is not given, as many as the resources hold. `time_limit`
    is what a trial may train, in seconds; after SIGTERM a driver waits `grace_seconds` at most.
    `callbacks` log the trials elsewhere too, ours or ``module:name``; `checkpoints` is a URL to
    keep checkpoints at, where the workers do not share the run's folder.
    """

    trials: Trials = 50
    method: Literal["trials", "supernet"] = "trials"
    sampler: str = "gp"
    sampler_arguments: dict[str, Any] = Field(default_factory=dict)
    objectives: Annotated[tuple[str, ...], Field(min_length=1)] = ("score",)
    seed: Seed = 0
    pruner: Annotated[PrunerConfig, BeforeValidator(text_as_name)] = PrunerConfig()
    baselines: bool = True
    single_norms: Annotated[float, Field(ge=0, le=1)] = 0.5
    papers: bool = False
    warm_start: str | None = None
    warm_start_top: Trials = 5
    points: tuple[Point, ...] = ()
    supernet: SupernetConfig = SupernetConfig()
    resources: Resources = Resources()
    workers: Annotated[int, Field(gt=0, le=limits.WORKERS)] | None = None
    time_limit: Annotated[float, Field(gt=0, le=limits.SECONDS)] | None = None
    grace_seconds: Seconds = 20.0
    callbacks: tuple[
        Annotated[str, AfterValidator(one_of(CALLBACKS, "my_loggers:Printer"))], ...
    ] = ()
    checkpoints: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _usual_sampler(cls, given: Any) -> Any:
        """Take tpe where several objectives are named and no sampler: gp knows one."""
        objectives = given.get("objectives") if isinstance(given, dict) else None
        if isinstance(objectives, list | tuple) and len(objectives) > 1:
            return {"sampler": "tpe", **given}
        return given

    @field_validator("sampler")
    @classmethod
    def _known_sampler(cls, sampler: str) -> str:
        if not sampler.startswith("optunahub:"):
            one_of(SAMPLERS, "optuna.samplers:QMCSampler")(sampler)
        return sampler

    @field_validator("checkpoints")
    @classmethod
    def _no_password(cls, url: str | None) -> str | None:
        if url and urlsplit(url).password is not None:
            raise ValueError(
                "must hold no password, for study.yaml records it, got one; give keys in "
                "the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, say)"
            )
        return url

    @field_validator("objectives")
    @classmethod
    def _known_objectives(cls, objectives: tuple[str, ...]) -> tuple[str, ...]:
        for name in objectives:
            if name not in OBJECTIVES:
                known = ", ".join(OBJECTIVES)
                hint = did_you_mean(name, OBJECTIVES)
                raise ValueError(f"must be among {known}, got {name!r}.{hint}")
        if "score" not in objectives or len(set(objectives)) < len(objectives):
            raise ValueError(f"must hold score, and each once, got {', '.join(objectives)}")
        return objectives

    @model_validator(mode="after")
    def _several_objectives(self) -> Self:
        several = ", ".join(self.objectives)
        if len(self.objectives) > 1 and self.pruner.name != "none":
            raise ItemError(
                "pruner",
                f"must be none with several objectives ({several}), for a trial can be behind in "
                f"one and ahead in another, got {self.pruner.name}; or keep score alone: the "
                "others are recorded anyway",
            )
        if len(self.objectives) > 1 and self.sampler in ONE_OBJECTIVE:
            raise ItemError(
                "sampler",
                f"must know several objectives ({several}), as genetic and tpe do, "
                f"got {self.sampler}",
            )
        return self
