"""Balanced class weights are scikit-learn's, from the training cases alone."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight  # type: ignore[import-untyped]

from normsearch.config import TaskConfig, TrainingConfig
from normsearch.data import Case
from normsearch.labels import IGNORED
from normsearch.trials.class_weights import class_counts, class_weights

BALANCED = TrainingConfig(class_weights="balanced")


def case(label: np.ndarray) -> Case:
    return Case("a", "a", "", np.zeros((len(label), 1, 4, 4), np.float32), label, (1.0, 1.0, 1.0))


def labels(classes: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.binomial(classes - 1, 0.3, (5, 6, 7)).astype(np.uint8)


@pytest.mark.parametrize("classes", [(), (1, 2), (1, 2, 3)])
def test_they_are_those_of_scikit_learn(classes: tuple[int, ...]) -> None:
    task = TaskConfig(data="d", classes=classes or None)
    count = max(2, len(classes) + 1)
    cases = [case(labels(count, seed)) for seed in (1, 2)]
    voxels = np.concatenate([one.label.ravel() for one in cases])
    expected = compute_class_weight("balanced", classes=np.arange(count), y=voxels)
    assert class_weights(BALANCED, task, cases) == pytest.approx(expected, rel=1e-5)


def test_ignored_voxels_and_absent_classes_do_not_count() -> None:
    label = np.zeros((1, 4, 4), np.uint8)
    label[0, 0], label[0, 1] = 2, IGNORED
    task = TaskConfig(data="d", classes=(1, 2))
    assert class_counts([case(label)], 3).tolist() == [8, 0, 4]
    assert class_weights(BALANCED, task, [case(label)]) == (0.75, 0.0, 1.5)


def test_given_weights_stay() -> None:
    task = TaskConfig(data="d")
    assert class_weights(TrainingConfig(class_weights=(1, 5)), task, []) == (1, 5)
    assert class_weights(TrainingConfig(), task, []) is None
