"""Checks of the size of samples and of the settings of patches; base of the task's model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, Self

from pydantic import ValidationInfo, field_validator, model_validator

from normsearch import limits
from normsearch.config.base import ItemError, Model
from normsearch.errors import short

Size = Literal["auto"] | tuple[int, ...] | None
"""Size of a sample; `auto` is replaced by a size when a study is prepared."""


class SampleSize(Model):
    """Base of `TaskConfig`: the size of a sample, and what belongs to patches alone."""

    if TYPE_CHECKING:
        sample: str
        size: Size
        fit: str

    @field_validator("size", mode="before", check_fields=False)
    @classmethod
    def _sides_or_auto(cls, size: object) -> object:
        if size is None or size == "auto" or isinstance(size, list | tuple):
            return size
        raise ValueError(f"must be a list of sides, or auto for patches, got {short(size)}")

    @field_validator("size", check_fields=False)
    @classmethod
    def _size_of_a_sample(cls, size: Size, info: ValidationInfo) -> Size:
        sample = info.data.get("sample")
        if size == "auto" and sample != "patch":
            raise ValueError(f"must be auto only if a sample is a patch, and it is a {sample}")
        if size is None or size == "auto":
            return size
        flat, deep = {"volume": (0, 3), "patch": (2, 3)}.get(str(sample), (2, 0))
        if len(size) not in (flat, deep):
            axes = " or ".join(["(y, x)"] * (flat > 0) + ["(z, y, x)"] * (deep > 0))
            raise ValueError(f"must be {axes} if a sample is a {sample}, got {list(size)}")
        if math.prod(size) > limits.VOXELS:
            raise ValueError(f"must hold at most {limits.VOXELS} voxels, got {list(size)}")
        return size

    @field_validator("foreground_share", "memory", check_fields=False)
    @classmethod
    def _of_patches_alone(cls, value: float | None, info: ValidationInfo) -> float | None:
        sample = info.data.get("sample")
        if value is not None and sample != "patch":
            raise ValueError(f"must be left out if a sample is a {sample}, got {value:g}")
        return value

    @model_validator(mode="after")
    def _patches_have_a_size(self) -> Self:
        if self.sample == "patch" and self.size is None:
            raise ItemError("size", "must be given if a sample is a patch: its sides, or auto")
        if self.sample == "patch" and self.fit != "resize":  # the default
            raise ItemError(
                "fit",
                "must be left out if a sample is a patch: images are cut, and smaller ones padded; "
                f"got {self.fit}",
            )
        return self

    @property
    def resized(self) -> bool:
        """Whether images are resampled to `size`, and not cropped, padded or cut into patches."""
        return self.size is not None and self.fit != "pad" and self.sample != "patch"

    @property
    def sides(self) -> tuple[int, ...]:
        """The size of a sample; empty if it is not given, or not chosen yet."""
        return () if self.size is None or self.size == "auto" else self.size

    @property
    def whole(self) -> str:
        """The kind of sample that a whole case is predicted by; windows slide over it."""
        if self.sample != "patch":
            return self.sample
        return "slice" if len(self.sides) == 2 else "volume"
