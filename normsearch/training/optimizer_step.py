"""Optimizer steps: forward, loss and backward, with gradient accumulation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from normsearch.errors import ConfigError, one_line
from normsearch.networks.importing import load, parameters_of
from normsearch.training.acceleration import Transfer, channels_last, compiled
from normsearch.training.deep_supervision import over_scales
from normsearch.training.losses import Loss
from normsearch.training.plan import Plan
from normsearch.training.precision import autocast, loss_scaler
from normsearch.training.schedule import schedule_of, warmed_up

Batches = Iterator[tuple[Tensor, Tensor]]
Groups = list[dict[str, Any]]


def _sgd(groups: Groups, plan: Plan) -> torch.optim.Optimizer:
    """SGD with momentum."""
    return torch.optim.SGD(
        groups, plan.learning_rate, momentum=plan.momentum, weight_decay=plan.weight_decay
    )


def _adam(groups: Groups, plan: Plan) -> torch.optim.Optimizer:
    """Adam; momentum is its beta 1."""
    betas = (plan.momentum, 0.999)
    return torch.optim.Adam(groups, plan.learning_rate, betas=betas, weight_decay=plan.weight_decay)


def _adamw(groups: Groups, plan: Plan) -> torch.optim.Optimizer:
    """AdamW; momentum is its beta 1."""
    betas = (plan.momentum, 0.999)
    return torch.optim.AdamW(
        groups, plan.learning_rate, betas=betas, weight_decay=plan.weight_decay
    )


OPTIMIZERS: dict[str, Callable[[Groups, Plan], torch.optim.Optimizer]] = {
    "sgd": _sgd,
    "adam": _adam,
    "adamw": _adamw,
}


def build_optimizer(groups: Groups, plan: Plan) -> torch.optim.Optimizer:
    """Return the optimizer of a plan, from `OPTIMIZERS` or at ``module:name``.

    ``module:name`` is a class of torch optimizers, or a function with the same arguments: the
    parameter groups, lr and, if it has these parameters, weight_decay and momentum.

    Raises:
        ConfigError: it is not an optimizer, or refuses the arguments.
    """
    if ":" not in plan.optimizer:
        return OPTIMIZERS[plan.optimizer](groups, plan)
    where = "training.optimizer"
    build = load(plan.optimizer, where)
    offered = {"weight_decay": plan.weight_decay, "momentum": plan.momentum}
    known = parameters_of(build)
    try:
        found = build(
            groups,
            lr=plan.learning_rate,
            **{name: value for name, value in offered.items() if name in known},
        )
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{where}: {plan.optimizer} must take groups of parameters and lr, and says: "
            f"{one_line(error)}."
        ) from error
    if not isinstance(found, torch.optim.Optimizer):
        raise ConfigError(
            f"{where}: {plan.optimizer} must be an optimizer of torch, got {found!r}."
        )
    return found


_ADAM = {"step", "exp_avg", "exp_avg_sq"}
_STATE = {"sgd": {"momentum_buffer"}, "adam": _ADAM, "adamw": _ADAM}


class Stepper:
    """Optimizer, learning rate schedule, precision and accumulation of one training.

    Args:
        network: already on `device`.
        loss: scalar from logits (float32) and labels.
        plan: the optimizer, the schedule and the precision.
        device: ``cpu`` or ``cuda``.
        parameter_groups: for the optimizer; all parameters at one rate if None.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        plan: Plan,
        device: str,
        parameter_groups: Iterable[dict[str, Any]] | None = None,
    ) -> None:
        self._forward = compiled(network, plan.cuda_graphs) if plan.compile else network
        self._loss, self._device = over_scales(loss, plan.deep_supervision), device
        self._transfer = Transfer(device)
        self._names = [plan.optimizer, plan.amp]
        self._plan, self._schedule = plan, schedule_of(plan)
        groups = list(parameter_groups or [{"params": list(network.parameters())}])
        self._optimizer = build_optimizer(groups, plan)
        for group in self._optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        self._autocast = autocast(plan.amp, device)
        self._scaler = loss_scaler(plan.amp, device)

    def step(self, batches: Batches, share: float) -> tuple[Tensor, int]:
        """Take one optimizer step at `share` (0 to 1) of the budget.

        The gradient is the mean over the accumulated batches. For a loss that is a mean over
        samples, it equals that of one large batch.

        Returns:
            The mean loss (a detached scalar on the device) and the number of samples.
        """
        self._optimizer.zero_grad(set_to_none=True)
        total, samples = torch.zeros((), device=self._device), 0
        for _ in range(self._plan.accumulate):
            images, labels = self._transfer(next(batches))
            if self._plan.channels_last:
                images = channels_last(images)
            if self._plan.cuda_graphs:
                torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
            with self._autocast:
                out = self._forward(images)
            loss = self._loss(out, labels) / self._plan.accumulate
            self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
            samples += len(images)
        self._set_rates(share, share + samples / self._plan.samples)
        self._clip()
        self._scaler.step(self._optimizer)
        self._scaler.update()
        return total, samples

    def _set_rates(self, share: float, end: float) -> None:
        """Set the learning rates of a step from `share` to `end` of the budget."""
        factor = self._schedule(share)
        if self._plan.warmup is not None:
            factor *= warmed_up(end, self._plan.warmup)
        for group in self._optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor

    def _clip(self) -> None:
        """Scale the gradient of all parameters down to the plan's largest norm."""
        if self._plan.gradient_clipping is None:
            return
        self._scaler.unscale_(self._optimizer)
        groups = self._optimizer.param_groups
        parameters = [parameter for group in groups for parameter in group["params"]]
        nn.utils.clip_grad_norm_(parameters, self._plan.gradient_clipping)

    def state(self) -> dict[str, Any]:
        """Return the state for `restore`."""
        return {
            "names": self._names,
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Load a state that `state` returned.

        Raises:
            LookupError, TypeError, ValueError, AttributeError: it belongs to another optimizer or
                precision.
        """
        if state["names"] != self._names:  # torch may not notice
            raise ValueError(f"it is for {state['names']}, and the training uses {self._names}")
        self._check(state["optimizer"])
        self._optimizer.load_state_dict(state["optimizer"])
        if state["scaler"]:
            self._scaler.load_state_dict(state["scaler"])

    def _check(self, saved: dict[str, Any]) -> None:
        """Refuse states that torch would accept and that would fail in a later step."""
        own = self._optimizer.state_dict()
        for ours, theirs in zip(own["param_groups"], saved["param_groups"], strict=True):
            kinds = [{key: type(value) for key, value in group.items()} for group in (ours, theirs)]
            if kinds[0] != kinds[1] or ours["params"] != theirs["params"]:
                raise ValueError("it has other groups of parameters")
            if not all(math.isfinite(theirs[key]) for key in ("lr", "initial_lr")):
                raise ValueError("its learning rate is not finite")
        parameters = [one for group in self._optimizer.param_groups for one in group["params"]]
        for number, values in saved["state"].items():
            known = _STATE.get(self._names[0], values.keys())
            if values.keys() - known or (known is _ADAM and values and values.keys() != known):
                raise ValueError(f"its state has {', '.join(map(str, values))}")
            for value in values.values():
                of_parameter = isinstance(value, Tensor) and value.is_floating_point()
                shapes = (parameters[number].shape, torch.Size([]))
                if value is not None and not (of_parameter and value.shape in shapes):
                    raise ValueError(f"its state of parameter {number} is of another shape")
