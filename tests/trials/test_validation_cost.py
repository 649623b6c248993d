from typing import Any

import pytest

from normsearch.config import StudyConfig
from normsearch.config.reading import validate
from normsearch.data import Split
from normsearch.trials.validation_cost import padding_text, validation_cost
from tests.trials.test_patch_size import cases


def study(size: list[int], samples: int, **task: Any) -> StudyConfig:
    raw = {
        "name": "s",
        "task": {"data": "made-up", "sample": "patch", "size": size, **task},
        "training": {"samples": samples, "evaluations": 5},
        "space": {"norm": {"choices": ["BN"]}, "learning_rate": 0.1, "batch_size": [2, 4]},
    }
    return validate(StudyConfig, raw, "s.yaml")


VALIDATION = cases((10, 40, 16), (4, 12, 16), (6, 24, 17))
SPLIT = Split((), tuple(VALIDATION), ())
# Windows of 16 x 16 every 8 pixels: 4 x 1 in 10 slices, 1 x 1 in 4, 2 x 2 in 6.
SLICES = [40, 4, 24]
# Windows of 4 x 16 x 16 every 2 x 8 x 8 voxels: 4 x 4 x 1, 1 x 1 x 1, 2 x 2 x 2.
VOLUMES = [16, 1, 8]


@pytest.mark.parametrize(("size", "windows"), [([16, 16], SLICES), ([4, 16, 16], VOLUMES)])
def test_all_cases_at_each_evaluation(size: list[int], windows: list[int]) -> None:
    told = validation_cost(study(size, 5000), SPLIT)
    total = 5 * sum(windows)
    assert f"over 3 cases ({sum(windows)} windows) at each evaluation: {total} windows" in told
    assert f"5000 training patches, about {total / 3 / 5000:.0%} of the time" in told
    assert "validation_cases" not in told


def test_some_cases_on_the_way() -> None:
    told = validation_cost(study([16, 16], 5000, validation_cases=1), SPLIT)
    # The middle one of the three subjects.
    assert "over 1 case (4 windows) at each evaluation, 3 cases (68 windows) at the last" in told
    assert f": {4 * 4 + 68} windows in a trial of 5000 " in told


def test_a_costly_validation_gets_a_cure() -> None:
    assert "; task.validation_cases makes it score fewer" in validation_cost(
        study([16, 16], 100), SPLIT
    )


def test_a_budget_in_steps_counts_the_smallest_batch() -> None:
    own = study([16, 16], 5000)
    steps = {"budget": "steps", "steps": 50, "evaluations": 5}
    own = own.model_copy(update={"training": own.training.changed(steps)})
    assert "windows in a trial of 100 training patches" in validation_cost(own, SPLIT)


@pytest.mark.parametrize(
    ("size", "told"), [([16, 16], False), ([40, 32], True), ([8, 48, 16], True)]
)
def test_a_patch_longer_than_every_image_is_told(size: list[int], told: bool) -> None:
    text = padding_text(study(size, 100), SPLIT)
    assert (f"a patch of {size} is longer than every image" in text) == told
    assert bool(text) == told
