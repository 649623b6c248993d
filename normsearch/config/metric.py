"""The metric that a study optimizes, as a typed model: its name, direction, label and range."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from normsearch.config.base import Model, one_of, text_as_name
from normsearch.training.metric_registry import METRICS, USUAL, Kind, Metric

Direction = Literal["maximize", "minimize"]
Bounds = tuple[float, float]
"""The least and the largest possible score, infinite where there is none."""
ANY: Bounds = (-math.inf, math.inf)
_End = Annotated[float, Field(ge=-1e12, le=1e12)] | None
_OF_CLASS = re.compile(r"(\w+):([1-9][0-9]{0,2})")


def _known(text: str | None) -> str | None:
    """Accept a metric of normsearch, also of one class (``dice:2``), or ``module:name``."""
    if text is None:
        return None
    found = _OF_CLASS.fullmatch(text)
    name = one_of(METRICS, "my_metrics:missed_volume")(found[1] if found else text)
    if found and METRICS[name].of_class is None:
        raise ValueError(f"{name} must be without a class, got {text!r}")
    return text


class MetricConfig(Model):
    """The metric that is optimized: the score of a trial."""

    name: Annotated[str | None, Field(max_length=200)] = None
    """One of ``normsearch list metrics``, also of one class (``dice:2`` is the Dice of class 2), or
    ``module:name``, a function of prediction and truth of one case. The default is dice, and
    accuracy for classification."""
    direction: Direction | None = None
    """Whether a higher or a lower value is better, for ``module:name`` and your own trainer."""
    label: Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f]*$")] | (
        None
    ) = None
    """Its name in tables and figures."""
    range: tuple[_End, _End] | None = None
    """The least and the largest possible score, for ``module:name`` and your own trainer: ``[0,
    100]``, or ``[0, null]`` without a largest. Intervals and power keep to it; without a range
    nothing is assumed."""
    tolerance: Annotated[float, Field(gt=0, le=1e3)] = 2.0
    """Tolerance of surface Dice, in mm; in pixels if the spacing is unknown."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _known(self.name)
        if self.ours and self.direction not in (None, self.ours.direction):
            raise ValueError(
                f"direction must be left out for {self.name}, which is {self.ours.direction}d, "
                f"got {self.direction}"
            )
        if self.ours and self.range not in (None, self.ours.range):
            low, high = self.ours.range
            raise ValueError(
                f"range must be left out for {self.name}, which is from {low:g} to {high:g}"
            )
        if self.range and not self.bounds(None)[0] < self.bounds(None)[1]:
            raise ValueError(
                f"range must be [least, largest], least below largest, got {list(self.range)}"
            )
        return self

    @property
    def number(self) -> int | None:
        """The class that is scored alone, None for all classes."""
        found = _OF_CLASS.fullmatch(self.name or "")
        return int(found[2]) if found else None

    @property
    def ours(self) -> Metric | None:
        """The metric of normsearch; None without a name, and for ``module:name``."""
        return METRICS.get((self.name or "").partition(":")[0]) if not self.foreign else None

    @property
    def foreign(self) -> bool:
        """Whether the metric is given as ``module:name``."""
        return ":" in (self.name or "") and self.number is None

    def bounds(self, kind: Kind | None) -> Bounds:
        """Return the least and the largest possible score; `kind` as for `called`."""
        if self.range:
            low, high = self.range
            return -math.inf if low is None else low, math.inf if high is None else high
        ours = self._built_in(kind)
        return ours.range if ours else ANY

    def _built_in(self, kind: Kind | None) -> Metric | None:
        return METRICS[USUAL[kind]] if self.name is None and kind else self.ours

    @property
    def optimized(self) -> Direction:
        """Whether a higher value is better (``maximize``), or a lower one."""
        return self.direction or (self.ours.direction if self.ours else "maximize")

    def called(self, kind: Kind | None, *, of_case: bool = False) -> str:
        """Return the name of the score in tables and figures.

        Args:
            kind: kind of the task, None for a trainer of the user.
            of_case: whether to name the score of one case, which is another metric if the score is
                computed over all cases together.
        """
        ours = self._built_in(kind)
        if ours is None:
            name = (self.name or "score").rpartition(":")[2].replace("_", " ")
            return self.label or name
        found = ours.case_label if of_case and ours.case_label else ours.label
        if self.label and not (of_case and ours.case_label):
            return self.label
        return f"{found} of class {self.number}" if self.number else found


AnyMetric = Annotated[MetricConfig, BeforeValidator(text_as_name)]


class Scored:
    """The names and direction of scores; base of studies and trials."""

    @property
    def metric(self) -> str:
        """The name of the score in tables and figures."""
        return _called(self)

    @property
    def case_metric(self) -> str:
        """The name of the score of one case."""
        return _called(self, of_case=True)

    @property
    def direction(self) -> Direction:
        """Whether a higher score is better (``maximize``), or a lower one (``minimize``)."""
        config: Any = self
        found: Direction = config.training.metric.optimized
        return found

    @property
    def bounds(self) -> Bounds:
        """The least and the largest possible score, infinite where there is none."""
        config: Any = self
        found: Bounds = config.training.metric.bounds(_kind(config))
        return found


def _called(config: Any, *, of_case: bool = False) -> str:
    chosen: MetricConfig = config.training.metric
    return chosen.called(_kind(config), of_case=of_case)


def _kind(config: Any) -> Kind | None:
    return None if config.trainer else config.task.kind
