"""Output to the terminal; texts are printed literally, wherever they come from."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from normsearch.errors import visible

__all__ = ["Terminal", "say", "show", "visible"]

WEIGHED = (
    "the race ranks by a posterior mean, which weighs a score by its number of trainings and by "
    "the scores of similar configurations"
)


def say(text: str) -> None:
    """Print a message on standard error."""
    print(visible(text), file=sys.stderr, flush=True)


def show(text: str) -> None:
    """Print lines of a result on standard output."""
    print(visible(text), flush=True)


class Terminal(Console):
    """A console that interprets neither markup nor control characters in a text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text to show; see `rich.console.Console.render_str`."""
        return super().render_str(visible(text), **options)


def said_of_posterior(posterior: dict[str, float]) -> str:
    """Return the model's estimate of a configuration's mean score over seeds, in words.

    >>> said_of_posterior({"mean": 0.8461, "low": 0.8302, "high": 0.862})
    'The model of all trials expects 0.846 of it over further seeds, 95% interval 0.830 to 0.862.'
    """
    return (
        f"The model of all trials expects {posterior['mean']:.3f} of it over further seeds, "
        f"95% interval {posterior['low']:.3f} to {posterior['high']:.3f}."
    )


def untrained(found: dict[str, Any]) -> str:
    """Return a sentence on the single norms that a search has not trained.

    >>> untrained({"untrained": ["LN", "SN"]})
    'Not trained as single norms: LN, SN.'
    """
    return f"Not trained as single norms: {', '.join(found['untrained'])}."


def said_of_trainings(trainings: list[dict[str, Any]]) -> str:
    """Return in words what a mean score is of: "mean of 4 seeds, 0.831 to 0.862"; '' for one.

    >>> said_of_trainings([{"score": 0.8}, {"score": 0.9}, {"score": None}])
    'mean of 2 seeds, 0.800 to 0.900, 1 more failed'
    >>> said_of_trainings([{"score": 0.8}, {"score": None}])
    '1 seed, 1 more failed'
    """
    scores = [one["score"] for one in trainings if one["score"] is not None]
    if len(trainings) < 2:
        return ""
    lost = len(trainings) - len(scores)
    failed = f", {lost} more failed" if lost else ""
    if len(scores) < 2:
        return f"1 seed{failed}"
    return f"mean of {len(scores)} seeds, {min(scores):.3f} to {max(scores):.3f}{failed}"
