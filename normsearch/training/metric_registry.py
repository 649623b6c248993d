"""The metrics that a study can optimize: scores of single cases and of all cases.

A built-in metric is a function below and an entry of `METRICS`. Any other is ``module:name``, a
function of a case's prediction and truth:

```python
def missed_volume(prediction, truth):
    return float((truth > 0).sum() - ((prediction > 0) & (truth > 0)).sum())
```

`prediction` and `truth` are tensors of class indices (0 is the background) of shape (slices, y, x),
0 where the truth is ignored; for classification, of shape (1,). A function with a parameter
`spacing` also gets the mm per voxel along z, y and x, NaN if unknown. It returns a number, or NaN
if the case has no score; the score of all cases is the mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from normsearch.errors import ConfigError, TrainingError, short
from normsearch.labels import IGNORED
from normsearch.networks.importing import load, parameters_of, users_code
from normsearch.training.metrics import classification_score, mean_score, segmentation_score
from normsearch.training.surface import measured_spacing, surface_dice

Kind = Literal["segmentation", "classification"]
Spacing = tuple[float, ...] | None
Details = Mapping[str, float]


class Outcome(NamedTuple):
    """The inputs of a metric for one case.

    `prediction` and `truth` are class indices (slices, y, x), `details` the counts of
    `segmentation_score`, and `tolerance` (mm) the accepted distance of surfaces.
    """

    prediction: Tensor
    truth: Tensor
    spacing: Spacing
    details: Details
    tolerance: float

    def masks(self, number: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Return the masks of class `number` in prediction and truth."""
        found = [(part == number).cpu().numpy() for part in (self.prediction, self.truth)]
        return found[0], found[1]


@dataclass(frozen=True)
class Metric:
    """A built-in metric.

    Attributes:
        label: its name in figures and messages.
        summary: one line that describes it.
        of_class: the score of one class of a case; None for classification, in which a case scores
            1 if the class is right, else 0.
        pooled: the score of one class (0 for classification) from the details of all cases; if
            None, the mean of the cases' scores is used.
        case_label: the name of the score of a case, if different.
        kind: the kind of task.
        direction: whether higher or lower is better.
        range: the least and the largest possible score.
    """

    label: str
    summary: str
    of_class: Callable[[Outcome, int], float] | None = None
    pooled: Callable[[Sequence[Details], int], float] | None = None
    case_label: str | None = None
    kind: Kind = "segmentation"
    direction: Literal["maximize", "minimize"] = "maximize"
    range: tuple[float, float] = (0.0, 1.0)


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
    """A study's choice of metric, see `normsearch.config.metric.MetricConfig`."""

    @property
    def name(self) -> str | None:
        """The name in the study."""

    @property
    def ours(self) -> Metric | None:
        """The built-in metric of that name."""

    @property
    def number(self) -> int | None:
        """The only class to score."""

    @property
    def tolerance(self) -> float:
        """The tolerance of surface Dice, in mm."""


class CaseMetric:
    """A built-in metric of all classes or of one.

    Args:
        metric: the metric.
        number: the only class to score; all but the background if None.
        tolerance: of surface Dice, in mm.
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
        """Return the score of all cases from the results of `of_case`."""
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
    """A metric at an import path; see the module's docstring.

    Args:
        function: from prediction and truth of one case to a number.
        text: its import path.
        kind: the kind of task.
    """

    def __init__(self, function: Callable[..., Any], text: str, kind: Kind) -> None:
        super().__init__(METRICS[USUAL[kind]])
        self._function, self._text, self._kind = function, text, kind
        self._spaced = "spacing" in parameters_of(function)

    def of_case(self, logits: Tensor, truth: Tensor, spacing: Spacing = None) -> dict[str, float]:
        """Return ``score`` by the function, and the details of the default metric."""
        found = super().of_case(logits, truth, spacing)
        maps = (logits.argmax(1), truth)
        if self._kind == "segmentation":
            maps = class_maps(logits, truth)
        rule = f"training.metric: {self._text} must"
        with users_code(f"{rule} score a case, and raises", partial(TrainingError, kind="metric")):
            value = self._function(*maps, **({"spacing": spacing} if self._spaced else {}))
        try:
            score = float(value)
        except (TypeError, ValueError, RuntimeError) as error:
            shape = getattr(value, "shape", None)
            told = short(value) if shape is None else f"values of the shape {tuple(shape)}"
            raise ConfigError(f"{rule} return a number, got {told}") from error
        if math.isinf(score):
            raise TrainingError(f"{rule} return a finite number, got {score}", kind="metric")
        return {**found, "score": score}


def choose_metric(chosen: Chosen, outputs: int, kind: Kind) -> CaseMetric:
    """Return the metric of a task.

    Args:
        chosen: the study's choice.
        outputs: the network's output channels.
        kind: the kind of task.

    Raises:
        ConfigError: the metric does not fit the task, or ``module:name`` is not a function.
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
