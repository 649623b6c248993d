"""Training as a generator: one result per evaluation point, a checkpoint at each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from normsearch.errors import CheckpointError, TrainingError
from normsearch.training.losses import bce_dice_loss
from normsearch.training.memory import memory_suffices, peak_memory, reset_peak_memory
from normsearch.training.metrics import dice, mean_dice
from normsearch.training.schedule import SCHEDULES
from normsearch.training.statistics import has_running_statistics, recompute_statistics

_CHECK_EVERY = 10  # steps between looks at the loss: each look waits for the GPU
_SLICES_AT_ONCE = 32  # validation slices in one forward pass


class Loader(Protocol):
    """What `train` asks of training data: batches that are a function of where they begin."""

    @property
    def batch_size(self) -> int:
        """Samples in each batch."""

    def batches(self, start_sample: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield, without end, images (B, C, *spatial) and labels (B, 1, *spatial), both float32."""


@dataclass(frozen=True)
class Plan:
    """How long and how to train. `samples` is the budget, `learning_rate` its first value.

    `weight_decay` and `momentum` (SGD's, or Adam's beta 1) go to the optimizer; `schedule` is a
    name in `SCHEDULES`; `statistics_samples` = 0 leaves running statistics as training made them.
    """

    samples: int
    evaluations: int
    learning_rate: float
    optimizer: str = "sgd"
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "cosine"
    statistics_samples: int = 128

    def target(self, evaluation: int) -> int:
        """Return the samples to have seen at an evaluation point (1 to `evaluations`)."""
        return math.ceil(self.samples * evaluation / self.evaluations)


@dataclass(frozen=True)
class Evaluation:
    """One evaluation point, counted from 1.

    `samples` and `steps` seen since the trial began, `seconds` trained and validated (also before
    a resume), mean training `loss` since the point before (NaN: a batch larger than what lies
    between two points left no step to take), mean per-case validation `score` (0 to 1), `cases` =
    score by case (NaN: no foreground in either mask), `peak_memory` in bytes.
    """

    evaluation: int
    samples: int
    steps: int
    seconds: float
    loss: float
    score: float
    peak_memory: int
    cases: dict[str, float] = field(repr=False)


@dataclass
class _Progress:
    samples: int = 0
    steps: int = 0
    seconds: float = 0.0
    history: list[Evaluation] = field(default_factory=list)

    def share(self, plan: Plan) -> float:
        """Return the share of the budget that is used; the last step may pass the budget."""
        return min(1.0, self.samples / plan.samples)


def train(
    network: nn.Module,
    loader: Loader,
    validation: Mapping[str, tuple[Tensor, Tensor]],
    plan: Plan,
    *,
    loss: Callable[[Tensor, Tensor], Tensor] = bce_dice_loss,
    parameter_groups: Iterable[dict[str, Any]] | None = None,
    after_step: Callable[[], None] | None = None,
    on_progress: Callable[[float], None] | None = None,
    state: dict[str, Any] | None = None,
    save: Callable[[dict[str, Any]], None] | None = None,
    device: str = "cpu",
) -> Iterator[Evaluation]:
    """Train `network` and yield one `Evaluation` at each of `plan.evaluations` equal fractions.

    Evaluations that `state` already holds are yielded again first, without training. On the CPU,
    going on from a saved state gives bit for bit what an unbroken run gives.

    Args:
        network: maps (B, C, *spatial) to logits (B, 1, *spatial).
        loader: the training batches; the last step may pass the budget by less than one batch.
        validation: images (S, C, *spatial) and labels (S, 1, *spatial) by case.
        plan: budget, evaluation points and optimizer.
        loss: scalar from logits and labels.
        parameter_groups: for the optimizer, in place of all parameters at one learning rate; a
            group's ``lr`` is its own first value.
        after_step: called after each optimizer step (to clamp gates, say).
        on_progress: called with the share of the budget that is used, 0 to 1, before each step and
            before each evaluation (for norms with a schedule).
        state: what `save` was given, to go on from there.
        save: called with the whole state before each evaluation is yielded.
        device: where to train, ``cpu`` or ``cuda``.

    Raises:
        TrainingError: the loss is not finite (``nan``) or memory does not suffice (``memory``).
        CheckpointError: `state` is not of this network and optimizer.
    """
    network.to(device)
    optimizer = _optimizer(parameter_groups or [{"params": list(network.parameters())}], plan)
    progress = _restore(state, network, optimizer) if state else _Progress()
    yield from progress.history
    reset_peak_memory(device)
    batches = loader.batches(progress.samples)
    for number in range(len(progress.history) + 1, plan.evaluations + 1):
        started = time.perf_counter()
        with memory_suffices(loader.batch_size):
            mean_loss = _train_until(
                plan.target(number),
                network,
                optimizer,
                batches,
                plan,
                progress,
                loss,
                after_step,
                on_progress,
            )
            if on_progress:
                on_progress(progress.share(plan))
            if plan.statistics_samples and has_running_statistics(network):
                _refresh_statistics(network, loader, plan.statistics_samples, device)
            cases = {name: _case_dice(network, *case, device) for name, case in validation.items()}
        progress.seconds += time.perf_counter() - started
        progress.history.append(
            Evaluation(
                evaluation=number,
                samples=progress.samples,
                steps=progress.steps,
                seconds=progress.seconds,
                loss=mean_loss,
                score=mean_dice(cases),
                peak_memory=peak_memory(device),
                cases=cases,
            )
        )
        if save:
            save(_state(network, optimizer, progress))
        yield progress.history[-1]


def _optimizer(groups: Iterable[dict[str, Any]], plan: Plan) -> torch.optim.Optimizer:
    optimizer: torch.optim.Optimizer
    if plan.optimizer == "sgd":
        optimizer = torch.optim.SGD(
            groups, plan.learning_rate, momentum=plan.momentum, weight_decay=plan.weight_decay
        )
    else:
        betas = (plan.momentum, 0.999)
        optimizer = torch.optim.Adam(
            groups, plan.learning_rate, betas=betas, weight_decay=plan.weight_decay
        )
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer


def _train_until(
    target: int,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[tuple[Tensor, Tensor]],
    plan: Plan,
    progress: _Progress,
    loss: Callable[[Tensor, Tensor], Tensor],
    after_step: Callable[[], None] | None,
    on_progress: Callable[[float], None] | None,
) -> float:
    network.train()
    device = next(network.parameters()).device
    total, steps = torch.zeros((), device=device), 0
    while progress.samples < target:
        images, labels = (tensor.to(device, non_blocking=True) for tensor in next(batches))
        if on_progress:
            on_progress(progress.share(plan))
        for group in optimizer.param_groups:
            fraction = progress.samples / plan.samples
            group["lr"] = group["initial_lr"] * SCHEDULES[plan.schedule](fraction)
        optimizer.zero_grad(set_to_none=True)
        value = loss(network(images), labels)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if after_step:
            after_step()
        total += value.detach()
        steps += 1
        progress.steps += 1
        progress.samples += len(images)
        if steps % _CHECK_EVERY == 0 or progress.samples >= target:
            _check_finite(total.item(), progress)
    return total.item() / steps if steps else math.nan


def _check_finite(loss: float, progress: _Progress) -> None:
    if not math.isfinite(loss):
        raise TrainingError(
            f"the training loss is not finite ({loss}) by step {progress.steps}; "
            "a smaller learning rate or another norm may hold it",
            kind="nan",
        )


def _refresh_statistics(network: nn.Module, loader: Loader, samples: int, device: str) -> None:
    count = math.ceil(samples / loader.batch_size)
    images = (images.to(device) for images, _ in loader.batches(0))
    recompute_statistics(network, (next(images) for _ in range(count)))


@torch.no_grad()
def _case_dice(network: nn.Module, images: Tensor, labels: Tensor, device: str) -> float:
    network.eval()
    parts = [network(part.to(device)) > 0 for part in torch.split(images, _SLICES_AT_ONCE)]
    return dice(torch.cat(parts), labels.to(device) > 0)


def _state(
    network: nn.Module, optimizer: torch.optim.Optimizer, progress: _Progress
) -> dict[str, Any]:
    return {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "random": torch.get_rng_state(),
        "samples": progress.samples,
        "steps": progress.steps,
        "seconds": progress.seconds,
        "history": [asdict(item) for item in progress.history],
    }


def _restore(
    state: dict[str, Any], network: nn.Module, optimizer: torch.optim.Optimizer
) -> _Progress:
    try:
        network.load_state_dict(state["network"])
        given, own = state["optimizer"]["param_groups"][0], optimizer.param_groups[0]
        if ("betas" in given) != ("betas" in own):
            raise ValueError("it is of another optimizer")  # torch would only stumble over it
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        names = {item.name for item in fields(Evaluation)}
        history = [
            Evaluation(**{name: record[name] for name in names}) for record in state["history"]
        ]
        return _Progress(state["samples"], state["steps"], state["seconds"], history)
    except (LookupError, RuntimeError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"the checkpoint must be of this network and optimizer, and does not fit: {error}"
        ) from error
