"""Output to the terminal; texts are printed literally, wherever they come from."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from normsearch.errors import visible

__all__ = ["Terminal", "say", "show", "visible"]


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
