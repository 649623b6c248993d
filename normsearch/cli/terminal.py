"""Texts on a terminal: what comes from files, networks and errors is shown as it stands."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from normsearch.errors import visible

__all__ = ["Terminal", "say", "show", "visible"]


def say(text: str) -> None:
    """Print a line for people on standard error."""
    print(visible(text), file=sys.stderr, flush=True)


def show(text: str) -> None:
    """Print lines of a result on standard output; what programs read goes there by itself."""
    print(visible(text), flush=True)


class Terminal(Console):
    """A console that takes no text for markup and obeys no control character in it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text to show; see `rich.console.Console.render_str`."""
        return super().render_str(visible(text), **options)
