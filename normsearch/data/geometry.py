"""An image in memory with its geometry, the type that all readers and writers share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from normsearch.errors import DataError

#: Signs between the world axes of NIfTI (right, anterior, superior) and those of a Volume.
RAS = np.array([-1.0, -1.0, 1.0])


class SpacingWarning(UserWarning):
    """A file gives no spacing."""


class OutsideWarning(UserWarning):
    """Labelled voxels lie outside the image and are ignored."""


@dataclass(frozen=True, eq=False)
class SourceHeader:
    """The header fields of the geometry.

    Attributes:
        format: "nifti" or "nrrd".
        fields: by name; fields per axis of NRRD are lists in the array's order.
    """

    format: str
    fields: dict[str, Any]


#: NRRD's kinds of an axis in space, and those of an unspecified axis.
IN_SPACE, UNKNOWN = ("domain", "space"), ("???", "none")


@dataclass(frozen=True, eq=False)
class Volume:
    """An image with its geometry; every field is in the array's axis order, slowest axis first.

    Attributes:
        array: (z, y, x), (y, x), (slice, y, x) for a stack, or (channel, z, y, x) and
            (channel, y, x) where kinds[0] is "vector"; native byte order.
        spacing: mm between voxels per axis; nan for an axis that is not in space (a list) or has no
            known spacing.
        origin: the centre of the first voxel in mm, (left, posterior, superior), or None.
        directions: (axes, 3) in mm per voxel, LPS; nan rows for axes not in space; or None.
        kinds: NRRD's kind of each axis, such as ("list", "domain", "domain"); () if not given.
        anatomical: whether directions and origin are in the patient's coordinate system.
        header: the unchanged header fields of the geometry; a file of the same format is written
            with them if they agree with the fields above.

    Raises:
        DataError: a field does not have one entry per axis, a spacing is not above 0, or two axes
            have the same direction.
    """

    array: npt.NDArray[Any]
    spacing: tuple[float, ...]
    origin: tuple[float, ...] | None = None
    directions: npt.NDArray[np.float64] | None = None
    kinds: tuple[str, ...] = ()
    header: SourceHeader | None = None
    anatomical: bool = True

    def __post_init__(self) -> None:
        axes = self.array.ndim
        shape = (axes, 3) if self.directions is None else self.directions.shape
        if len(self.spacing) != axes or shape != (axes, 3) or len(self.kinds) not in (0, axes):
            raise DataError(
                f"a volume of {axes} axes needs one spacing, direction and kind per axis, "
                f"got spacing {self.spacing}, directions of shape {shape} and kinds {self.kinds}"
            )
        if any(step <= 0 or math.isinf(step) for step in self.spacing):
            raise DataError(f"a volume's spacing must be above 0 mm, got {self.spacing}")
        origin = (0.0, 0.0, 0.0) if self.origin is None else self.origin
        if len(origin) != 3 or not np.isfinite(origin).all():
            raise DataError(f"a volume's origin must be three finite numbers, got {self.origin}")
        if self.directions is not None:
            self._check_directions(self.directions)

    @property
    def in_space(self) -> tuple[bool, ...]:
        """Which axes are in space, unlike those of channels, a list or time."""
        if self.kinds:
            return tuple(kind.lower() in (*IN_SPACE, *UNKNOWN) for kind in self.kinds)
        if self.directions is not None:
            return tuple(bool(np.isfinite(row).all()) for row in self.directions)
        return (True,) * self.array.ndim

    @property
    def has_spacing(self) -> bool:
        """Whether the spacing of every axis in space is known."""
        pairs = zip(self.spacing, self.in_space, strict=True)
        return not any(inside and math.isnan(step) for step, inside in pairs)

    def _check_directions(self, directions: npt.NDArray[np.float64]) -> None:
        rows = directions[~np.isnan(directions).all(axis=1)]
        if not np.isfinite(rows).all() or np.linalg.matrix_rank(rows) < len(rows):
            raise DataError(
                "a volume's axes must point in finite directions that differ, got "
                f"{directions.tolist()}"
            )
