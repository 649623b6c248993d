"""Facts about a study's cases, which a run measures and records."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from normsearch.config.base import Model, Number

_THREE = Field(min_length=3, max_length=3)
Intensity = Annotated[float, Field(ge=-1e12, le=1e12)]
Deviation = Annotated[float, Field(ge=0, le=1e12)]


class GeometryConfig(Model):
    """The orientation and spacing of a study's prepared training cases.

    Spacings are in mm along slices, rows and columns, None where unknown.
    """

    oriented: bool
    """Whether the cases have an orientation, and were therefore brought to the canonical one."""
    least: Annotated[tuple[float | None, ...], _THREE]
    """The smallest spacings."""
    median: Annotated[tuple[float | None, ...], _THREE]
    """The median spacings."""
    greatest: Annotated[tuple[float | None, ...], _THREE]
    """The largest spacings."""
    unknown: Annotated[tuple[Number, ...], _THREE]
    """Number of cases whose spacing is unknown, by axis."""


class ForegroundIntensities(Model):
    """The intensities of the foreground of the training cases, in one channel, as stored in files.

    The keys have the names of nnU-Net's plans.
    """

    percentile_00_5: Intensity
    """The 0.5th percentile."""
    percentile_99_5: Intensity
    """The 99.5th percentile."""
    mean: Intensity
    """The mean."""
    std: Deviation
    """The standard deviation."""

    @property
    def row(self) -> tuple[float, float, float, float]:
        """The four numbers, in the order of the keys."""
        return self.percentile_00_5, self.percentile_99_5, self.mean, self.std
