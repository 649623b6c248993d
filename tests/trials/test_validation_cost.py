from typing import Any

import pytest

from normsearch.config import StudyConfig
from normsearch.config.reading import validate
from normsearch.data import Split
from normsearch.errors import ConfigError
from normsearch.trials.validation_cost import check_seams, padding_text, validation_cost
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
    # Tiles side by side and shifted by half: 2 x 1 and 2 x 1 in 10 slices, 1 x 1 twice in 6; as
    # volumes 2 x 2 x 1 and 2 x 2 x 1 (the first case), 1 x 1 x 1 twice (the last).
    tiles = 40 + 12 if len(size) == 2 else 8 + 2
    total = 5 * sum(windows) + tiles
    seams = f", and for the seam 2 cases ({tiles} tiles)"
    assert f"over 3 cases ({sum(windows)} windows) at each evaluation{seams}: {total} w" in told
    assert f"5000 training patches, about {total / 3 / 5000:.0%} of the time" in told
    assert "validation_cases" not in told


def test_the_seam_of_an_image_that_is_padded_along_an_axis_is_counted() -> None:
    told = validation_cost(study([16, 16], 5000), Split((), tuple(cases((4, 12, 40))), ()))
    # Padded to 16 x 40 pixels: 1 x 2 tiles, and 1 x 2 shifted ones, in each of 4 slices.
    assert ", and for the seam 1 case (16 tiles): " in told


def test_some_cases_on_the_way() -> None:
    told = validation_cost(study([16, 16], 5000, validation_cases=1), SPLIT)
    # The middle one of the three subjects.
    assert "over 1 case (4 windows) at each evaluation, 3 cases (68 windows) at the last" in told
    assert f", and for the seam 1 case (12 tiles): {4 * 4 + 68 + 12} windows in a " in told


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


@pytest.mark.parametrize(
    "search", [{"constraints": {"seam": 0.02}}, {"objectives": ["score", "seam"], "pruner": "none"}]
)
def test_a_search_for_seams_needs_cases_larger_than_a_patch(search: dict[str, Any]) -> None:
    raw = {**study([32, 16], 5000).model_dump(), "search": search}
    config = validate(StudyConfig, raw, "s.yaml")
    with pytest.raises(ConfigError, match=r"a patch is \[32, 16\], the largest .* are \[40, 17\]"):
        check_seams(config, VALIDATION)
    smaller = validate(StudyConfig, {**raw, "task": study([16, 16], 5000).task}, "s.yaml")
    check_seams(smaller, VALIDATION)
    check_seams(study([32, 16], 5000), VALIDATION)


@pytest.mark.parametrize(
    ("search", "place"),
    [({"constraints": {"seam": 0.02}}, "search.constraints.seam"),
     ({"objectives": ["score", "seam"], "pruner": "none"}, r"search.objectives\[1\]")],
)  # fmt: skip
def test_a_seam_is_of_patches(search: dict[str, Any], place: str) -> None:
    raw = {**study([16, 16], 5000).model_dump(), "search": search}
    raw["task"] = {"data": "made-up", "size": [16, 16]}
    with pytest.raises(ConfigError, match=f"{place}: seam .* patch.*a slice here; leave it out"):
        validate(StudyConfig, raw, "s.yaml")
    raw["trainer"] = "my_module:train"
    with pytest.raises(ConfigError, match=f"{place}: .*my_module:train trains here"):
        validate(StudyConfig, raw, "s.yaml")


@pytest.mark.parametrize("limit", [0, -0.1, 1.5, float("nan"), True, "x"])
def test_a_limit_of_the_seam_is_a_share(limit: object) -> None:
    raw = {**study([16, 16], 5000).model_dump(), "search": {"constraints": {"seam": limit}}}
    with pytest.raises(ConfigError, match=r"search\.constraints\.seam: must be"):
        validate(StudyConfig, raw, "s.yaml")
