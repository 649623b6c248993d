"""What a study optimizes: the score of one case, and the score of all cases together.

A metric of ours is a function below and a line of `METRICS`; any other is ``module:name``, a
function of one case's prediction and truth:

```python
def missed_volume(prediction, truth):
    return float((truth > 0).sum() - ((prediction > 0) & (truth > 0)).sum())
```

`prediction` and `truth` are tensors of class indices (0 is the background) of shape (slices, y, x),
0 where the truth is ignored; of an image with a class, of shape (1,). A function with a parameter
`spacing` is also given the mm per voxel along z, y and x, NaN where they are not known. It returns
a number, NaN where the case has none; the score of all cases is their mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from normsearch.data.labels import IGNORED
from normsearch.errors import ConfigError, one_line
from normsearch.networks.importing import load, parameters_of
from normsearch.training.metrics import classification_score, mean_score, segmentation_score
from normsearch.training.surface import measured_spacing, surface_dice

Kind = Literal["segmentation", "classification"]
Spacing = tuple[float, ...] | None
Details = Mapping[str, float]


class Outcome(NamedTuple):
    """One case as a metric sees it.

    `prediction` and `truth` are class indices (slices, y, x); `details` are what
    `segmentation_score` counts; `tolerance` (mm) is how far surfaces may lie apart.
    """

    prediction: Tensor
    truth: Tensor
    spacing: Spacing
    details: Details
    tolerance: float

    def masks(self, number: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Return where class `number` is predicted, and where it is."""
        found = [(part == number).cpu().numpy() for part in (self.prediction, self.truth)]
        return found[0], found[1]


@dataclass(frozen=True)
class Metric:
    """A metric of ours.

    Attributes:
        label: what people call it.
        summary: one line on it.
        of_class: the score of one class of a case; None where `kind` is classification, whose
            cases score 1 if the class is right, else 0.
        pooled: the score of one class (0 of a classification) over the details of all cases; the
            mean of the cases' scores if None.
        case_label: what people call the score of one case, where that is another.
        kind: the task it is for.
        direction: whether more of it is better.
    """

    label: str
    summary: str
    of_class: Callable[[Outcome, int], float] | None = None
    pooled: Callable[[Sequence[Details], int], float] | None = None
    case_label: str | None = None
    kind: Kind = "segmentation"
    direction: Literal["maximize", "minimize"] = "maximize"


def _dice(case: Outcome, number: int) -> float:
    return case.details[f"dice_{number}"]


def _iou(case: Outcome, number: int) -> float:
    hit, false, missed = (case.details[f"{name}_{number}"] for name in ("tp", "fp", "fn"))
    total = hit + false + missed
    return hit / total if total else math.nan


def _surface_dice(case: Outcome, number: int) -> float:
    prediction, truth = case.masks(number)
    flat = len(truth) == 1
    spacing, _ = measured_spacing(case.spacing or (math.nan,) * 3, flat=flat)
    if flat:
        prediction, truth = prediction[0], truth[0]
    return surface_dice(prediction, truth, spacing, case.tolerance)


def _pooled_dice(cases: Sequence[Details], number: int) -> float:
    hit, false, missed = (
        math.fsum(case[f"{name}_{number}"] for case in cases) for name in ("tp", "fp", "fn")
    )
    total = 2 * hit + false + missed
    return 2 * hit / total if total else math.nan


def _mean_recall(cases: Sequence[Details], number: int) -> float:
    by_class: dict[float, list[float]] = {}
    for case in cases:
        by_class.setdefault(case["true"], []).append(float(case["predicted"] == case["true"]))
    return mean_score(mean_score(right) for right in by_class.values())


METRICS: dict[str, Metric] = {
    "dice": Metric("Dice", "mean over cases of the Dice; dice:2 of class 2 alone", _dice),
    "global_dice": Metric(
        "global Dice", "Dice of the voxels of all cases together", _dice, _pooled_dice, "Dice"
    ),
    "iou": Metric("IoU", "mean over cases of intersection over union", _iou),
    "surface_dice": Metric(
        "surface Dice", "mean over cases of the normalized surface Dice, by `tolerance` in mm",
        _surface_dice,
    ),
    "accuracy": Metric(
        "accuracy", "share of images whose class is right", kind="classification"
    ),
    "balanced_accuracy": Metric(
        "balanced accuracy", "accuracy of each class, averaged over the classes",
        pooled=_mean_recall, case_label="accuracy", kind="classification",
    ),
}  # fmt: skip

USUAL: dict[Kind, str] = {"segmentation": "dice", "classification": "accuracy"}


class Chosen(Protocol):
    """What a study says of its metric, see `normsearch.config.metric.MetricConfig`."""

    @property
    def name(self) -> str | None:
        """As the study gives it."""

    @property
    def ours(self) -> Metric | None:
        """The metric of ours that is named."""

    @property
    def number(self) -> int | None:
        """The class that counts alone."""

    @property
    def tolerance(self) -> float:
        """In mm, of surface Dice."""


class CaseMetric:
    """A metric of ours, of all classes or of one.

    Args:
        metric: which.
        number: the class that counts alone; all but the background if None.
        tolerance: in mm, of surface Dice.
    """

    def __init__(self, metric: Metric, number: int | None = None, tolerance: float = 2.0) -> None:
        self._metric, self._number, self._tolerance = metric, number, tolerance

    def of_case(self, logits: Tensor, truth: Tensor, spacing: Spacing = None) -> dict[str, float]:
        """Return ``score`` and details of one case; arguments as of `segmentation_score`."""
        if self._metric.of_class is None:
            return classification_score(logits, truth)
        details = segmentation_score(logits, truth)
        case = Outcome(*class_maps(logits, truth), spacing, details, self._tolerance)
        scores = [self._metric.of_class(case, number) for number in self._numbers(details)]
        return {**details, "score": mean_score(scores)}

    def of_all(self, cases: Mapping[str, Details]) -> float:
        """Return the score of all cases, from what `of_case` returned of each."""
        if self._metric.pooled is None:
            return mean_score(case["score"] for case in cases.values())
        details = list(cases.values())
        numbers = self._numbers(details[0]) if self._metric.of_class else [0]
        return mean_score(self._metric.pooled(details, number) for number in numbers)

    def _numbers(self, details: Details) -> list[int]:
        if self._number is not None:
            return [self._number]
        return list(range(1, 1 + sum(name.startswith("dice_") for name in details)))


class UsersMetric(CaseMetric):
    """A metric that ``module:name`` names; see the module's docstring.

    Args:
        function: of prediction and truth of one case.
        text: names it.
        kind: the task.
    """

    def __init__(self, function: Callable[..., Any], text: str, kind: Kind) -> None:
        super().__init__(METRICS[USUAL[kind]])
        self._function, self._text, self._kind = function, text, kind
        self._spaced = "spacing" in parameters_of(function)

    def of_case(self, logits: Tensor, truth: Tensor, spacing: Spacing = None) -> dict[str, float]:
        """Return ``score`` by the function, and the usual details."""
        found = super().of_case(logits, truth, spacing)
        maps = (logits.argmax(1), truth)
        if self._kind == "segmentation":
            maps = class_maps(logits, truth)
        value = self._function(*maps, **({"spacing": spacing} if self._spaced else {}))
        try:
            return {**found, "score": float(value)}
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"training.metric: {self._text} must return a number, got {one_line(value)}"
            ) from error


def choose_metric(chosen: Chosen, outputs: int, kind: Kind) -> CaseMetric:
    """Return the metric of a task.

    Args:
        chosen: what the study says.
        outputs: the network's output channels.
        kind: of the task.

    Raises:
        ConfigError: it is none for this task, or ``module:name`` names no function.
    """
    where = "training.metric"
    if chosen.name is None:
        return CaseMetric(METRICS[USUAL[kind]])
    if chosen.ours is None:
        function = load(chosen.name, where)
        if not callable(function):
            raise ConfigError(
                f"{where}: must be a function of prediction and truth, got {function!r}."
            )
        return UsersMetric(function, chosen.name, kind)
    if chosen.ours.kind != kind:
        fitting = [name for name, metric in METRICS.items() if metric.kind == kind]
        raise ConfigError(
            f"{where}: must be one of {', '.join(fitting)} for {kind}, got {chosen.name!r}."
        )
    if chosen.number and chosen.number > max(outputs - 1, 1):
        raise ConfigError(
            f"{where}: must be of a class from 1 to {max(outputs - 1, 1)}, got {chosen.name!r}; "
            "classes are counted in the order of task.classes."
        )
    return CaseMetric(chosen.ours, chosen.number, chosen.tolerance)


def class_maps(logits: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Return the class indices (slices, y, x) of a prediction and of the truth, 0 where ignored."""
    known = truth != IGNORED
    if logits.shape[1] == 1:
        found = (logits > 0) & known, (truth > 0) & known
        return found[0][:, 0].to(torch.uint8), found[1][:, 0].to(torch.uint8)
    return logits.argmax(1) * known, truth * known
