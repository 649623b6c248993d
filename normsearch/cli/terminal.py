"""Texts on a terminal: what comes from files, networks and errors is shown as it stands."""

from __future__ import annotations

import re
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    r"""Return `text` with its control characters written out, all but tabs and ends of lines.

    A terminal obeys them, and those that turn the direction of writing.

    >>> print(visible("a\x1b[2Jb"))
    a\x1b[2Jb
    """
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


def say(text: str) -> None:
    """Print a line for people on standard error."""
    print(visible(text), file=sys.stderr, flush=True)


class Terminal(Console):
    """A console that takes no text for markup and obeys no control character in it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text to show; see `rich.console.Console.render_str`."""
        return super().render_str(visible(text), **options)
