"""Times a few training steps of a study here: how long a trial takes, `training.amp: auto`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import torch

from normsearch.config import SpaceConfig, StudyConfig, TrainingConfig, TrialConfig
from normsearch.data import BatchLoader, Case, Split, spread_cases
from normsearch.norms import initialize_weight_norms
from normsearch.training import choose_metric, score_cases
from normsearch.training.optimizer_step import Stepper
from normsearch.trials.class_weights import loss_of
from normsearch.trials.task import interim_cases, sample_shape
from normsearch.trials.training import parameter_groups, plan_of, training_loader, validation_cases
from normsearch.trials.trial_network import network_of
from normsearch.trials.validation_cost import FORWARD, batch_sizes

_STEPS, _SECONDS = 20, 5.0  # whichever comes first
_WORTH = 0.95  # of float32's time: less gain is not worth the lower precision
_LEAST = 2  # steps
_SCORED = 16  # cases


@dataclass(frozen=True)
class TrialTime:
    """Seconds of the parts of a trial: on a CPU, of its own cores; see `time_trial`.

    Attributes:
        sample: training on one sample.
        interim: an evaluation on the way.
        last: the last evaluation.
        norm: the norm in every slot of the network that was timed.
        steps: the steps that were timed.
        delay: how many times as long the steps took, as other programs used the machine too.
    """

    sample: float
    interim: float
    last: float
    norm: str
    steps: int
    delay: float = 1.0

    def seconds(self, samples: int, evaluations: int) -> float:
        """Return the seconds of a trial that is not stopped early."""
        return samples * self.sample + (evaluations - 1) * self.interim + self.last

    def samples(self, seconds: float, evaluations: int) -> int:
        """Return the training samples that fit into a trial of so many seconds; 0 if none do."""
        left = seconds - (evaluations - 1) * self.interim - self.last
        return max(0, int(left / self.sample))


def time_trial(config: StudyConfig, split: Split) -> TrialTime:
    """Time a few training steps and the scoring of a few validation cases.

    The loader, network, loss and optimizer are those of a trial, with the first norm of the space
    that is not ``none``, at its default learning rate and batch size. The first step, which also
    sets up memory, is not counted. On a CPU the time of the processor is counted, not that on which
    other programs kept it.

    Args:
        config: a study with a space in YAML, and with the size of its samples.
        split: its cases.

    Raises:
        NormsearchError: the network, loss or samples do not fit each other.
    """
    trial = _trial(config)
    task = trial.task
    with _steps_of(trial, split) as (network, stepper, loader):
        clock = _Clock(trial)
        sample, steps = _seconds_of_a_sample(stepper, loader, clock)
        delay = clock.delay()
        shape = sample_shape(task, split.train)
        scored = _seconds_of_scoring(trial, network, split.validation, shape)
    refreshed = FORWARD * sample * trial.training.statistics_samples
    some = interim_cases(task, split.validation)
    return TrialTime(
        sample, refreshed + scored(some), refreshed + scored(split.validation),
        trial.norm_map["*"], steps, delay,
    )  # fmt: skip


@contextmanager
def _steps_of(
    trial: TrialConfig, split: Split
) -> Iterator[tuple[torch.nn.Module, Stepper, BatchLoader]]:
    """Set up the training of a trial, with its number of threads; yield what takes its steps."""
    before = torch.get_num_threads()
    torch.set_num_threads(trial.threads)
    network = network_of(trial, sample_shape(trial.task, split.train)[0])
    loader = training_loader(trial, split.train)
    try:
        initialize_weight_norms(network, loader.batch(0)[0])
        loss = loss_of(trial.training, trial.task, split.train)
        network.to(trial.device).train()
        groups = parameter_groups(network, trial.gate_learning_rate)
        yield network, Stepper(network, loss, plan_of(trial), trial.device, groups), loader
    finally:
        loader.close()
        torch.set_num_threads(before)


def _trial(config: StudyConfig) -> TrialConfig:
    space = config.space
    if not isinstance(space, SpaceConfig):
        raise TypeError(f"a space in YAML is needed, got {type(space).__name__}")
    norm = next((one for one in space.norm.choices if one not in ("none", "GN")), "none")
    return TrialConfig(
        study=config.name,
        number=0,
        task=config.task,
        network=config.network,
        training=config.training,
        norm_map={"*": norm},
        learning_rate=space.learning_rate.middle,
        batch_size=space.batch_size.middle,
        device="cuda" if config.search.resources.gpu else "cpu",
        threads=config.search.resources.cpu,
        loader_workers=config.search.resources.loader_workers,
    )


class _Clock:
    """Seconds since it was made: of each of a trial's cores on a CPU, else of the wall clock."""

    def __init__(self, trial: TrialConfig) -> None:
        self._cores = trial.threads if trial.device == "cpu" else 0
        self._used, self._began = time.process_time(), time.perf_counter()

    def seconds(self) -> float:
        """Return the seconds, at most those of the wall clock."""
        used = (time.process_time() - self._used) / max(self._cores, 1)
        return min(used, self.wall()) if self._cores else self.wall()

    def wall(self) -> float:
        """Return the seconds of the wall clock."""
        return time.perf_counter() - self._began

    def delay(self) -> float:
        """Return how many times as long the wall clock ran."""
        return self.wall() / max(self.seconds(), 1e-9)


def _seconds_of_a_sample(stepper: Stepper, loader: BatchLoader, clock: _Clock) -> tuple[float, int]:
    """Return the seconds of a training sample, and the number of steps that were timed."""
    batches = loader.batches(0)
    float(stepper.step(batches, 0.0)[0])
    started, samples, steps = clock.seconds(), 0, 0
    while steps < _STEPS and (steps < _LEAST or clock.seconds() - started < _SECONDS):
        loss, of_step = stepper.step(batches, 0.0)
        samples, steps = samples + of_step, steps + 1
    float(loss)  # waits for a GPU
    return (clock.seconds() - started) / samples, steps


def _seconds_of_scoring(
    trial: TrialConfig, network: torch.nn.Module, cases: Sequence[Case], shape: Sequence[int]
) -> Callable[[Sequence[Case]], float]:
    """Return a function from cases to the seconds of scoring them, in proportion to voxels."""
    some = spread_cases(cases, 1 if trial.task.kind == "segmentation" else _SCORED)
    metric = choose_metric(trial.training.metric, trial.task.outputs, trial.task.kind)
    validation = validation_cases(trial.task, some, shape[1:])
    clock = _Clock(trial)
    score_cases(network, validation, metric.of_case, device=trial.device)
    each = clock.seconds() / sum(case.image.size for case in some)
    return lambda chosen: each * sum(case.image.size for case in chosen)


def with_precision(config: StudyConfig, split: Split) -> tuple[StudyConfig, list[str]]:
    """Return the study with a precision in place of `training.amp: auto`, and why in a sentence.

    On a GPU it is bfloat16. On a CPU it is bfloat16 if that shortens a training step by 5% or more
    (median of up to 20 steps each, in turn), and otherwise off: processors without instructions for
    bfloat16, and small networks, are slower with it.

    Args:
        config: the study.
        split: its cases.
    """
    if config.training.amp != "auto":
        return config, []
    if config.search.resources.gpu:
        return _chosen(config, "bfloat16", "on a GPU")
    seconds = _step_seconds(config, split)
    faster = seconds["bfloat16"] <= _WORTH * seconds["off"]
    took = ", ".join(f"{1000 * value:.3g} ms with {amp}" for amp, value in seconds.items())
    return _chosen(config, "bfloat16" if faster else "off", f"a training step took {took}")


def with_recorded_precision(training: TrainingConfig, recorded: TrainingConfig) -> TrainingConfig:
    """Return the training with the precision that a run of it recorded, if it is to be chosen."""
    return training.model_copy(update={"amp": recorded.amp}) if training.amp == "auto" else training


def _chosen(config: StudyConfig, amp: str, why: str) -> tuple[StudyConfig, list[str]]:
    training = config.training.model_copy(update={"amp": amp})
    told = f"training.amp: auto chose {amp}: {why}"
    return config.model_copy(update={"training": training}), [told]


def _step_seconds(config: StudyConfig, split: Split) -> dict[str, float]:
    """Return the median CPU seconds of a step in each precision, with the network's own norms."""
    steps, found = {}, dict[str, list[float]]()
    with ExitStack() as ends:
        for amp in ("off", "bfloat16"):
            training = config.training.model_copy(update={"amp": amp})
            trial = TrialConfig(
                study=config.name, number=0, task=config.task, network=config.network,
                training=training, norm_map={}, learning_rate=1e-3,
                batch_size=max(batch_sizes(config), default=1),
                threads=config.search.resources.cpu,
            )  # fmt: skip
            _, stepper, loader = ends.enter_context(_steps_of(trial, split))
            steps[amp], found[amp] = partial(stepper.step, loader.batches(0), 0.0), []
            steps[amp]()  # also sets up memory
        end = time.perf_counter() + 2 * _SECONDS
        while len(found["off"]) < _STEPS and (not found["off"] or time.perf_counter() < end):
            for amp, step in steps.items():
                began = time.process_time()
                step()
                found[amp].append(time.process_time() - began)
    return {amp: statistics.median(seconds) for amp, seconds in found.items()}
