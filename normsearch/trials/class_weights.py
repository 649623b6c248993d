"""The loss of a training, with class weights from the frequency of classes in its cases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from normsearch.config import TaskConfig, TrainingConfig
from normsearch.data import Case
from normsearch.data.cases import slice_blocks
from normsearch.training import choose_loss
from normsearch.training.losses import Loss

_DIGITS = 6  # of a balanced weight, so that files stay readable


def class_weights(
    training: TrainingConfig, task: TaskConfig, cases: Sequence[Case]
) -> tuple[float, ...] | None:
    """Return the weights of a training's classes, the background first; None without weights.

    With ``balanced`` the weight of a class is n / (k · its voxels), for n voxels of k classes in
    the training cases (for whole images, of images): all classes weigh the same together. It is the
    formula of scikit-learn. A class without a voxel has the weight 0; ignored voxels do not count.

    Args:
        training: the training.
        task: its task.
        cases: the training cases.
    """
    if training.class_weights != "balanced":
        return training.class_weights
    counts = class_counts(cases, max(2, task.outputs))
    share = int(counts.sum()) / np.count_nonzero(counts)
    return tuple(float(f"{share / count:.{_DIGITS}g}") if count else 0.0 for count in counts)


def loss_of(training: TrainingConfig, task: TaskConfig, cases: Sequence[Case]) -> Loss:
    """Return the loss of a training; arguments as for `class_weights`."""
    weights = class_weights(training, task, cases)
    return choose_loss(training.loss, task.outputs, task.kind, weights)


def class_counts(cases: Sequence[Case], classes: int) -> npt.NDArray[np.int64]:
    """Return the number of voxels (or images) of each class in the labels of cases."""
    counts = np.zeros(256, np.int64)
    for case in cases:
        for part in slice_blocks(case.label):  # in parts, as bincount converts to int64
            counts += np.bincount(np.ravel(part), minlength=256)
    return counts[:classes]
