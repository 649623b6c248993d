"""The augmentation of a task: a preset, a list of random transforms, or single changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from normsearch.config.base import Model, text_as_name
from normsearch.data import PRESETS, TRANSFORMS, Transform
from normsearch.errors import DataError, did_you_mean, short

Axis = Literal["z", "y", "x"]
Degrees = Annotated[float, Field(ge=-360, le=360)]
Factor = Annotated[float, Field(ge=1e-3, le=1e3)]
Share = Annotated[float, Field(ge=0, le=1)]
NONE = "none"
_FORMS = (
    f"must be one of {', '.join(PRESETS)}, {NONE}, a list of transforms, or a mapping, got {{}}"
)


class TransformConfig(Model):
    """A random transform of the training samples; a name alone stands for its defaults.

    `normsearch list augmentations` shows the transforms with their defaults.
    """

    name: str
    """One of ``normsearch list augmentations``; or ``module:name``: a transform of MONAI, such as
    ``monai.transforms:RandBiasField``, or a function of yours of an image, its label and a NumPy
    generator."""
    probability: Share | None = None
    """Share of the samples that are changed; for mirroring, along each axis. The transform's
    default if left out; 1 for ``module:name``."""
    range: tuple[float, float] | None = None
    """[lowest, highest] value to draw, such as degrees or a factor; the transform's default if left
    out."""
    axes: tuple[Axis, ...] = ()
    """Axes that mirroring mirrors along, or that rotation turns about (all of them if left out)."""
    per_channel: Share | None = None
    """Share of the channels that are changed, in a sample that is; the transform's default if left
    out."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of ``module:name``."""

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: object) -> object:
        return text_as_name(value)

    @model_validator(mode="after")
    def _fits_its_name(self) -> Self:
        try:
            self.transform()
        except DataError as error:
            raise ValueError(str(error)) from error
        return self

    @model_serializer(mode="wrap")
    def _shortest(self, handler: SerializerFunctionWrapHandler) -> Any:
        """Return what is given; a name alone as a text, as runs of earlier versions have it."""
        found = {key: value for key, value in handler(self).items() if value or value == 0}
        return found if len(found) > 1 else self.name

    def transform(self) -> Transform:
        """Return the transform."""
        return Transform(**{name: getattr(self, name) for name in type(self).model_fields})


def _preset(name: str) -> str:
    known = [*PRESETS, NONE]
    if name not in known:
        likely = did_you_mean(name, [*known, *TRANSFORMS])
        raise ValueError(f"{_FORMS.format(short(name))}.{likely}")
    return name


class AugmentationConfig(Model):
    """Random changes of the training samples; none by default.

    A text is a preset, and a list is that of `transforms`. In axial and coronal slices, x is the
    left-right axis of the patient (in sagittal slices, z). Do not flip this axis if classes mirror
    each other, such as left and right organs: a flipped one looks like the other but keeps its
    label.
    """

    preset: Annotated[str, AfterValidator(_preset)] | None = None
    """nnunet, light or none; see ``normsearch list augmentations``."""
    mirror: tuple[Axis, ...] | None = None
    """Axes that a preset mirrors along. If left out, those of the preset by which nothing is
    mirrored from left to right."""
    rotation: tuple[Degrees, Degrees, Annotated[float, Field(ge=1e-3, le=360)]] | None = None
    """Rotation within a slice: [lowest, highest, step], in degrees."""
    flip: tuple[Axis, ...] = ()
    """Axes to flip at random, of z, y and x."""
    scale: tuple[Factor, Factor] | None = None
    """Factor of the intensities: [lowest, highest]. Not of sizes, which is the transform
    `scaling`."""
    transforms: tuple[TransformConfig, ...] = ()
    """Further changes: names, or mappings with ranges and probabilities. Those that move voxels act
    first, as one resampling; the others follow in order."""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: object) -> object:
        if isinstance(value, str):
            one = ":" in value or value in TRANSFORMS
            value = {"transforms": [value]} if one else {"preset": value}
        elif isinstance(value, list | tuple):
            value = {"transforms": value}
        elif not isinstance(value, Mapping | cls):
            raise ValueError(_FORMS.format(short(value)))
        if isinstance(value, Mapping) and value.get("preset") == NONE:
            value = {key: given for key, given in value.items() if key != "preset"}
        return value

    @field_validator("rotation", "scale")
    @classmethod
    def _in_order(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and value[0] > value[1]:
            raise ValueError(f"must be lowest, then highest, got {value[0]:g}, then {value[1]:g}")
        return value

    @model_validator(mode="after")
    def _preset_or_single_changes(self) -> Self:
        single = [key for key in ("rotation", "flip", "scale") if getattr(self, key)]
        if self.preset and single:
            cure = "give its axes as mirror" if single == ["flip"] else "list it in transforms"
            raise ValueError(f"{single[0]} must be left out with a preset; {cure}")
        if self.mirror is not None and not self.preset:
            raise ValueError("mirror must be left out without a preset; use flip")
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_not_given(self, handler: SerializerFunctionWrapHandler) -> Any:
        """Leave out newer keys at their defaults, so that earlier runs keep their identity."""
        found = handler(self)
        return {
            key: value
            for key, value in found.items()
            if value is not None or key not in ("preset", "mirror")
        }

    @property
    def mirrored(self) -> set[str]:
        """The axes that are named to be mirrored or flipped."""
        listed = [one.axes for one in self.transforms if one.name == "mirroring"]
        return {*self.flip, *(self.mirror or ()), *(axis for axes in listed for axis in axes)}

    @property
    def turned(self) -> set[str]:
        """The axes that rotations name."""
        return {axis for one in self.transforms if one.name == "rotation" for axis in one.axes}

    @property
    def imported(self) -> list[TransformConfig]:
        """The transforms that are given as ``module:name``."""
        return [one for one in self.transforms if one.transform().foreign]
