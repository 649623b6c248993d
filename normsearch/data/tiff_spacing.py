"""Reads the spacing from a TIFF's description by ImageJ or OME-TIFF."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

_DESCRIPTION, _X_RESOLUTION, _Y_RESOLUTION = 270, 282, 283
_MM = {
    **dict.fromkeys(("nm", "nanometer"), 1e-6),
    **dict.fromkeys(("um", "µm", "μm", "micron", "microns", "micrometer", r"\u00B5m"), 1e-3),
    **dict.fromkeys(("mm", "millimeter"), 1.0),
    **dict.fromkeys(("cm", "centimeter"), 10.0),
}


def spacing_of_tags(tags: Mapping[int, Any]) -> tuple[float, float]:
    """Return mm between rows and between columns, nan if not given.

    ImageJ gives pixels per unit in the resolution tags, and the unit in the description. OME-TIFF
    gives PhysicalSizeY and PhysicalSizeX, by default in µm. With any other description the
    resolution tags are ignored.

    Args:
        tags: the tags of the first page, by number.
    """
    text = tags.get(_DESCRIPTION, "")
    text = text if isinstance(text, str) else ""
    if text.startswith("ImageJ="):
        unit = re.search(r"^unit=(.+?)\s*$", text, re.MULTILINE)
        mm = _MM.get(unit[1], math.nan) if unit else math.nan
        per_unit = (_number(tags.get(key)) for key in (_Y_RESOLUTION, _X_RESOLUTION))
        y, x = (_positive(mm / count) if count > 0 else math.nan for count in per_unit)
        return y, x
    if "<OME" in text:
        y, x = (_physical_size(text, axis) for axis in "YX")
        return y, x
    return math.nan, math.nan


def _physical_size(text: str, axis: str) -> float:
    size = re.search(rf'\bPhysicalSize{axis}="([^"]+)"', text)
    unit = re.search(rf'\bPhysicalSize{axis}Unit="([^"]+)"', text)
    mm = _MM.get(unit[1], math.nan) if unit else _MM["um"]
    return _positive(_number(size[1]) * mm) if size else math.nan


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return math.nan


def _positive(value: float) -> float:
    return value if value > 0 and math.isfinite(value) else math.nan
