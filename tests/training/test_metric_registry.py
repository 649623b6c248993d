"""Metrics against written-out formulas, of one case and of all cases together."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from normsearch.config.metric import MetricConfig
from normsearch.errors import ConfigError, TrainingError
from normsearch.labels import IGNORED
from normsearch.training import METRICS, choose_metric
from normsearch.training.metric_registry import CaseMetric, Kind
from normsearch.training.surface import surface_dice


def chosen(name: str, outputs: int = 3, kind: Kind = "segmentation") -> CaseMetric:
    return choose_metric(MetricConfig(name=name), outputs, kind)


def of_classes(classes: Tensor, count: int = 3) -> Tensor:
    """Logits (Z, K, y, x) whose greatest are these classes."""
    return torch.nn.functional.one_hot(classes, count).movedim(-1, 1).float()


def case(seed: int, classes: int = 3) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    shape = (4, 6, 6)
    prediction, truth = (torch.randint(0, classes, shape, generator=random) for _ in range(2))
    return prediction, truth


def counts(prediction: Tensor, truth: Tensor, number: int) -> tuple[int, int, int]:
    """True positives, voxels predicted, voxels there."""
    found, there = prediction == number, truth == number
    return int((found & there).sum()), int(found.sum()), int(there.sum())


def test_iou_is_the_mean_over_classes() -> None:
    prediction, truth = case(0)
    expected = []
    for number in (1, 2):
        both, found, there = counts(prediction, truth, number)
        expected.append(both / (found + there - both))
    score = chosen("iou").of_case(of_classes(prediction), truth)["score"]
    assert score == pytest.approx(np.mean(expected), abs=1e-15)
    assert chosen("iou:2").of_case(of_classes(prediction), truth)["score"] == expected[1]


def test_one_class_alone_and_details_as_ever() -> None:
    prediction, truth = case(1)
    whole, one = (
        chosen(name).of_case(of_classes(prediction), truth) for name in ("dice", "dice:2")
    )
    assert one["score"] == whole["dice_2"] != whole["score"]
    assert {**one, "score": 0} == {**whole, "score": 0}


def test_global_dice_counts_the_voxels_of_all_cases() -> None:
    cases = {str(seed): case(seed) for seed in range(3)}
    cases["small"] = tuple(part[:1] for part in cases["0"])  # type: ignore[assignment]
    metric = chosen("global_dice")
    found = {name: metric.of_case(of_classes(one), truth) for name, (one, truth) in cases.items()}
    expected = []
    for number in (1, 2):
        both, there, true = np.sum([counts(*one, number) for one in cases.values()], axis=0)
        expected.append(2 * both / (there + true))
    assert metric.of_all(found) == pytest.approx(np.mean(expected), abs=1e-15)
    mean = chosen("dice").of_all(found)
    assert mean == pytest.approx(np.mean([one["score"] for one in found.values()]), abs=1e-15)
    assert mean != metric.of_all(found)


@pytest.mark.parametrize("slices", [1, 4])
def test_surface_dice_is_that_of_the_masks_in_mm(slices: int) -> None:
    truth = torch.zeros(slices, 1, 12, 12)
    truth[:, :, 3:9, 3:9] = 1
    prediction = truth.roll(2, -1)
    spacing = (3.0, 1.0, 0.5)
    found = {}
    for tolerance in (0.6, 1.5):
        metric = choose_metric(MetricConfig(name="surface_dice", tolerance=tolerance), 1,
                               "segmentation")  # fmt: skip
        found[tolerance] = metric.of_case(prediction - 0.5, truth, spacing)["score"]
        masks = [(part[:, 0] > 0).numpy() for part in (prediction, truth)]
        first, second = (mask[0] if slices == 1 else mask for mask in masks)
        steps = spacing[1:] if slices == 1 else spacing
        assert found[tolerance] == surface_dice(first, second, steps, tolerance)
    assert found[0.6] < found[1.5] == 1  # moved by 1 mm


def test_surface_dice_of_empty_masks() -> None:
    nothing = torch.zeros(2, 1, 4, 4)
    metric = chosen("surface_dice", 1)
    assert math.isnan(metric.of_case(nothing - 1, nothing, (1, 1, 1))["score"])
    assert metric.of_case(nothing + 1, nothing, (1, 1, 1))["score"] == 0


def test_balanced_accuracy_is_the_mean_over_classes() -> None:
    metric = chosen("balanced_accuracy", 3, "classification")
    pairs = [(0, 0), (0, 0), (0, 0), (1, 0), (1, 1), (2, 1)]  # (predicted, true)
    found = {
        str(number): metric.of_case(torch.eye(3)[predicted : predicted + 1], torch.tensor([true]))
        for number, (predicted, true) in enumerate(pairs)
    }
    assert metric.of_all(found) == pytest.approx((3 / 4 + 1 / 2) / 2, abs=1e-15)
    accuracy = chosen("accuracy", 3, "classification")
    assert accuracy.of_all(found) == pytest.approx(4 / 6, abs=1e-15)


def worst(prediction: Tensor, truth: Tensor) -> float:
    """Count wrong voxels, and see what is given."""
    assert prediction.shape == truth.shape == (4, 6, 6)
    assert not (prediction == IGNORED).any()
    return float((prediction != truth).sum())


def test_a_function_of_the_users_sees_class_indices() -> None:
    prediction, truth = case(3)
    ignoring = truth.clone()
    ignoring[0] = IGNORED
    metric = chosen(f"{__name__}:worst")
    wrong = float((prediction[1:] != truth[1:]).sum())
    found = {"a": metric.of_case(of_classes(prediction), ignoring)}
    assert found["a"]["score"] == metric.of_all(found) == wrong
    assert found["a"]["tp_1"] == counts(prediction[1:], truth[1:], 1)[0]


def no_number(prediction: Tensor, truth: Tensor) -> str:
    """Return what no metric returns."""
    return "good"


def endless(prediction: Tensor, truth: Tensor) -> float:
    """Return a score that no pruner and no mean bears."""
    return float("inf")


def test_a_function_that_returns_no_number() -> None:
    prediction, truth = case(0)
    with pytest.raises(ConfigError, match=r"training\.metric: .*no_number.*number, got 'good'"):
        chosen(f"{__name__}:no_number").of_case(of_classes(prediction), truth)
    with pytest.raises(TrainingError, match=r"endless must return a finite number, got inf"):
        chosen(f"{__name__}:endless").of_case(of_classes(prediction), truth)


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("accuracy", "segmentation", "dice, global_dice, iou, surface_dice for segmentation"),
        ("dice", "classification", "accuracy, balanced_accuracy for classification, got 'dice'"),
        ("dice:3", "segmentation", "of a class from 1 to 2, got 'dice:3'"),
        ("math:pi", "segmentation", "must be a function of prediction and truth, got 3.14"),
    ],
)
def test_a_metric_of_another_task(name: str, kind: Kind, told: str) -> None:
    with pytest.raises(ConfigError, match=rf"^training\.metric: .*{told}"):
        chosen(name, 3, kind)


def test_names_for_people() -> None:
    assert MetricConfig().called("segmentation") == "Dice"
    assert MetricConfig().called("classification") == "accuracy"
    assert MetricConfig().called(None) == "score"
    assert MetricConfig(name="iou:2").called("segmentation") == "IoU of class 2"
    pooled = MetricConfig(name="global_dice")
    assert pooled.called("segmentation") == "global Dice"
    assert pooled.called("segmentation", of_case=True) == "Dice"
    assert MetricConfig(name="m:wrong_voxels").called("segmentation") == "wrong voxels"
    assert MetricConfig(name="m:f", label="HD95 (mm)").called("segmentation") == "HD95 (mm)"


@pytest.mark.parametrize("name", METRICS)
def test_directions_are_those_of_ours(name: str) -> None:
    assert MetricConfig(name=name).optimized == "maximize"
    with pytest.raises(ValueError, match="direction must be left out for"):
        MetricConfig(name=name, direction="minimize")


def test_the_direction_of_the_users_own() -> None:
    assert MetricConfig(name="m:f").optimized == "maximize"
    assert MetricConfig(name="m:f", direction="minimize").optimized == "minimize"


@pytest.mark.parametrize(
    ("given", "kind", "bounds"),
    [
        ({}, "segmentation", (0, 1)),
        ({}, None, (-math.inf, math.inf)),
        ({"name": "dice:2"}, "segmentation", (0, 1)),
        ({"name": "m:f"}, "segmentation", (-math.inf, math.inf)),
        ({"name": "m:f", "range": [0, None]}, "segmentation", (0, math.inf)),
        ({"range": [-5, 100]}, None, (-5, 100)),
    ],
)
def test_the_range_is_the_metrics_or_the_stated_one(
    given: dict[str, Any], kind: Kind | None, bounds: tuple[float, float]
) -> None:
    assert MetricConfig.model_validate(given).bounds(kind) == bounds


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"name": "dice", "range": [0, 100]}, "range must be left out for dice, which is from 0"),
        ({"name": "m:f", "range": [1, 0]}, r"least below largest, got \[1\.0, 0\.0\]"),
        ({"name": "m:f", "range": [0, math.inf]}, "finite"),
    ],
)
def test_a_range_that_cannot_be(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        MetricConfig.model_validate(given)
