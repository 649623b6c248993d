"""Augmentation by name: lists of random transforms that suit a sample's dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from normsearch.data.random_transforms import AXES, Transform

ANISOTROPIC = 3.0  # nnU-Net's ANISO_THRESHOLD


@dataclass(frozen=True)
class Preset:
    """A named list of transforms.

    Attributes:
        summary: what it is.
        transforms: from the spatial sides of a sample, and whether it changes in plane alone, to
            the transforms without mirroring.
        mirrors: whether it also mirrors.
    """

    summary: str
    transforms: Callable[[Sequence[int], bool], tuple[Transform, ...]]
    mirrors: bool = True

    @property
    def told(self) -> str:
        """The transforms as a text, those of an isotropic 3D sample."""
        return ", ".join(map(str, self.transforms((1, 1, 1), False)))


def nnunet(sides: Sequence[int], in_plane: bool) -> tuple[Transform, ...]:
    """Return the default training augmentation of nnU-Net v2.

    Probabilities and ranges are those of `nnUNetTrainer.get_training_transforms` (nnU-Net 2.8.1,
    batchgeneratorsv2 0.3.6). What differs: a sample is turned and scaled as it is (there a larger
    one, whose corners then fill the patch), and outside of it lies each channel's minimum (there
    0, the mean); labels are the nearest value (there the largest of linearly interpolated classes);
    noise is a share of the sample's standard deviation (there of the case's, which is 1) and
    differs between channels; in-plane samples are also blurred in plane alone; and there is no
    mirroring from left to right unless it is asked for (see `preset_transforms`).

    `monai.transforms` has RandAffined, RandGaussianNoise (fixed mean and standard deviation),
    RandGaussianSmooth (zeros beyond the border), RandScaleIntensity (uniform, and one factor for
    all channels), RandScaleIntensityFixedMean, RandAdjustContrast (gamma) and
    RandSimulateLowResolution (without a probability of each channel), which give other
    distributions; contrast, gamma and low resolution are equal to them for a given value.
    """
    elongated = len(sides) == 2 and max(sides) / min(sides) > 1.5
    degrees = 15.0 if elongated else 180.0 if len(sides) == 2 or in_plane else 30.0
    others = ("noise", "blur", "brightness", "contrast", "low_resolution", "inverted_gamma")
    return (
        Transform("rotation", range=(-degrees, degrees)),
        Transform("scaling"),
        *(Transform(name) for name in (*others, "gamma")),
    )


def light(sides: Sequence[int], in_plane: bool) -> tuple[Transform, ...]:
    """Return mild changes: a few degrees and per cent, brightness and gamma; chosen by hand."""
    return (
        Transform("rotation", 0.3, (-15.0, 15.0)),
        Transform("scaling", 0.3, (0.9, 1.1)),
        Transform("brightness", 0.15, (0.9, 1.1)),
        Transform("gamma", 0.15, (0.8, 1.25)),
    )


#: Name -> preset.
PRESETS: dict[str, Preset] = {
    "nnunet": Preset(
        "nnU-Net v2's, in 2D and in plane up to 180 degrees; and mirroring, not left to right",
        nnunet,
    ),
    "light": Preset("mild changes", light, mirrors=False),
}


def preset_transforms(
    name: str,
    sides: Sequence[int],
    *,
    in_plane: bool = False,
    mirror: Sequence[str] | None = None,
    left_right: str = "x",
) -> tuple[Transform, ...]:
    """Return the transforms of a preset.

    Args:
        name: a key of `PRESETS`.
        sides: the spatial sides of a sample.
        in_plane: whether the sample's slices change alike, each in its plane.
        mirror: axes to mirror; if None, those by which nothing is mirrored from left to right: all
            but `left_right`, and none in its plane if samples turn by more than 90 degrees there,
            as a half turn of a mirrored slice mirrors it along the other axis.
        left_right: the axis from the patient's left to right.
    """
    found = PRESETS[name]
    transforms = found.transforms(sides, in_plane)
    turned = any(one.name == "rotation" and one.between[1] > 90 for one in transforms)
    left_out = {"y", "x"} if turned and left_right == "x" else {left_right}
    own = [axis for axis in AXES[-len(sides) :] if axis not in left_out and found.mirrors]
    axes = tuple(own if mirror is None else mirror)
    return (*transforms, *((Transform("mirroring", axes=axes),) if axes else ()))


def is_anisotropic(sides: Sequence[int], spacing: Sequence[float | None]) -> bool:
    """Return whether a 3D sample should only change in the plane of its slices.

    It should if its slices are more than three times as long as they are many (nnU-Net's rule), or
    more than three times as far apart as their pixels.

    Args:
        sides: spatial sides of the sample.
        spacing: mm along slices, rows and columns; None or nan where unknown.
    """
    if len(sides) < 3:
        return False
    between, *within = (math.nan if step is None else float(step) for step in spacing)
    return max(sides) / sides[0] > ANISOTROPIC or between / min(within) > ANISOTROPIC
