"""The search of a study as typed models: trials, sampler, pruner and resources."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from normsearch import limits
from normsearch.config.base import (
    BatchSize,
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
from normsearch.config.budget import Budget
from normsearch.config.hyperparameters import Hyperparameters
from normsearch.config.resources import Resources
from normsearch.errors import did_you_mean

_OURS = "normsearch.samplers"

#: Name -> import path of the class or function that builds it, and a summary; likewise below.
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
        "asynchronous: the best third at each rung continues",
    ),
    "hyperband": Listed(
        f"{_OURS}.pruners:hyperband",
        "several brackets of successive halving, with later first rungs",
    ),
    "median": Listed(
        f"{_OURS}.pruners:median", "below the median of earlier trials at the same point"
    ),
    "patient": Listed(
        f"{_OURS}.pruners:patient",
        "another pruner, consulted only after a curve has been falling for a while",
    ),
    "none": Listed(f"{_OURS}.pruners:none", "every trial runs to the end"),
}
CALLBACKS: dict[str, Listed] = {
    "tensorboard": Listed("normsearch.search.callbacks:TensorBoard", "scalars in RUN/tensorboard"),
    "mlflow": Listed("normsearch.search.callbacks:MLflow", "runs at MLFLOW_TRACKING_URI"),
    "wandb": Listed("normsearch.search.callbacks:WeightsAndBiases", "Weights & Biases"),
}
OBJECTIVES: dict[str, tuple[str, Literal["maximize", "minimize"]]] = {
    "score": ("score", "maximize"),
    "seconds": ("seconds", "minimize"),
    "memory": ("peak_memory", "minimize"),
    "parameters": ("parameters", "minimize"),
    "seam": ("seam", "minimize"),
}
"""Objective -> (field of a trial's last record, direction)."""

ONE_OBJECTIVE = ("gp", "evonms", "evolution")  # samplers of one objective only


class PrunerConfig(Model):
    """When a trial is stopped early. Resources are counted in evaluation points."""

    name: Annotated[str, AfterValidator(one_of(PRUNERS, "optuna.pruners:PercentilePruner"))] = (
        "successive_halving"
    )
    """One of ``normsearch list pruners``, or the import path of an Optuna pruner."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the constructor, for a pruner given by its import path."""
    min_resource: Evaluations = 2
    """First rung of successive_halving and hyperband."""
    reduction_factor: Annotated[int, Field(ge=2, le=limits.EVALUATIONS)] = 3
    """Factor from one rung to the next."""
    startup_trials: Number = 5
    """Trials before median stops any."""
    warmup: Points = 0
    """Evaluation points before median stops a trial."""
    patience: Points = 1
    """patient consults `wrapped` if the best of the last `patience` + 1 points is worse than the
    best before them."""
    min_delta: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Smallest difference that counts as worse."""
    wrapped: Annotated[PrunerConfig | None, BeforeValidator(text_as_name)] = None
    """The pruner that patient consults; if left out, patient stops the trial itself."""

    @model_validator(mode="after")
    def _patient_wraps(self) -> Self:
        if self.wrapped is not None and self.name != "patient":
            raise ValueError(f"wrapped must be left out unless name is patient, got {self.name}")
        if self.arguments and self.name in PRUNERS:
            raise ValueError(
                f"arguments must be left out unless name is an import path, got {self.name}"
            )
        return self


class _PlacedNorms(Model):
    norm: dict[str, str]
    """Norm of each slot, by glob."""


class Point(Hyperparameters, _PlacedNorms):
    """A configuration to train early. A value that is left out is the space's default."""

    source: str = "points"
    """Where the configuration comes from."""


class ConstraintsConfig(Model):
    """What a finished trial must keep to; one that does not is never the best.

    It counts for the sampler as a failed one, and a confirmation leaves it out.
    """

    seam: Annotated[float, Field(gt=0, le=1)] | None = None
    """Largest seam between tiles, for trainings on patches; see docs/data.md."""

    @property
    def limits(self) -> dict[str, float]:
        """The constraints that are given, by their names in `OBJECTIVES`."""
        return {name: limit for name, limit in self if limit is not None}


class SupernetConfig(Model):
    """The one-shot network of ``method: supernet``."""

    weights: Literal["softmax", "sparsest_max"] = "softmax"
    """How the norms of a slot are mixed; sparsest_max converges to a single one."""
    samples: Samples | None = None
    """Training samples; those of the study if left out."""
    learning_rate: LearningRate | None = None
    """Learning rate; the space's default if left out."""
    batch_size: BatchSize | None = None
    """Batch size; the space's default if left out."""


class SearchConfig(Budget):
    """How many trials are trained, and how their configurations are chosen.

    First come the baselines, then the `points` and those of `papers` and `warm_start`. Of the other
    trials, the share `single_norms` tunes single norms, and the sampler chooses the rest. The
    sampler chooses all of them without `baselines`, with sampler grid, and where every choice is a
    single norm.
    """

    method: Literal["trials", "supernet"] = "trials"
    """``supernet`` first trains one network with all norms in every slot, and adds the
    configurations that it prefers."""
    sampler: str = "gp"
    """One of ``normsearch list samplers``, or the import path of an Optuna sampler
    (``optuna.samplers:QMCSampler``, ``optunahub:samplers/PACKAGE:CLASS``). The default is gp, and
    tpe with several objectives."""
    sampler_arguments: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the sampler's constructor."""
    objectives: Annotated[tuple[str, ...], Field(min_length=1)] = ("score",)
    """What is optimized: score, and any of seconds, memory, parameters, and seam (the mean
    absolute difference of probabilities between two predictions by shifted tiles, for patches)."""
    constraints: ConstraintsConfig = ConstraintsConfig()
    """What a finished trial must keep to, such as ``{seam: 0.02}``."""
    seed: Seed = 0
    """Seed of the sampler."""
    pruner: Annotated[PrunerConfig, BeforeValidator(text_as_name)] = PrunerConfig()
    """When a trial is stopped early; a name, or the keys of a pruner."""
    baselines: bool = True
    """Whether each norm of the space is first trained in all slots, at the space's default setting
    and without pruning."""
    single_norms: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the trials that trains the better single norms at other learning rates, batch sizes
    and so on, and at those of the best mixtures."""
    papers: bool = False
    """Whether published configurations are trained early."""
    warm_start: str | None = None
    """Name of another run whose best configurations are trained early."""
    warm_start_top: Trials = 5
    """How many of them."""
    points: tuple[Point, ...] = ()
    """Configurations to train early."""
    supernet: SupernetConfig = SupernetConfig()
    """The network of ``method: supernet``."""
    resources: Resources = Resources()
    """The resources of one trial."""
    workers: Annotated[int, Field(gt=0, le=limits.WORKERS)] | None = None
    """Trials that run at once; as many as the resources allow if left out."""
    time_limit: Annotated[float, Field(gt=0, le=limits.SECONDS)] | None = None
    """Time limit of a trial's training, in seconds."""
    grace_seconds: Seconds = 20.0
    """How long a driver waits for its trials after SIGTERM, in seconds."""
    callbacks: tuple[
        Annotated[str, AfterValidator(one_of(CALLBACKS, "my_loggers:Printer"))], ...
    ] = ()
    """Loggers that also record the trials: names of ``normsearch list loggers``, or
    ``module:name``."""
    checkpoints: str | None = None
    """URL for checkpoints, if workers do not share the run's folder."""

    @model_validator(mode="before")
    @classmethod
    def _usual_sampler(cls, given: Any) -> Any:
        """Use tpe by default with several objectives, which gp does not support."""
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
                "must hold no password, since study.yaml records it, got one; set credentials in "
                "the environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        return url

    @field_validator("objectives")
    @classmethod
    def _known_objectives(cls, objectives: tuple[str, ...]) -> tuple[str, ...]:
        for name in objectives:
            if name not in OBJECTIVES:
                known = ", ".join(OBJECTIVES)
                hint = did_you_mean(name, OBJECTIVES)
                raise ValueError(f"must be one of {known}, got {name!r}.{hint}")
        if "score" not in objectives or len(set(objectives)) < len(objectives):
            raise ValueError(f"must hold score, and no name twice, got {', '.join(objectives)}")
        return objectives

    @model_validator(mode="after")
    def _several_objectives(self) -> Self:
        several = ", ".join(self.objectives)
        if len(self.objectives) > 1 and self.pruner.name != "none":
            raise ItemError(
                "pruner",
                f"must be none with several objectives ({several}), since a trial can be worse in "
                f"one and better in another, got {self.pruner.name}; or optimize only score: the "
                "others are recorded anyway",
            )
        if len(self.objectives) > 1 and self.sampler in ONE_OBJECTIVE:
            raise ItemError(
                "sampler",
                f"must support several objectives ({several}), as genetic and tpe do, "
                f"got {self.sampler}",
            )
        return self

    @model_validator(mode="after")
    def _race_of_one_score(self) -> Self:
        several = ", ".join(self.objectives)
        if self.race and len(self.objectives) > 1:
            raise ItemError(
                "race",
                f"must be 0 with several objectives ({several}), which have no single best, "
                f"got {self.race:g}; optimize only score, or confirm the search",
            )
        if self.race and self.sampler == "grid":
            raise ItemError(
                "race",
                f"must be 0 with sampler grid, which trains every configuration once, "
                f"got {self.race:g}; choose another sampler, such as random",
            )
        if self.stop and len(self.objectives) > 1:
            raise ItemError(
                "stop",
                f"must be left out with several objectives ({several}), which have no single gain",
            )
        return self
