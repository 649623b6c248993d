"""The augmentation of a task's samples: built, tried before the first trial, and shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from normsearch.config import StudyConfig, TaskConfig
from normsearch.config.base import shared
from normsearch.data import (
    Augmentation,
    Case,
    is_anisotropic,
    preset_transforms,
)
from normsearch.data.foreign_transforms import without_chance
from normsearch.errors import ConfigError
from normsearch.files import is_there, write_atomically
from normsearch.labels import IGNORED
from normsearch.networks.importing import users_code
from normsearch.trials.task import sample_shape, task_loader, training_geometry

PICTURES = "augmentation.npz"
_SEEN, _SHOWN, _CHANGES = 16, 2, 6
_TRIED = 4  # changes of a sample by a transform, as some fail only for what they draw


def augmentation_of(task: TaskConfig, cases: Sequence[Case], seed: int) -> Augmentation:
    """Return the augmentation of a task's samples.

    Args:
        task: the task.
        cases: the training cases; their shape and spacing say whether changes are in plane.
        seed: of the changes.
    """
    config = task.augmentation
    given = {**shared(config, Augmentation), "transforms": ()}
    if not (config.preset or config.transforms):
        return Augmentation(**given, seed=seed)
    sides = sample_shape(task, cases)[1:]
    in_plane = is_anisotropic(sides, training_geometry(cases).median)
    given["transforms"] = tuple(one.transform() for one in config.transforms)
    if config.preset:
        left_right = "z" if task.plane == "sagittal" else "x"
        of_preset = preset_transforms(
            config.preset, sides, in_plane=in_plane, mirror=config.mirror, left_right=left_right
        )
        given["transforms"] = (*of_preset, *given["transforms"])
    slices = task.slices if task.sample == "stack" else 1
    return Augmentation(**given, seed=seed, slices=slices, in_plane=in_plane)


def try_transforms(task: TaskConfig, cases: Sequence[Case]) -> None:
    """Change one sample several times by each transform that is given as ``module:name``.

    Raises:
        ConfigError: one does not exist, fails, does not accept its arguments, or changes the sample
            of a number in different ways.
        DataError: one returns other shapes, or blends labels.
    """
    if not task.augmentation.imported:
        return
    image, label = next(_samples(task, cases))
    images, labels = (part.expand(_TRIED, *part.shape[1:]) for part in (image, label))
    for one in task.augmentation.imported:
        where = f"task.augmentation.transforms: {one.name}"
        augmentation = Augmentation(transforms=(without_chance(one.transform()),))
        rule = f"must change an image of shape {tuple(image.shape[1:])}, and says"
        with users_code(f"{where} {rule}"):
            first, second = (augmentation(images, labels, range(_TRIED)) for _ in range(2))
        if not all(map(_equal, first, second)):
            raise ConfigError(
                f"{where} must change a sample in the same way whenever it is asked to, so that an "
                "interrupted trial resumes exactly, and does not; draw all its random numbers from "
                "the generator that it is given, or use another transform."
            )


def write_pictures(folder: Path, study: StudyConfig, cases: Sequence[Case]) -> None:
    """Write FOLDER/augmentation.npz, from which `analysis` draws, unless it is there.

    Nothing is written for a task without augmentation, or for a training loop of the user.

    Raises:
        DiskFullError: the disk is full.
    """
    if study.trainer or not cases or is_there(folder / PICTURES):
        return
    augmentation = augmentation_of(study.task, cases, study.training.augmentation_seed)
    if augmentation.varies:
        found: dict[str, Any] = pictures(study.task, cases, augmentation)
        write_atomically(folder / PICTURES, lambda file: np.savez_compressed(file, **found))


def pictures(
    task: TaskConfig, cases: Sequence[Case], augmentation: Augmentation
) -> dict[str, npt.NDArray[Any]]:
    """Return a slice of two training samples, as they are and with six changes each.

    Of 16 samples, these are the two with the most foreground; the slice is the one with the most.

    Returns:
        ``image`` and ``label`` (2, 7, y, x): the first channel, and 1 in the foreground. The first
        of each seven is unchanged.
    """
    samples = list(islice(_samples(task, cases), _SEEN))
    samples.sort(key=lambda sample: -int(_foreground(sample[1]).sum()))
    shown = list[tuple[Tensor, Tensor]]()
    for place, (image, label) in enumerate(samples[:_SHOWN]):
        copies = [part.expand(_CHANGES, *part.shape[1:]) for part in (image, label)]
        numbers = range(_CHANGES * place, _CHANGES * (place + 1))
        changed = augmentation(copies[0], copies[1], numbers)
        shown.append(_slice(torch.cat([image, changed[0]]), torch.cat([label, changed[1]]), task))
    images, labels = (torch.stack(part).numpy() for part in zip(*shown, strict=True))
    return {"image": images, "label": labels}


def _samples(task: TaskConfig, cases: Sequence[Case]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield training samples in batches of one, with uint8 labels, (1, *spatial) or (1,)."""
    for image, truth in task_loader(task, cases, 1, 0).batches(0):
        yield image, (truth[:, 0] if task.outputs == 1 else truth).byte()


def _equal(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one.float(), other.float(), rtol=0, atol=0, equal_nan=True)


def _foreground(label: Tensor) -> Tensor:
    return (label > 0) & (label != IGNORED)


def _slice(images: Tensor, labels: Tensor, task: TaskConfig) -> tuple[Tensor, Tensor]:
    """Return one slice of all samples of a batch, (B, y, x), by the foreground of the first."""
    stacked = task.slices if task.sample == "stack" else 1
    shown = images[:, images.shape[1] // stacked * (stacked // 2)]
    if labels.ndim == 1:  # classes of whole images
        return shown, torch.zeros_like(shown, dtype=torch.uint8)
    marks = _foreground(labels).byte()
    if shown.ndim == 3:
        return shown, marks
    place = int(marks[0].sum((1, 2)).argmax())
    return shown[:, place], marks[:, place]
