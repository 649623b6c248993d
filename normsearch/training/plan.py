"""What a training is told, and what it tells at each evaluation point."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Plan:
    """How long and how to train. `samples` is the budget, `learning_rate` its first value.

    `optimizer`, `schedule` and `amp` are names in `OPTIMIZERS`, `SCHEDULES` and `PRECISIONS`;
    `weight_decay` and `momentum` (SGD's, or Adam's beta 1) go to the optimizer; `step_points`
    (shares of the budget) and `step_factor` to the schedule ``step``. Each step takes `accumulate`
    batches. `statistics_samples` = 0 leaves running statistics as training made them.
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

    def target(self, evaluation: int) -> int:
        """Return the samples to have seen at an evaluation point (1 to `evaluations`)."""
        return math.ceil(self.samples * evaluation / self.evaluations)


@dataclass(frozen=True)
class Evaluation:
    """One evaluation point, counted from 1.

    `samples` and `steps` seen since the trial began, `seconds` trained and validated (also before
    a resume), mean training `loss` since the point before (NaN: a batch larger than what lies
    between two points left no step to take), mean per-case validation `score` (0 to 1) over the
    cases that have one, `peak_memory` in bytes, `cases` = score by case (NaN: it has none) and
    `details` = what else was counted, by case.
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
    """How far a training has come."""

    samples: int = 0
    steps: int = 0
    seconds: float = 0.0
    history: list[Evaluation] = field(default_factory=list)

    def share(self, plan: Plan) -> float:
        """Return the share of the budget that is used; the last step may pass the budget."""
        return min(1.0, self.samples / plan.samples)
