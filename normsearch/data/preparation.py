"""The settings of preparation: sizes, intensities, and label values."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from normsearch.data.orientation import PLANES, Plane
from normsearch.data.transforms import FITS, INTENSITY_RULES, Foreground, Intensity
from normsearch.errors import DataError, did_you_mean, short
from normsearch.labels import IGNORED
from normsearch.networks.importing import load


@dataclass(frozen=True)
class Preparation:
    """How images and labels are prepared.

    Attributes:
        size: (y, x) or (slices, y, x) in pixels; None keeps each image's own.
        fit: ``resize`` (image: linear with antialiasing, label: nearest) or ``pad`` (the centre,
            cropped or padded with the smallest value). Resizing keeps an image's field of view and
            changes its spacing, so images of different fields of view get different spacings. Or
            ``module:name``, a function that resamples; see `normsearch.data.transforms.fitted`.
        intensity: how each channel of each volume is normalized: ``minmax`` to 0..1;
            ``percentile``: the 0.5th to the 99.5th to 0..1, clipped; ``zscore`` to mean 0 and
            deviation 1; ``zscore_body`` the same by the voxels of the body, and 0 outside;
            ``ct``, see `foreground_intensities`; a window (low, high), in HU for CT, to 0..1,
            clipped; or ``module:name``, a function from the values of a channel to normalized ones.
        foreground: label values that become 1; all but 0 if None.
        classes: label values that become 1 to K, in this order, all others 0; instead of
            `foreground`.
        segments: names of segments in the labels' headers that become label values 1, 2, ...; if
            empty, the stored label values are used.
        ignore: label values of voxels without annotation; they become `IGNORED`.
        plane: the plane of the slices, for images with an orientation; others are not reoriented.
        spacing: mm along (slices,) rows and columns that images are resampled to before `size`
            crops or pads them; None keeps their own.
        foreground_intensities: for ``ct``, of each channel: 0.5th and 99.5th percentile, to which
            values are clipped, then the mean to subtract and the deviation to divide by.

    Raises:
        DataError: a value is not valid.
        ConfigError: a function does not exist.
    """

    size: tuple[int, ...] | None = None
    fit: str = "resize"
    intensity: Intensity = "percentile"
    foreground: tuple[int, ...] | None = None
    classes: tuple[int, ...] | None = None
    segments: tuple[str, ...] = ()
    ignore: tuple[int, ...] = ()
    plane: Plane = "axial"
    spacing: tuple[float, ...] | None = None
    foreground_intensities: tuple[Foreground, ...] | None = None

    def __post_init__(self) -> None:
        size, intensity = self.size, self.intensity
        if size is not None and (len(size) not in (2, 3) or min(size) < 1):
            raise DataError(f"size must be (y, x) or (slices, y, x) pixels from 1 on, got {size}")
        _check_named("fit", self.fit, FITS)
        if self.plane not in PLANES:
            raise DataError(f"plane must be one of {', '.join(PLANES)}, got '{self.plane}'")
        if isinstance(intensity, str):
            _check_named("intensity", intensity, INTENSITY_RULES, " or a window (low, high)")
        elif len(intensity) != 2 or not intensity[0] < intensity[1]:
            raise DataError(
                f"an intensity window must be (low, high) with low < high, got {intensity}"
            )
        self._check_measured()
        for name, values in (("foreground", self.foreground), ("classes", self.classes)):
            if values is not None and (not values or min(values) < 0 or max(values) > 255):
                raise DataError(f"{name} must be label values from 0 to 255, got {values}")
        both = sorted(set(self.ignore) & set(self.chosen))
        if both or not all(0 <= value <= 255 for value in self.ignore):
            raise DataError(
                "ignored label values must lie from 0 to 255 and be neither foreground nor "
                f"classes, got {', '.join(map(str, both or self.ignore))}; take them out of one"
            )
        if len(self.chosen) >= IGNORED:
            raise DataError(f"there must be at most {IGNORED - 1} classes, got {len(self.chosen)}")
        if self.foreground and self.classes:
            raise DataError(
                f"classes and foreground must not both be given, got {self.classes} and "
                f"{self.foreground}; leave one out"
            )

    def _check_measured(self) -> None:
        """Raise DataError unless the settings that a study measures on its cases are numbers."""
        spacing = self.spacing
        if spacing is not None and len(spacing) not in (2, 3):  # median is a text
            raise DataError(
                "spacing must be mm along (slices,) rows and columns, or None, got "
                f"{short(spacing)}; a study measures median when it is prepared"
            )
        if self.intensity == "ct" and not self.foreground_intensities:
            raise DataError(
                "intensity ct needs foreground_intensities, got none; a study measures them when "
                "it is prepared"
            )

    @property
    def chosen(self) -> tuple[int, ...]:
        """The label values that are chosen explicitly."""
        return self.classes or self.foreground or ()

    @property
    def functions(self) -> tuple[str, ...]:
        """The import paths of the user's functions."""
        return tuple(str(text) for text in (self.fit, self.intensity) if ":" in text)

    def settings(self) -> dict[str, Any]:
        """Return the settings as plain values for the key of a cache.

        Those that came later are left out where they are None, so that older entries stay valid.
        """
        later = ("spacing", "foreground_intensities")
        return {k: v for k, v in asdict(self).items() if k not in later or v is not None}

    def indices(self, label: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Return the class indices of label values from 0 to 255."""
        index = np.zeros(256, np.uint8)
        index[[*self.chosen] or slice(1, None)] = 1
        for number, value in enumerate(self.classes or (), 1):
            index[value] = number
        index[list(self.ignore)] = IGNORED
        return index[label.astype(np.uint8, copy=False)]


def _check_named(key: str, text: str, known: Collection[str], more: str = "") -> None:
    """Raise unless `text` is one of `known`, or the import path of a function."""
    if ":" in text:
        if not callable(found := load(text, f"task.{key}")):
            raise DataError(f"task.{key}: {text} must be a function, got {short(found)}")
    elif text not in known:
        raise DataError(
            f"{key} must be one of {', '.join(known)}{more}, or module:name, "
            f"got '{text}'.{did_you_mean(text, known)}"
        )
