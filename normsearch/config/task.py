"""The task of a study as a typed model: the data, its preparation, and its split."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from normsearch import limits
from normsearch.config.augmentation import AugmentationConfig
from normsearch.config.base import Fraction, Model, Seed, Side, one_of
from normsearch.config.case_facts import ForegroundIntensities, Intensity
from normsearch.config.patches import SampleSize
from normsearch.config.target_spacing import MEDIAN, TargetSpacing
from normsearch.data import LAYOUTS
from normsearch.data.transforms import FITS, INTENSITY_RULES

LabelValue = Annotated[int, Field(ge=0, le=255)]
Window = tuple[Intensity, Intensity]
_PHANTOM_VOXELS, _CLASSES = 2**30, 254


def _check_values(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Raise ValueError if a sample of this shape is too large."""
    if math.prod(shape) > 8 * limits.VOXELS:
        raise ValueError(f"must hold at most {8 * limits.VOXELS} values, got {list(shape)}")
    return shape


SampleShape = Annotated[
    tuple[Side, ...], Field(min_length=3, max_length=4), AfterValidator(_check_values)
]
"""Shape of a sample, (channels, *spatial)."""


def _texts(value: object) -> object:
    """Read ``[1, 2]`` as ``["1", "2"]``, since names of folds may look like numbers in YAML."""
    if isinstance(value, list | tuple):
        return [str(item) if isinstance(item, int) else item for item in value]
    return value


Folds = Annotated[tuple[str, ...], BeforeValidator(_texts)]


class PhantomConfig(Model):
    """The embedded data set, ``phantom``: generated volumes with known labels."""

    size: Annotated[int, Field(ge=32, le=512)] = 64
    """Voxels along each side of a volume."""
    subjects: Annotated[int, Field(ge=3, le=10_000)] = 10
    """Number of volumes."""
    seed: Seed = 0
    """Seed of the volumes."""

    @model_validator(mode="after")
    def _can_be_made(self) -> Self:
        most = _PHANTOM_VOXELS // self.size**3
        if self.subjects > most:
            raise ValueError(
                f"subjects must be at most {most} if size is {self.size}, got {self.subjects}"
            )
        return self


_DEPTHS = {"stack": 3, "slab": 16}  # default number of slices


OWN_DATA = "the trainer's own"
"""Value of `TaskConfig.data` if the user's trainer brings its own data."""


class TaskConfig(SampleSize):
    """The data of a study, how samples are cut from it, and how it is split."""

    data: str = OWN_DATA
    """``phantom``, a folder or a manifest; absolute, or below the data folder. It may be left
    out in a study with a trainer."""
    layout: Annotated[str, AfterValidator(one_of(["auto", *LAYOUTS], "my_layouts:by_patient"))] = (
        "auto"
    )
    """Layout of the data set on disk: one of ``normsearch list layouts``, or ``module:name``, a
    function from the folder to {id: (image, label)}."""
    phantom: PhantomConfig = PhantomConfig()
    """Size of the embedded data set, if `data` is ``phantom``."""
    sample: Literal["slice", "stack", "slab", "volume", "patch"] = "slice"
    """Input of the network: a slice; a stack of slices, of which the middle one is predicted; a
    slab of slices; a volume; or a patch at a random place of an image on its own grid."""
    depth: Side | None = None
    """Slices of a stack (3) or a slab (16)."""
    overlap: Annotated[int, Field(ge=0, le=limits.SIDE)] | None = None
    """Slices that a slab shares with the next one (half of them)."""
    size: Literal["auto"] | tuple[Side, ...] | None = None
    """Size of a sample in pixels: [y, x], for volumes [z, y, x]; the image's own if left out. Of
    patches: [y, x] of slices, [z, y, x] of volumes, or auto, the largest that `memory` allows."""
    foreground_share: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of the patches that are centred on foreground (1/3): on a voxel of a class that is
    drawn first. The others lie anywhere."""
    memory: Annotated[float, Field(gt=0, le=limits.GIBIBYTES)] | None = None
    """GiB that a training step may take (8), for a size of auto."""
    plane: Literal["axial", "coronal", "sagittal"] = "axial"
    """Plane of the slices, for images with an orientation; others are cut as they are stored."""
    fit: Annotated[str, AfterValidator(one_of(FITS, "my_data:nearest"))] = "resize"
    """How images are brought to `size`: resize keeps the field of view and changes the spacing; pad
    crops or pads and keeps the spacing; ``module:name`` is a function of yours that resamples image
    and label."""
    spacing: TargetSpacing = None
    """Spacing in mm that images are resampled to before `size` crops or pads them: [z, y, x] (along
    slices, rows and columns), or for samples of slices also [y, x], which keeps the slices; median,
    by nnU-Net's rule, of the cases that are not in a test fold (for samples of slices along y and
    x); or none. A run records it in numbers. Scores and masks are of each image's own grid."""
    intensity: Annotated[str, AfterValidator(one_of(INTENSITY_RULES, "my_data:rank"))] | Window = (
        "percentile"
    )
    """How intensities are normalized: a rule, a window [low, high] (in HU for CT), or
    ``module:name``, a function of yours from the values of a channel to normalized ones. Rules:
    percentile, minmax, zscore; zscore_body, z-scores by the voxels of the body, which are those
    that are not 0 with the holes between them; ct, nnU-Net's rule for CT."""
    foreground_intensities: tuple[ForegroundIntensities, ...] | None = None
    """Intensities of the training cases' foreground, by channel, which ct uses: clip to the
    percentiles, subtract the mean, divide by the deviation. A run measures and records them."""
    foreground: Annotated[tuple[LabelValue, ...], Field(max_length=_CLASSES)] | None = None
    """Label values that are merged into one class. If neither `foreground` nor `classes` is given,
    all values but 0 are merged."""
    classes: Annotated[tuple[LabelValue, ...], Field(max_length=_CLASSES)] | None = None
    """Label values of separate classes, 1 to K. 0 may be among them if it is not the
    background."""
    segments: tuple[str, ...] = ()
    """Names of 3D Slicer's segments that become the label values 1, 2, ..."""
    ignore: tuple[LabelValue, ...] = ()
    """Label values of voxels without annotation, which are left out of loss and score. nnU-Net's
    ``ignore`` label is found without this key."""
    augmentation: AugmentationConfig = AugmentationConfig()
    """Random changes of the training samples: nnunet, light, none, a list of transforms, or the
    keys below."""
    test_folds: Folds = ()
    """Folds that the search never sees; `normsearch confirm` tests on them."""
    validation: Literal["held_out", "training", "test"] = "held_out"
    """Which cases are scored: held_out; training, to check that the network can learn them; or
    test, for fixed trainings only, which then train on all other subjects."""
    validation_folds: Folds | None = None
    """Folds to validate on, in place of `validation_fraction`."""
    validation_fraction: Fraction = 0.25
    """Share of the remaining subjects to validate on."""
    split_seed: Seed = 0
    """Seed of the split by `validation_fraction`."""
    validation_cases: Annotated[int, Field(gt=0, le=limits.TRIALS)] | None = None
    """Number of cases that each evaluation but the last scores, the same in every trial; all if
    left out. The last evaluation scores all cases."""
    folds: Annotated[int, Field(ge=2, le=limits.FOLDS)] | None = None
    """Number of folds to make, called 1, 2 and so on, for a data set without folds of its own: by
    subject, with rare classes spread over them."""

    @field_validator("validation_folds")
    @classmethod
    def _folds_to_validate_on(cls, value: object, info: ValidationInfo) -> object:
        if value is not None and info.data.get("validation") != "held_out":
            given = info.data.get("validation")
            raise ValueError(f"must be left out if validation is {given}")
        return value

    @field_validator("depth", "overlap")
    @classmethod
    def _slices_of_a_sample(cls, value: int | None, info: ValidationInfo) -> int | None:
        sample = info.data.get("sample")
        depth = info.data.get("depth") or _DEPTHS.get(str(sample), 1)
        if value is None:
            return value
        if sample not in (("stack", "slab") if info.field_name == "depth" else ("slab",)):
            raise ValueError(f"must be left out if a sample is a {sample}, got {value}")
        if info.field_name == "overlap" and value >= depth:
            raise ValueError(f"must be below depth ({depth}), got {value}")
        if sample == "stack" and value % 2 == 0:
            raise ValueError(f"must be odd, so that a stack has a middle slice, got {value}")
        return value

    @field_validator("augmentation")
    @classmethod
    def _axes_of_a_sample(
        cls, value: AugmentationConfig, info: ValidationInfo
    ) -> AugmentationConfig:
        sample, size = info.data.get("sample"), info.data.get("size")
        deep = sample in ("slab", "volume") or (sample == "patch" and size and len(size) != 2)
        if "z" in value.mirrored and not deep:
            raise ValueError(f"a {sample} can be flipped along y and x, got z")
        if (others := {*value.turned} - {"z"}) and not deep:
            given = ", ".join(sorted(others))
            raise ValueError(f"a {sample} can be rotated about z alone, got axes {given}")
        return value

    @model_validator(mode="after")
    def _spacing_of_samples(self) -> Self:
        spacing = self.spacing
        if spacing is not None and self.resized:
            raise ValueError(
                f"spacing must not be given with size and fit: {self.fit}, which changes the "
                "spacing again; set fit: pad, or leave size or spacing out"
            )
        if isinstance(spacing, tuple) and len(spacing) == 2 and not self.of_slices:
            raise ValueError(
                f"spacing must be [z, y, x] if a sample is a {self.sample}, got {list(spacing)}"
            )
        if self.foreground_intensities is not None and self.intensity != "ct":
            raise ValueError(
                f"foreground_intensities must be left out if intensity is {self.intensity}; only "
                "ct uses them"
            )
        return self

    @model_validator(mode="after")
    def _one_choice_of_classes(self) -> Self:
        for name, values in (("foreground", self.foreground), ("classes", self.classes)):
            if values is not None and (not values or len(set(values)) < len(values)):
                raise ValueError(f"{name} must be label values, each once, got {list(values)}")
        if both := {*self.ignore} & {*(self.foreground or ()), *(self.classes or ())}:
            raise ValueError(
                f"ignore must not share label values with foreground or classes, got {sorted(both)}"
            )
        if self.foreground and self.classes:
            raise ValueError("foreground and classes must not both be given; leave one out")
        return self

    @property
    def kind(self) -> Literal["segmentation", "classification"]:
        """The kind of the task; known once `layout` is resolved."""
        return "classification" if self.layout == "idx" else "segmentation"

    @property
    def of_slices(self) -> bool:
        """Whether samples are cut within slices, so that images may keep the slices they have."""
        return self.whole in ("slice", "stack")

    @property
    def target_spacing(self) -> tuple[float, ...] | None:
        """The spacing that images are resampled to, along (z,) y and x; None if they are not."""
        return self.spacing if isinstance(self.spacing, tuple) else None

    @property
    def unmeasured(self) -> tuple[str, ...]:
        """The keys whose values are measured on the cases, and are not yet."""
        spacing = ("spacing",) if self.spacing == MEDIAN else ()
        ct = self.intensity == "ct" and self.foreground_intensities is None
        return (*spacing, *(("foreground_intensities",) if ct else ()))

    @property
    def outputs(self) -> int:
        """Number of output channels: 1, background and K classes, or the classes of an image."""
        if self.kind == "classification":
            return len(self.classes or ())
        return 1 + len(self.classes) if self.classes else 1

    @property
    def mask_values(self) -> tuple[int, ...]:
        """The label values of a predicted mask, by class index.

        Background is 0, or, if 0 is one of `classes`, the smallest value that is not; merged
        foreground is always 1.
        """
        classes = self.classes or (1,)
        background = next(value for value in range(256) if value not in classes)
        return (background, *classes)

    @property
    def slices(self) -> int:
        """Number of slices of a stack or a slab, 1 otherwise."""
        return self.depth or _DEPTHS.get(self.sample, 1)

    @property
    def shared(self) -> int:
        """Number of slices that a slab shares with the next one."""
        given = self.slices // 2 if self.overlap is None else self.overlap
        return given if self.sample == "slab" else 0
