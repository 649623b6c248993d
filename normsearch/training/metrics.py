"""Scores of predictions, with the counts that they are computed from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from normsearch.labels import IGNORED

Score = Callable[[Tensor, Tensor, tuple[float, ...] | None], dict[str, float]]
"""(logits, truth, spacing) of one case -> ``score`` (NaN if undefined), and details by name."""


def dice(prediction: Tensor, truth: Tensor) -> float:
    """Return the Dice coefficient 2·TP / (2·TP + FP + FN) of two masks, from 0 to 1.

    Args:
        prediction: bool, any shape: the voxels predicted as foreground.
        truth: bool, the same shape.

    Returns:
        NaN if both masks are empty (means leave the case out); 0 if only the truth is empty.
    """
    return _dice(*_counts([(prediction, truth)])[0])


def mean_score(scores: Iterable[float]) -> float:
    """Return the mean of the scores that are not NaN; NaN if none is left."""
    known = [score for score in scores if not math.isnan(score)]
    return math.fsum(known) / len(known) if known else math.nan


def segmentation_score(
    logits: Tensor, truth: Tensor, spacing: tuple[float, ...] | None = None
) -> dict[str, float]:
    """Score one case by the mean Dice over the classes in truth or prediction.

    Args:
        logits: (Z, 1, *spatial) of foreground, or (Z, K + 1, *spatial), channel 0 the background.
        truth: 0 and 1 in the shape of the logits, or class indices (Z, *spatial). Where it is
            `IGNORED`, truth and prediction count as empty.
        spacing: not used.

    Returns:
        ``score``, and for each class ``dice_1``, ``tp_1``, ``fp_1``, ``fn_1`` and so on (voxels);
        a Dice is NaN if truth and prediction are empty, and so is the score if all are.
    """
    ignored = truth == IGNORED
    if logits.shape[1] == 1:
        masks = [((logits > 0) & ~ignored, (truth > 0) & ~ignored)]
    else:
        predicted = logits.argmax(1).masked_fill_(ignored, 0)
        masks = [(predicted == one, truth == one) for one in range(1, logits.shape[1])]
    details, scores = {}, []
    for number, counts in enumerate(_counts(masks), 1):
        scores.append(_dice(*counts))
        details[f"dice_{number}"] = scores[-1]
        details |= {
            f"{name}_{number}": n for name, n in zip(("tp", "fp", "fn"), counts, strict=True)
        }
    return {"score": mean_score(scores), **details}


def classification_score(
    logits: Tensor, truth: Tensor, spacing: tuple[float, ...] | None = None
) -> dict[str, float]:
    """Score one image: 1 if the class of the largest logit is right, else 0.

    Args:
        logits: (1, K).
        truth: (1,), a class index.
        spacing: not used.

    Returns:
        ``score``, and the class indices ``predicted`` and ``true``.
    """
    predicted, true = torch.cat([logits.argmax(1), truth]).tolist()  # one read of a GPU
    return {"score": float(predicted == true), "predicted": predicted, "true": true}


def _counts(masks: Sequence[tuple[Tensor, Tensor]]) -> list[list[int]]:
    """Return true positives, false positives and false negatives of each pair of masks.

    They are read at once, as each reading waits for a GPU.
    """
    counted = [
        torch.count_nonzero(mask)
        for prediction, truth in masks
        for mask in (prediction & truth, prediction, truth)
    ]
    rows = torch.stack(counted).view(-1, 3).tolist() if counted else []
    return [[both, called - both, there - both] for both, called, there in rows]


def _dice(true_positives: int, false_positives: int, false_negatives: int) -> float:
    total = 2 * true_positives + false_positives + false_negatives
    return 2 * true_positives / total if total else math.nan
