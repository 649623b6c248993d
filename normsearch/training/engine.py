"""Training as a generator, with a result and a checkpoint at each evaluation point."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from normsearch.errors import CheckpointError, TrainingError, one_line
from normsearch.training.acceleration import to_device, use_channels_last
from normsearch.training.error_conversion import lacks_memory, typed_failures
from normsearch.training.losses import Loss, bce_dice_loss
from normsearch.training.memory import (
    peak_memory,
    prepare_memory,
    random_state,
    restore_random_state,
)
from normsearch.training.metrics import Score, mean_score, segmentation_score
from normsearch.training.optimizer_step import Batches, Stepper
from normsearch.training.plan import Evaluation, Plan, Progress
from normsearch.training.precision import autocast
from normsearch.training.statistics import has_running_statistics, recompute_statistics
from normsearch.training.validation import Validation, score_cases
from normsearch.training.weight_average import WeightAverage

_CHECK_EVERY = 10  # steps between checks of the loss, each of which waits for the GPU


class Loader(Protocol):
    """Training data for `train`: batches that depend only on their first sample."""

    @property
    def batch_size(self) -> int:
        """Samples in each batch."""

    def batches(self, start_sample: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield float32 images (B, C, *spatial) and labels as the loss takes them, without end."""


def train(
    network: nn.Module,
    loader: Loader,
    validation: Validation,
    plan: Plan,
    *,
    interim: Validation | None = None,
    loss: Loss = bce_dice_loss,
    score: Score = segmentation_score,
    score_of_all: Callable[[Mapping[str, Mapping[str, float]]], float] | None = None,
    parameter_groups: Iterable[dict[str, Any]] | None = None,
    after_step: Callable[[], None] | None = None,
    on_progress: Callable[[float], None] | None = None,
    state: dict[str, Any] | None = None,
    save: Callable[[dict[str, Any]], None] | None = None,
    device: str = "cpu",
) -> Iterator[Evaluation]:
    """Train `network` and yield one `Evaluation` at each of `plan.evaluations` equal fractions.

    The evaluations in `state` are yielded first, without training. On the CPU, a resumed training
    gives exactly the results of an uninterrupted one. With `plan.ema` the network holds the average
    of its weights whenever an evaluation is yielded, and at the end.

    Args:
        network: maps (B, C, *spatial) to logits (B, K, *spatial), or (B, K) of whole images; in
            training it may return logits at several scales, see `over_scales`.
        loader: the training batches; the last step may exceed the budget by less than one step.
        validation: the cases to score, by id; see `ValidationCase`.
        plan: budget, evaluation points, optimizer, precision and further options.
        interim: the cases that evaluations before the last score; those of `validation` if None.
        loss: scalar from logits (float32) and labels.
        score: ``score`` and details from logits, truth and spacing of one case.
        score_of_all: the score of an evaluation from the results of `score` by case; the mean of
            the cases' scores if None.
        parameter_groups: for the optimizer, instead of all parameters at one learning rate; a
            group's ``lr`` is its initial learning rate.
        after_step: called after each optimizer step, for example to clamp gates.
        on_progress: called with the share of the budget that is used, 0 to 1, before each step and
            before each evaluation (for norms with a schedule).
        state: a state from `save` to resume from.
        save: called with the complete state before each evaluation is yielded.
        device: where to train, ``cpu`` or ``cuda``.

    Raises:
        TrainingError: the loss is not finite (``nan``), there is too little memory (``memory``), or
            a norm has too few values (``norm``).
        CheckpointError: `state` does not fit this network and optimizer.
        ConfigError: the device does not support the plan's precision.
    """
    with typed_failures(loader.batch_size):
        network.to(device)
        if plan.channels_last:
            use_channels_last(network)
        stepper = Stepper(network, loss, plan, device, parameter_groups)
        average = WeightAverage(network, plan.ema)
        progress = _restore(state, network, stepper, average, device) if state else Progress()
    yield from progress.history
    prepare_memory(device)
    batches = loader.batches(progress.samples)
    report_progress = on_progress or (lambda share: None)

    def after_each() -> None:
        if after_step:
            after_step()
        average.update()

    for number in range(len(progress.history) + 1, plan.evaluations + 1):
        started = time.perf_counter()
        average.remove()
        with typed_failures(loader.batch_size):
            mean_loss = _train_until(
                number, network, stepper, batches, plan, progress, report_progress, after_each
            )
            report_progress(progress.share(plan))
            average.place()
            with autocast(plan.amp, device):
                if plan.statistics_samples and has_running_statistics(network):
                    _refresh_statistics(network, loader, plan.statistics_samples, device)
                cases = interim if interim and number < plan.evaluations else validation
                found = score_cases(network, cases, score, device=device)
        progress.seconds += time.perf_counter() - started
        total = mean_score(case["score"] for case in found.values())
        if score_of_all:
            total = score_of_all(found)
        progress.history.append(_evaluation(number, progress, mean_loss, total, found, device))
        if save:
            save(_state(network, stepper, average, progress, device))
        yield progress.history[-1]


def _train_until(
    evaluation: int,
    network: nn.Module,
    stepper: Stepper,
    batches: Batches,
    plan: Plan,
    progress: Progress,
    report_progress: Callable[[float], None],
    after_step: Callable[[], None],
) -> float:
    network.train()
    total, steps, target = 0.0, 0, plan.target(evaluation)
    losses: list[Tensor] = []
    while progress.samples < target:
        report_progress(progress.share(plan))
        value, samples = stepper.step(batches, progress.samples / plan.samples)
        after_step()
        losses.append(value)
        progress.steps += 1
        progress.samples += samples
        if len(losses) == _CHECK_EVERY or progress.samples >= target:
            total, steps = total + _checked_sum(losses, progress), steps + len(losses)
            losses = []
    return total / steps if steps else math.nan


def _checked_sum(losses: list[Tensor], progress: Progress) -> float:
    total = float(torch.stack(losses).sum())
    if not math.isfinite(total):
        raise TrainingError(
            f"the training loss is not finite ({total}) by step {progress.steps}; "
            "a smaller learning rate or another norm may prevent it",
            kind="nan",
        )
    return total


def _refresh_statistics(network: nn.Module, loader: Loader, samples: int, device: str) -> None:
    count = math.ceil(samples / loader.batch_size)
    images = (to_device(images, device) for images, _ in loader.batches(0))
    recompute_statistics(network, (next(images) for _ in range(count)))


def _evaluation(
    number: int,
    progress: Progress,
    loss: float,
    score: float,
    found: dict[str, dict[str, float]],
    device: str,
) -> Evaluation:
    cases = {name: values["score"] for name, values in found.items()}
    details = {
        name: {key: value for key, value in values.items() if key != "score"}
        for name, values in found.items()
    }
    return Evaluation(
        evaluation=number,
        samples=progress.samples,
        steps=progress.steps,
        seconds=progress.seconds,
        loss=loss,
        score=score,
        peak_memory=peak_memory(device),
        cases=cases,
        details=details,
    )


def _state(
    network: nn.Module,
    stepper: Stepper,
    average: WeightAverage,
    progress: Progress,
    device: str,
) -> dict[str, Any]:
    return {
        "network": network.state_dict(),
        **average.state(),
        **stepper.state(),
        **random_state(device),
        "samples": progress.samples,
        "steps": progress.steps,
        "seconds": progress.seconds,
        "history": [asdict(item) for item in progress.history],
    }


def _restore(
    state: dict[str, Any],
    network: nn.Module,
    stepper: Stepper,
    average: WeightAverage,
    device: str,
) -> Progress:
    try:
        progress = Progress.from_state(state)
        network.load_state_dict(state["network"])
        average.restore(state)
        stepper.restore(state)
        restore_random_state(state, device)
    except (LookupError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        if lacks_memory(error):
            raise
        raise CheckpointError(
            "the checkpoint must be of this network and optimizer, and does not fit: "
            f"{one_line(error)}"
        ) from error
    return progress
