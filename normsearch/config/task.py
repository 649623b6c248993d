"""The task of a study as a typed model: which data, cut and prepared how, split how."""

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
from normsearch.config.base import Fraction, ImportPath, Model, Number, Seed, Side, one_of
from normsearch.data import LAYOUTS

LabelValue = Annotated[int, Field(ge=0, le=255)]
Degrees = Annotated[float, Field(ge=-360, le=360)]
Factor = Annotated[float, Field(ge=1e-3, le=1e3)]
Intensity = Annotated[float, Field(ge=-1e12, le=1e12)]
Window = tuple[Intensity, Intensity]
_THREE = Field(min_length=3, max_length=3)
_PHANTOM_VOXELS, _CLASSES = 2**30, 254


def _held(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Refuse the shape of a sample that no memory holds."""
    if math.prod(shape) > 8 * limits.VOXELS:
        raise ValueError(f"must hold {8 * limits.VOXELS} values at most, got {list(shape)}")
    return shape


SampleShape = Annotated[tuple[Side, ...], Field(min_length=3, max_length=4), AfterValidator(_held)]
"""(channels, *spatial) of a sample."""


def _texts(value: object) -> object:
    """Read ``[1, 2]`` as ``["1", "2"]``: fold names look like numbers in YAML."""
    if isinstance(value, list | tuple):
        return [str(item) if isinstance(item, int) else item for item in value]
    return value


Folds = Annotated[tuple[str, ...], BeforeValidator(_texts)]


class PhantomConfig(Model):
    """The embedded data set: `subjects` volumes of `size`³ voxels."""

    size: Annotated[int, Field(ge=32, le=512)] = 64
    subjects: Annotated[int, Field(ge=3, le=10_000)] = 10
    seed: Seed = 0

    @model_validator(mode="after")
    def _can_be_made(self) -> Self:
        most = _PHANTOM_VOXELS // self.size**3
        if self.subjects > most:
            raise ValueError(
                f"subjects must be at most {most} where size is {self.size}, got {self.subjects}"
            )
        return self


_DEPTHS = {"stack": 3, "slab": 16}  # slices, where a task does not say


class AugmentationConfig(Model):
    """How training samples are varied at random; nothing is varied if nothing is given.

    `rotation` is [lowest, highest, step] in degrees, in plane; `flip` names axes (z, y, x); `scale`
    is [lowest, highest] factor of the intensities. Flips are off unless named here. Of axial and
    coronal slices, x is the left-right axis of the patient (of sagittal slices it is z): leave it
    out where classes mirror each other, such as left and right organs, for a flip makes one look
    like the other and keeps its label. `transforms` are functions of the user's own,
    ``module:name``, called in turn with an image, its label and a NumPy generator.
    """

    rotation: tuple[Degrees, Degrees, Annotated[float, Field(ge=1e-3, le=360)]] | None = None
    flip: tuple[Literal["z", "y", "x"], ...] = ()
    scale: tuple[Factor, Factor] | None = None
    transforms: tuple[ImportPath, ...] = ()

    @field_validator("rotation", "scale")
    @classmethod
    def _in_order(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and value[0] > value[1]:
            raise ValueError(f"must be lowest, then highest, got {value[0]:g} above {value[1]:g}")
        return value


class GeometryConfig(Model):
    """The orientation and spacing of a study's prepared training cases.

    `oriented`: whether they gave an orientation, and so were brought to the canonical one. The
    others are in mm along slices, rows and columns, None where unknown; `unknown` counts the cases
    whose spacing is not known.
    """

    oriented: bool
    least: Annotated[tuple[float | None, ...], _THREE]
    median: Annotated[tuple[float | None, ...], _THREE]
    greatest: Annotated[tuple[float | None, ...], _THREE]
    unknown: Annotated[tuple[Number, ...], _THREE]


OWN_DATA = "the trainer's own"
"""What `TaskConfig.data` says where a trainer of the user's own brings its data."""


class TaskConfig(Model):
    """What is segmented, and which subjects train, validate and test.

    `data` is ``phantom``, a folder or a manifest (absolute, or below the data folder), in a
    `layout` of ``normsearch list layouts``, or ``module:name``, a function from the folder to
    {id: (image, label)}. A `sample` is a slice, a stack of `depth` slices whose
    middle one is predicted, a slab of `depth` slices that shares `overlap` with the next, or a
    volume. `size` is (y, x) in pixels, for volumes (z, y, x), reached by `fit`; resize keeps the
    field of view and changes the spacing. `plane` is how slices are cut, of images that give an
    orientation; others are cut as they are stored. `intensity` is a rule or a window [low, high]
    (HU). `foreground` are the label values merged to one class, `classes`
    those kept apart as classes 1 to K; all non-zero ones are merged if neither is given. The value
    0 may be among them, where it is not the background. `ignore`
    are label values that nobody annotated, left out of loss and score (nnU-Net's ``ignore`` is one
    without being named). `segments` names the segments of 3D Slicer's labels that are taken as
    label values 1, 2, ... `validation` on
    the training cases is a check that they can be learnt at all, and no evidence; on the test cases
    it is what confirms fixed trainings, with all other subjects to train on.
    """

    data: str = OWN_DATA
    layout: Annotated[str, AfterValidator(one_of(["auto", *LAYOUTS], "my_layouts:by_patient"))] = (
        "auto"
    )
    phantom: PhantomConfig = PhantomConfig()
    sample: Literal["slice", "stack", "slab", "volume"] = "slice"
    depth: Side | None = None
    overlap: Annotated[int, Field(ge=0, le=limits.SIDE)] | None = None
    size: tuple[Side, ...] | None = None
    plane: Literal["axial", "coronal", "sagittal"] = "axial"
    fit: Literal["resize", "pad"] = "resize"
    intensity: Literal["minmax", "percentile", "zscore"] | Window = "percentile"
    foreground: Annotated[tuple[LabelValue, ...], Field(max_length=_CLASSES)] | None = None
    classes: Annotated[tuple[LabelValue, ...], Field(max_length=_CLASSES)] | None = None
    segments: tuple[str, ...] = ()
    ignore: tuple[LabelValue, ...] = ()
    augmentation: AugmentationConfig = AugmentationConfig()
    test_folds: Folds = ()
    validation: Literal["held_out", "training", "test"] = "held_out"
    validation_folds: Folds | None = None
    validation_fraction: Fraction = 0.25
    split_seed: Seed = 0

    @field_validator("validation_folds")
    @classmethod
    def _folds_to_validate_on(cls, value: object, info: ValidationInfo) -> object:
        if value is not None and info.data.get("validation") != "held_out":
            given = info.data.get("validation")
            raise ValueError(f"must be left out where validation is {given}")
        return value

    @field_validator("size")
    @classmethod
    def _size_of_a_sample(
        cls, size: tuple[int, ...] | None, info: ValidationInfo
    ) -> tuple[int, ...] | None:
        sample = info.data.get("sample")
        axes = "(z, y, x)" if sample == "volume" else "(y, x)"
        if size is not None and len(size) != axes.count(",") + 1:
            raise ValueError(f"must be {axes} where a sample is a {sample}, got {list(size)}")
        if size is not None and math.prod(size) > limits.VOXELS:
            raise ValueError(f"must hold {limits.VOXELS} voxels at most, got {list(size)}")
        return size

    @field_validator("depth", "overlap")
    @classmethod
    def _slices_of_a_sample(cls, value: int | None, info: ValidationInfo) -> int | None:
        sample = info.data.get("sample")
        depth = info.data.get("depth") or _DEPTHS.get(str(sample), 1)
        if value is None:
            return value
        if sample not in (("stack", "slab") if info.field_name == "depth" else ("slab",)):
            raise ValueError(f"must be left out where a sample is a {sample}, got {value}")
        if info.field_name == "overlap" and value >= depth:
            raise ValueError(f"must be below depth ({depth}), got {value}")
        if sample == "stack" and value % 2 == 0:
            raise ValueError(f"must be odd, so that a stack has a middle, got {value}")
        return value

    @field_validator("augmentation")
    @classmethod
    def _axes_of_a_sample(
        cls, value: AugmentationConfig, info: ValidationInfo
    ) -> AugmentationConfig:
        sample = info.data.get("sample")
        if "z" in value.flip and sample not in ("slab", "volume"):
            raise ValueError(f"a {sample} can be flipped along y and x, got z")
        return value

    @model_validator(mode="after")
    def _one_choice_of_classes(self) -> Self:
        for name, values in (("foreground", self.foreground), ("classes", self.classes)):
            if values is not None and (not values or len(set(values)) < len(values)):
                raise ValueError(f"{name} must be label values, each once, got {list(values)}")
        if both := {*self.ignore} & {*(self.foreground or ()), *(self.classes or ())}:
            raise ValueError(
                f"ignore must not hold label values of foreground or classes, got {sorted(both)}"
            )
        if self.foreground and self.classes:
            raise ValueError("foreground and classes must not both be given; leave one out")
        return self

    @property
    def kind(self) -> Literal["segmentation", "classification"]:
        """What is asked of the network; known once the `layout` is."""
        return "classification" if self.layout == "idx" else "segmentation"

    @property
    def outputs(self) -> int:
        """The network's output channels: 1, background and K classes, or an image's classes."""
        if self.kind == "classification":
            return len(self.classes or ())
        return 1 + len(self.classes) if self.classes else 1

    @property
    def mask_values(self) -> tuple[int, ...]:
        """The label values of a predicted mask, by class index.

        Background is 0, or, where 0 is one of `classes`, the smallest value that is none of them;
        merged foreground is 1, whatever its label values are.
        """
        classes = self.classes or (1,)
        background = next(value for value in range(256) if value not in classes)
        return (background, *classes)

    @property
    def slices(self) -> int:
        """Slices of a stack or a slab, 1 for others."""
        return self.depth or _DEPTHS.get(self.sample, 1)

    @property
    def shared(self) -> int:
        """Slices that a slab shares with the next."""
        given = self.slices // 2 if self.overlap is None else self.overlap
        return given if self.sample == "slab" else 0
