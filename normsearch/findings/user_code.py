"""Runs the code of a page, which may be a user's, and tells its faults in one sentence."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from normsearch.errors import ConfigError, NormsearchError


def call(path: Path, place: str, function: Callable[..., Any], /, *given: Any, **named: Any) -> Any:
    """Return what a function of a page returns.

    Args:
        path: of the page.
        place: what the function is, such as ``part main``.
        function: called with `given` and `named`.

    Raises:
        ConfigError: it raised anything; the message names the page, the place and the line.
    """
    try:
        return function(*given, **named)
    except NormsearchError as error:
        raise ConfigError(f"{path}: {place}: {error}") from error
    except Exception as error:  # code of the page
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == str(path)
        ]
        line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
        at = f", line {line or lines[-1]}" if line or lines else ""
        raise ConfigError(
            f"{path}{at}: {place} must run, and raised {type(error).__name__}: {error}."
        ) from error
