"""Transforms by import path: those of MONAI, and functions of the user.

A transform is built anew for each sample and gets the sample's random numbers, so that neither
threads nor workers share its state.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from normsearch.data.random_transforms import Transform
from normsearch.errors import ConfigError, DataError, one_line
from normsearch.networks.importing import load, parameters_of, with_objects

KEY = "task.augmentation.transforms"
_PLACES = ("monai.transforms.spatial.", "monai.transforms.croppad.")
_NOT_MOVING = {"RandSimulateLowResolution", "RandSimulateLowResolutiond"}  # in spatial all the same
_MOVING = {"RandSmoothDeform", "RandSmoothDeformd", "Transpose", "Transposed"}
_ALONE = "must move image and label alike, and moves the image alone"

Change = Callable[[Tensor, Tensor, np.random.Generator], tuple[Tensor, Tensor]]


def apply_foreign(
    transform: Transform, image: Tensor, label: Tensor, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Return a sample changed by a transform that is given as ``module:name``.

    Args:
        transform: the transform.
        image: float32, (channels, *spatial).
        label: uint8, (*spatial), or () for the class of an image.
        random: the sample's generator.

    Raises:
        ConfigError: see `build_foreign`.
        DataError: shapes differ from those given, or the label's values were blended.
    """
    if transform.chance < 1 and random.random() >= transform.chance:
        return image, label
    given = build_foreign(transform)(image, label, random)
    shapes = [getattr(part, "shape", None) for part in given]
    if shapes != [image.shape, label.shape]:
        raise DataError(
            f"{KEY}: {transform.name} must return image and label in the "
            f"shapes it was given, {tuple(image.shape)} and {tuple(label.shape)}"
        )
    return given[0].to(image.dtype), given[1].to(label.dtype)


def build_foreign(transform: Transform) -> Change:
    """Return the function of image, label and generator that a ``module:name`` stands for.

    Raises:
        ConfigError: it does not exist, its arguments do not fit, or it moves the image alone.
    """
    found = load(transform.name, KEY)
    arguments = {key: with_objects(value) for key, value in transform.arguments.items()}
    if not inspect.isclass(found):
        return partial(found, **arguments) if arguments else found
    of_monai = _of_monai(found)
    if of_monai:
        arguments = {**_defaults(found, arguments, transform.name), **arguments}
    try:
        made: Any = found(**arguments)
    except (TypeError, ValueError, KeyError) as error:
        raise ConfigError(
            f"{KEY}: {transform.name} must accept its arguments, and says: {one_line(error)}."
        ) from error
    return partial(_apply_monai, made) if of_monai else made


def without_chance(transform: Transform) -> Transform:
    """Return a ``module:name`` that changes every sample, also one of MONAI with its own `prob`.

    Raises:
        ConfigError: it does not exist.
    """
    found, arguments = load(transform.name, KEY), transform.arguments
    if _of_monai(found) and "prob" in parameters_of(found):
        arguments = {**arguments, "prob": 1.0}
    return replace(transform, probability=1.0, arguments=arguments)


def is_random_transform(found: object) -> bool:
    """Return whether an object is one of MONAI's own random transforms.

    They compute and draw. Its other transforms may read and write files.
    """
    if not _of_monai(found):
        return False
    from monai.transforms.transform import Randomizable

    own = str(getattr(found, "__module__", "")).startswith("monai.transforms.")
    return own and isinstance(found, type) and issubclass(found, Randomizable)


def _of_monai(found: object) -> bool:
    """Return whether an object is a class of MONAI's transforms, or derived from one."""
    bases = found.__mro__ if isinstance(found, type) else ()
    return any(base.__module__.startswith("monai.transforms.") for base in bases)


def _moves(found: type) -> bool:
    """Return whether a transform of MONAI moves voxels."""
    names = {base.__name__ for base in found.__mro__}
    places = {base.__module__.startswith(_PLACES) for base in found.__mro__}
    return bool(names & _MOVING) or (True in places and not names & _NOT_MOVING)


def _defaults(found: type, given: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return keys and modes for a transform of MONAI: label values are the nearest ones."""
    from monai.transforms.transform import MapTransform

    moves = _moves(found)
    if not issubclass(found, MapTransform):
        if moves:
            raise ConfigError(f"{KEY}: {name} {_ALONE}; use {name}d.")
        return {}
    keys = given.get("keys", ["image", "label"] if moves else ["image"])
    keys = [keys] if isinstance(keys, str) else list(keys)
    defaults: dict[str, Any] = {"keys": keys}
    if "allow_missing_keys" in parameters_of(found):
        defaults["allow_missing_keys"] = True
    if moves and "mode" in parameters_of(found):
        defaults["mode"] = ["nearest" if key == "label" else "bilinear" for key in keys]
    return defaults


def _apply_monai(
    made: Any, image: Tensor, label: Tensor, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Apply a transform of MONAI to the image or, if it takes keys, to image and label."""
    from monai.transforms.transform import MapTransform
    from monai.utils.type_conversion import convert_to_tensor

    if hasattr(made, "set_random_state"):
        made.set_random_state(seed=int(random.integers(2**32)))
    if not isinstance(made, MapTransform):
        return convert_to_tensor(made(image.clone()), track_meta=False), label
    sample = {"image": image.clone(), **({"label": label[None].clone()} if label.ndim else {})}
    changed = made(sample)
    found = convert_to_tensor(changed["image"], track_meta=False)
    if "label" not in sample:
        return found, label
    if "label" not in made.keys:
        if _moves(type(made)):
            raise DataError(f"{KEY}: {type(made).__name__} {_ALONE}; leave its keys out")
        return found, label
    marks = convert_to_tensor(changed["label"], track_meta=False)[0]
    if not {*np.unique(marks)} <= {0, *np.unique(label)}:
        raise DataError(
            f"{KEY}: {type(made).__name__} must keep the values of a label, and blends them; set "
            "its mode to [bilinear, nearest], or its keys to [image]"
        )
    return found, marks
