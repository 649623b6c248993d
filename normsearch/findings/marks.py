"""The marks of a page's functions: what is trained, and what is judged."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from normsearch.confirmation.contrasts import Contrast, power

Function = TypeVar("Function", bound=Callable[..., Any])
Judge = Callable[..., "Contrast | Sequence[Contrast]"]


@dataclass(frozen=True)
class Power:
    """What a design was planned with: how often it finds an effect of this size.

    Attributes:
        effect: the difference to be found, in the unit of the contrasts.
        sd: of its values over seeds, from the pilot that `source` names.
        seeds: trainings with seeds of their own.
        source: where `effect` and `sd` are from.
        comparisons: contrasts of the statement.
    """

    effect: float
    sd: float
    seeds: int
    source: str
    comparisons: int = 1

    @property
    def found(self) -> float:
        """Share of such studies that find the effect."""
        return power(self.effect, self.sd, self.seeds, self.comparisons)

    def __str__(self) -> str:
        return (
            f"a difference of {self.effect:g} is found in {self.found:.0%} of studies of "
            f"{self.seeds} seeds, if it varies by {self.sd:g} (SD over seeds; {self.source}); "
            "in fewer where cases are sampled, too"
        )


@dataclass(frozen=True)
class Finding:
    """One published statement.

    Attributes:
        key: its name, ``P1``.
        text: what was published, in a sentence.
        paper: the published numbers, in short.
        metric: what is measured.
        judge: returns the contrasts that must hold, from the parts its parameters name.
        plan: the power calculation, a `Power` or a sentence.
        advice: verdict -> what it means for somebody who chooses a norm.
        picture: draws it from the same parts as `judge`; None for the contrasts alone.
    """

    key: str
    text: str
    paper: str
    metric: str
    judge: Judge
    plan: str
    advice: dict[str, str] = field(default_factory=dict)
    picture: Callable[..., Any] | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts it looks at."""
        return needs(self.judge)


def finding(
    key: str,
    text: str,
    *,
    paper: str,
    metric: str,
    plan: Power | str,
    advice: dict[str, str] | None = None,
    picture: Callable[..., Any] | None = None,
) -> Callable[[Function], Function]:
    """Mark a function as the judge of a published statement; see `Finding`.

    The function's parameters are names of parts; it returns a `Contrast`, or several that must all
    hold.
    """

    def mark(function: Function) -> Function:
        made = Finding(key, text, paper, metric, function, str(plan), advice or {}, picture)
        function.finding = made  # type: ignore[attr-defined]
        return function

    return mark


def part(function: Function) -> Function:
    """Mark a function as a part of an experiment: it says what is trained or measured.

    Its first parameter is the scale (``toy``, ``small`` or ``paper``), further ones are names of
    earlier parts. It returns `Trainings`, a list of them, or a `Measurement`.
    """
    function.part = function.__name__  # type: ignore[attr-defined]
    return function


def needs(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of a function's parameters, but for ``scale``."""
    return tuple(name for name in inspect.signature(function).parameters if name != "scale")
