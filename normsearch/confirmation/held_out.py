"""Measurements of a confirmed trial besides its scores: surface distances, and example slices.

trials/NNNN/surfaces.csv has a row a test case and class: case, class (1 to K), hd95, surface_dice,
missed (1 if only one of prediction and truth is empty) and unit of hd95 and of the tolerance, 2:
"mm", or "pixels" if the spacing is unknown. Both numbers are empty if truth and prediction are.
trials/NNNN/examples.npz has ``image``, ``truth`` and ``prediction`` (K, y, x) of one slice through
the middle of the foreground of the best, the median and the worst case by score, with ``case``
(K,), ``score`` (K,) and ``spacing`` (K, 2), mm (y, x), nan where unknown.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Generic

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from normsearch.config import TaskConfig, TrialConfig
from normsearch.data import Case, Split, image_on_own_grid
from normsearch.files import write_atomically, write_text
from normsearch.labels import IGNORED
from normsearch.training import (
    OnAccess,
    load_newest,
    network_weights,
    score_cases,
    typed_failures,
)
from normsearch.training.precision import autocast
from normsearch.training.surface import SurfaceScores, measured_spacing, surface_scores
from normsearch.trials.model import rebuild
from normsearch.trials.task import sample_shape, split_task
from normsearch.trials.trainer import Data, Record, Trainer
from normsearch.trials.training import validation_cases

SURFACES, EXAMPLES = "surfaces.csv", "examples.npz"

Labels = npt.NDArray[np.uint8]


class HeldOutTrainer(Generic[Data]):
    """A trainer that measures a trained segmentation on its test cases.

    The measurements are written before the last record is yielded. So every COMPLETE trial has
    them, and after a crash they are written again.

    Args:
        trainer: trains one trial.
    """

    def __init__(self, trainer: Trainer[Data]) -> None:
        self._trainer: Trainer[Data] = trainer

    def __call__(
        self, config: TrialConfig, data: Data, folder: Path, token: str | None, /
    ) -> Iterator[Record]:
        """Train, and yield the trainer's records."""
        for record in self._trainer(config, data, folder, token):
            last = record["evaluation"] == config.training.evaluations
            if last and config.task.kind == "segmentation":
                split = data if isinstance(data, Split) else split_task(config.task, list(data))
                with typed_failures(config.batch_size):
                    measure(config, split.validation, record["cases"], folder)
            yield record


def measure(
    config: TrialConfig, cases: tuple[Case, ...], scores: dict[str, float], folder: Path
) -> None:
    """Write surfaces.csv and examples.npz of the network in FOLDER/checkpoint.pt.

    Args:
        config: the trial.
        cases: the scored cases.
        scores: score of each case at the last evaluation.
        folder: the trial's folder.
    """
    state, _ = load_newest(folder)
    if state is None:
        return
    network = rebuild(config, network_weights(state, folder), folder).to(config.device)
    known = {case.id: case for case in cases}  # each is predicted when it is measured
    found = OnAccess(known, lambda name: predicted(network, known[name], config))
    write_text(folder / SURFACES, _table(config, cases, found))
    examples: dict[str, Any] = _examples(config, cases, found, scores)
    write_atomically(folder / EXAMPLES, lambda file: np.savez_compressed(file, **examples))


def predicted(network: nn.Module, case: Case, config: TrialConfig) -> Labels:
    """Return the class indices (slices, y, x) that a network predicts, on the case's own grid."""
    found = list[Tensor]()

    def keep(logits: Tensor, truth: Tensor, spacing: object = None) -> dict[str, float]:
        found.append(logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(1))
        return {}

    shape = config.sample_shape or sample_shape(config.task, [case])
    whole = validation_cases(config.task, [case], shape[1:])
    with autocast(config.training.amp, config.device):
        score_cases(network, whole, keep, device=config.device)
    return found[0].byte().cpu().numpy()


def case_surfaces(prediction: Labels, case: Case, classes: int) -> dict[int, SurfaceScores]:
    """Return the surface scores of a case by class; a single slice is measured in its plane.

    Distances are in mm, or in pixels if the spacing along an axis is unknown.
    """
    flat, spacing = len(case.whole_label) == 1, _measured(case)[0]
    both = np.asarray(case.whole_label), prediction
    truth, prediction = (array[0] if flat else array for array in both)
    found = {}
    for number in range(1, classes + 1):
        masks = _annotated(prediction, truth) == number, truth == number
        found[number] = surface_scores(*masks, spacing)
    return found


def _measured(case: Case) -> tuple[tuple[float, ...], str]:
    """Return the spacing for a case's distances, and their unit."""
    return measured_spacing(case.whole_spacing, flat=len(case.whole_label) == 1)


def _table(config: TrialConfig, cases: tuple[Case, ...], found: Mapping[str, Labels]) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["case", "class", "hd95", "surface_dice", "missed", "unit"])
    for case in cases:
        scores = case_surfaces(found[case.id], case, max(config.task.outputs - 1, 1))
        for number, (hd95, dice, missed) in scores.items():
            told = ("" if math.isnan(value) else value for value in (hd95, dice))
            rows.writerow([case.id, number, *told, int(missed), _measured(case)[1]])
    return text.getvalue()


def _examples(
    config: TrialConfig,
    cases: tuple[Case, ...],
    found: Mapping[str, Labels],
    scores: dict[str, float],
) -> dict[str, npt.NDArray[Any]]:
    """Return slices of the cases with the best, the median and the worst score."""
    known = [case for case in cases if not math.isnan(scores[case.id])]
    known.sort(key=lambda case: scores[case.id], reverse=config.direction == "maximize")
    chosen = (
        [known[i] for i in dict.fromkeys((0, len(known) // 2, len(known) - 1))] if known else []
    )
    labels = {case.id: np.asarray(case.whole_label) for case in chosen}
    truths = {name: _annotated(label, label) for name, label in labels.items()}
    found = {name: _annotated(found[name], label) for name, label in labels.items()}
    slices = [_middle(truths[case.id], found[case.id]) for case in chosen]
    pairs = list(zip(chosen, slices, strict=True))
    return {
        "image": _stacked([_picture(case, config.task)[z, 0] for case, z in pairs]),
        "truth": _stacked([truths[case.id][z] for case, z in pairs]),
        "prediction": _stacked([found[case.id][z] for case, z in pairs]),
        "case": np.array([case.id for case in chosen], np.str_),
        "score": np.array([scores[case.id] for case in chosen], np.float64),
        "spacing": np.array([case.whole_spacing[1:] for case in chosen], np.float64).reshape(-1, 2),
    }


def _picture(case: Case, task: TaskConfig) -> npt.NDArray[np.float32]:
    """Return the prepared image (slices, channels, y, x) on the grid of `whole_label`."""
    return image_on_own_grid(case, resized=task.resized, spacing=task.target_spacing)


def _annotated(labels: Labels, truth: Labels) -> Labels:
    """Return class indices, 0 where the truth is ignored."""
    return np.where(truth == IGNORED, np.uint8(0), labels)


def _middle(truth: Labels, prediction: Labels) -> int:
    """Return the middle one of the slices with foreground, in the truth if it has any."""
    for labels in (truth, prediction):
        inside = np.flatnonzero(labels.any(axis=(1, 2)))
        if len(inside):
            return int(inside[len(inside) // 2])
    return len(truth) // 2


def _stacked(planes: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Return planes as (K, y, x), with smaller ones padded with zeros."""
    if not planes:
        return np.zeros((0, 0, 0))
    sides = np.max([plane.shape for plane in planes], axis=0)
    margins = [[(0, a - b) for a, b in zip(sides, p.shape, strict=True)] for p in planes]
    return np.stack([np.pad(p, margin) for p, margin in zip(planes, margins, strict=True)])
