"""The plan of a training, its progress, and its results."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal


@dataclass(frozen=True)
class Plan:
    """The plan of a training. `samples` is the budget, `learning_rate` the initial one.

    `optimizer`, `schedule` and `amp` are names in `OPTIMIZERS`, `SCHEDULES` and `PRECISIONS`;
    `weight_decay` and `momentum` (SGD's, or Adam's beta 1) go to the optimizer; `step_points`
    (shares of the budget) and `step_factor` to the schedule ``step``. Each step uses `accumulate`
    batches. With `statistics_samples` = 0, running statistics are not recomputed. `warmup` is the
    share of the budget over which the learning rate rises, `gradient_clipping` the largest norm of
    the gradient, and `ema` the decay of the average of weights that is evaluated. None is without.
    `cuda_graphs` needs `compile`, a GPU and an `accumulate` of 1.
    """

    samples: int
    evaluations: int
    learning_rate: float
    optimizer: str = "sgd"
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "cosine"
    step_points: tuple[float, ...] = (0.5,)
    step_factor: float = 0.2
    amp: str = "off"
    accumulate: int = 1
    statistics_samples: int = 128
    deep_supervision: Literal["auto", False] = "auto"
    warmup: float | None = None
    gradient_clipping: float | None = None
    ema: float | None = None
    channels_last: bool = False
    compile: bool = False
    cuda_graphs: bool = False

    def target(self, evaluation: int) -> int:
        """Return the number of samples seen by an evaluation point (1 to `evaluations`)."""
        return math.ceil(self.samples * evaluation / self.evaluations)


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation point.

    Attributes:
        evaluation: its number, from 1.
        samples: seen since the trial began.
        steps: taken since the trial began.
        seconds: of training and validation, including those before a resume.
        loss: mean training loss since the previous point; NaN if no step lies between (a large
            batch).
        score: of the validation cases, by the metric.
        peak_memory: in bytes.
        cases: score by case; NaN if undefined.
        details: counts by case.
    """

    evaluation: int
    samples: int
    steps: int
    seconds: float
    loss: float
    score: float
    peak_memory: int
    cases: dict[str, float] = field(repr=False)
    details: dict[str, dict[str, float]] = field(repr=False)


@dataclass
class Progress:
    """The progress of a training."""

    samples: int = 0
    steps: int = 0
    seconds: float = 0.0
    history: list[Evaluation] = field(default_factory=list)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Progress:
        """Return the progress in a checkpoint's state.

        Raises:
            LookupError, TypeError, ValueError: the state is invalid.
        """
        records = state["history"]
        history = [
            Evaluation(**{item.name: record[item.name] for item in fields(Evaluation)})
            for record in records
        ]
        for number, one in enumerate(history, 1):
            _check(one, number)
        counts = [_count(state[name], name) for name in ("samples", "steps")]
        if history and counts != [history[-1].samples, history[-1].steps]:
            raise ValueError(f"its samples and steps are {counts}, and the last evaluation's not")
        return cls(counts[0], counts[1], _number(state["seconds"], "seconds"), history)

    def share(self, plan: Plan) -> float:
        """Return the share of the budget that is used, at most 1."""
        return min(1.0, self.samples / plan.samples)


def _check(one: Evaluation, number: int) -> None:
    """Raise TypeError or ValueError unless an evaluation's values are valid."""
    for name in ("samples", "steps", "peak_memory"):
        _count(getattr(one, name), name)
    for name in ("seconds", "loss", "score"):
        _number(getattr(one, name), name)
    for name, details in {"": one.cases, **one.details}.items():
        for key, value in details.items():
            _number(value, f"{name} {key}")
    if one.evaluation != number or one.cases.keys() != one.details.keys():
        raise ValueError(f"its evaluation {number} is {one.evaluation}, or of other cases")


def _count(value: object, name: str) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{name} must be a count, got {value!r:.50}")
    return value


def _number(value: object, name: str) -> float:
    if type(value) not in (int, float):
        raise ValueError(f"{name} must be a number, got {value!r:.50}")
    return value  # type: ignore[return-value]
