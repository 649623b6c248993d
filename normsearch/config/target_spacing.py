"""The spacing that a task resamples its images to, as a study file gives it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from normsearch.errors import did_you_mean, short

MEDIAN = "median"
_WORDS = (MEDIAN, "none")


def _read(value: Any) -> Any:
    """Return numbers or ``median`` unchanged, and None for ``none``.

    Raises:
        ValueError: the value is none of these.
    """
    if value is None or value == "none":
        return None
    if value == MEDIAN or (isinstance(value, list | tuple) and len(value) in (2, 3)):
        return value
    hint = did_you_mean(value, _WORDS) if isinstance(value, str) else ""
    raise ValueError(
        f"must be [z, y, x] or [y, x] in mm, median or none, got {short(value)}.{hint}"
    )


Millimetres = Annotated[float, Field(ge=1e-6, le=1e6)]
TargetSpacing = Annotated[
    tuple[Millimetres, ...] | Literal["median"] | None,
    BeforeValidator(_read),
]
"""mm along slices, rows and columns, or along rows and columns; ``median``; or None."""
