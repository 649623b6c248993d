"""The random transforms of training samples: their names, ranges and probabilities."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from normsearch.errors import DataError, did_you_mean, short

AXES = ("z", "y", "x")
_IMPORT_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


@dataclass(frozen=True)
class Kind:
    """What a named transform does, and what it draws if nothing else is given.

    Attributes:
        summary: what it does, and what a value of its range means.
        between: (lowest, highest) value; None if nothing is drawn from a range.
        bounds: (lowest, highest) value that a range may hold.
        probability: of a sample to be changed; for mirroring, along each axis.
        per_channel: probability of each channel to be changed, in a sample that is.
        moves: whether it moves voxels, so that labels move alike.
    """

    summary: str
    between: tuple[float, float] | None
    bounds: tuple[float, float]
    probability: float
    per_channel: float = 1.0
    moves: bool = False

    @property
    def drawn(self) -> str:
        """The defaults as a text."""
        return _drawn(self.between or (0, 0), (), self.probability, self.per_channel)


def _drawn(
    between: tuple[float, float], axes: Sequence[str], chance: float, channel_chance: float
) -> str:
    low, high = between
    parts = [f"{low:.3g} to {high:.3g}"] if high else []
    parts += [f"along {' and '.join(axes)}"] if axes else []
    parts += [f"probability {chance:g}"]
    parts += [f"each channel {channel_chance:g}"] if channel_chance < 1 else []
    return ", ".join(parts)


#: Name -> kind; ranges and probabilities are those of nnU-Net v2 where it has the transform.
TRANSFORMS: dict[str, Kind] = {
    "rotation": Kind(
        "turns about the centre, in 3D about each axis, or about `axes` alone; degrees",
        (-30.0, 30.0), (-360.0, 360.0), 0.2, moves=True,
    ),
    "scaling": Kind(
        "magnifies about the centre; factor of sizes, its reciprocal drawn uniformly",
        (1 / 1.4, 1 / 0.7), (0.1, 10.0), 0.2, moves=True,
    ),
    "elastic": Kind(
        "deforms by cubic B-splines over a grid of 4 x 4 (x 4); largest displacement as a share "
        "of each side",
        (0.0, 0.05), (0.0, 0.1), 0.2, moves=True,
    ),
    "mirroring": Kind(
        "mirrors along each of `axes` (z, y, x), which must be given", None, (0.0, 0.0), 0.5,
        moves=True,
    ),
    "noise": Kind(
        "adds Gaussian noise; standard deviation as a share of the sample's own",
        (0.0, 0.1), (0.0, 10.0), 0.1,
    ),
    "blur": Kind(
        "blurs by a Gaussian; standard deviation in voxels, drawn for each axis",
        (0.5, 1.0), (0.0, 20.0), 0.2, 0.5,
    ),
    "brightness": Kind("multiplies; factor", (0.75, 1.25), (1e-3, 1e3), 0.15),
    "contrast": Kind(
        "multiplies the distance from the mean, within the sample's extremes; factor",
        (0.75, 1.25), (1e-3, 1e3), 0.15,
    ),
    "gamma": Kind(
        "raises intensities, brought to 0 to 1, to a power, and restores mean and standard "
        "deviation; exponent",
        (0.7, 1.5), (0.05, 20.0), 0.3,
    ),
    "inverted_gamma": Kind(
        "the same as gamma, on the negative image; exponent", (0.7, 1.5), (0.05, 20.0), 0.1
    ),
    "low_resolution": Kind(
        "samples the image more coarsely, and interpolates it back; factor of the sides",
        (0.5, 1.0), (0.01, 1.0), 0.25, 0.5,
    ),
    "cutout": Kind(
        "replaces a box by each channel's mean; share of each side, drawn for each axis",
        (0.1, 0.3), (0.0, 1.0), 0.2,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Transform:
    """A random transform of a sample.

    Attributes:
        name: a key of `TRANSFORMS`, or ``module:name``: a transform of MONAI, or a function of
            image (channels, *spatial), label (*spatial) and NumPy generator.
        probability: 0 to 1; None for that of its kind (``module:name``: 1).
        range: (lowest, highest) value to draw; None for that of its kind.
        axes: for mirroring, those to mirror along; for rotation, those to turn about (all of the
            sample's if left out).
        per_channel: 0 to 1; None for that of its kind.
        arguments: further arguments of ``module:name``.

    Raises:
        DataError: the name is unknown, or a value does not fit it.
    """

    name: str
    probability: float | None = None
    range: tuple[float, float] | None = None
    axes: tuple[str, ...] = ()
    per_channel: float | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (self.foreign or self.name in TRANSFORMS):
            raise DataError(
                f"name must be one of {', '.join(TRANSFORMS)}, or an import path such as "
                f"monai.transforms:RandBiasField, got {short(self.name)}."
                f"{did_you_mean(str(self.name), TRANSFORMS)}"
            )
        for key in ("probability", "per_channel"):
            value = getattr(self, key)
            if value is not None and not 0 <= value <= 1:
                raise DataError(f"{key} must be from 0 to 1, got {value:g}")
        if unfit := self._unfit():
            raise DataError(f"{self.name}: {unfit}")

    def _unfit(self) -> str:
        """Return which value does not fit the kind, or an empty text."""
        kind = self.kind
        if kind is None:
            given = [key for key in ("range", "axes", "per_channel") if getattr(self, key)]
            return f"{given[0]} must be left out for an import path; use arguments" if given else ""
        if self.arguments:
            return "arguments must be left out, as they are of an import path"
        if self.per_channel is not None and (kind.moves or self.name == "cutout"):
            return "per_channel must be left out, as all channels change alike"
        return self._unfit_axes() or self._unfit_range(kind)

    def _unfit_axes(self) -> str:
        known, given = ", ".join(AXES), list(self.axes)
        if {*given} - {*AXES} or len({*given}) < len(given):
            return f"axes must be axes among {known}, each once, got {given}"
        if self.name == "mirroring" and not given:
            return f"axes must be given, one or more of {known}"
        if given and self.name not in ("mirroring", "rotation"):
            return f"axes must be left out, got {given}"
        return ""

    def _unfit_range(self, kind: Kind) -> str:
        if self.range is None:
            return ""
        if kind.between is None:
            return f"range must be left out, got {list(self.range)}"
        (low, high), (least, most) = self.range, kind.bounds
        if least <= low <= high <= most:
            return ""
        return f"range must be lowest, then highest, from {least:g} to {most:g}, got {[low, high]}"

    @property
    def foreign(self) -> bool:
        """Whether the transform is given as ``module:name``."""
        return _IMPORT_PATH.fullmatch(self.name) is not None

    @property
    def kind(self) -> Kind | None:
        """The kind of a named transform, None for ``module:name``."""
        return None if self.foreign else TRANSFORMS[self.name]

    @property
    def moves(self) -> bool:
        """Whether it is a named transform that moves voxels."""
        return self.kind is not None and self.kind.moves

    @property
    def chance(self) -> float:
        """The probability that a sample is changed."""
        if self.probability is not None:
            return self.probability
        return self.kind.probability if self.kind else 1.0

    @property
    def channel_chance(self) -> float:
        """The probability that a channel is changed, in a sample that is."""
        if self.per_channel is not None:
            return self.per_channel
        return self.kind.per_channel if self.kind else 1.0

    @property
    def between(self) -> tuple[float, float]:
        """The lowest and the highest value that is drawn; (0, 0) if none is."""
        return self.range or (self.kind.between if self.kind else None) or (0.0, 0.0)

    def __str__(self) -> str:
        drawn = _drawn(self.between, self.axes, self.chance, self.channel_chance)
        return f"{self.name} ({drawn})"
