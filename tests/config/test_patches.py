from typing import Any

import pytest
import yaml

from normsearch.config import StudyConfig, TaskConfig, plain
from normsearch.config.reading import validate
from normsearch.errors import ConfigError
from normsearch.search.identity import identity
from normsearch.trials.measured_task import with_recorded
from tests.config.test_study import STUDY


def task(**given: Any) -> TaskConfig:
    return validate(TaskConfig, {"data": "x", **given}, "s.yaml")


@pytest.mark.parametrize(
    ("size", "sides", "whole"),
    [([32, 48], (32, 48), "slice"), ([8, 32, 48], (8, 32, 48), "volume"), ("auto", (), "volume")],
)
def test_patches_of_slices_and_of_volumes(size: Any, sides: tuple[int, ...], whole: str) -> None:
    found = task(sample="patch", size=size)
    assert (found.sides, found.whole, found.resized) == (sides, whole, False)
    assert validate(TaskConfig, yaml.safe_load(yaml.safe_dump(plain(found))), "again") == found


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sample": "patch"}, r"size: must be given if a sample is a patch: its sides, or auto"),
        ({"sample": "patch", "size": [32]}, r"size: must be \(y, x\) or \(z, y, x\) .* got \[32\]"),
        ({"sample": "patch", "size": [1] * 4}, r"size: must be \(y, x\) or \(z, y, x\)"),
        ({"sample": "patch", "size": "all"}, r"size: .*list of sides, or auto .* got 'all'"),
        ({"sample": "patch", "size": 32}, r"size: .*list of sides, or auto for patches, got 32"),
        ({"size": "auto"}, r"size: must be auto only if a sample is a patch, and it is a slice"),
        ({"sample": "volume", "size": [32, 32]}, r"size: must be \(z, y, x\) if a sample is a vol"),
        (
            {"size": [8, 32, 32]},
            r"size: must be \(y, x\) if a sample is a slice, got \[8, 32, 32\]",
        ),
        ({"foreground_share": 0.5}, r"foreground_share: must be left out if a sample is a slice"),
        ({"sample": "slab", "memory": 2}, r"memory: must be left out if a sample is a slab, got 2"),
        (
            {"sample": "patch", "size": [8, 8], "foreground_share": 1.5},
            r"foreground_share: .* 1\.5",
        ),
        ({"sample": "patch", "size": [8, 8], "fit": "pad"}, r"fit: must be left out .* got pad"),
        (
            {"sample": "patch", "size": [8, 8], "augmentation": {"flip": ["z"]}},
            "a patch can be flipped along y and x, got z",
        ),
        ({"folds": 1}, r"folds: .* greater than or equal to 2, got 1"),
        ({"validation_cases": 0}, r"validation_cases: .* greater than 0, got 0"),
    ],
)
def test_what_patches_refuse(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^s\.yaml: (augmentation: )?{message}"):
        task(**given)


def test_patches_of_volumes_are_flipped_along_every_axis() -> None:
    for size in ([8, 8, 8], "auto"):
        found = task(sample="patch", size=size, augmentation={"flip": ["z", "x"]})
        assert found.augmentation.flip == ("z", "x")


def test_a_run_that_is_resumed_keeps_what_was_chosen_for_it() -> None:
    asked = task(sample="patch", size="auto", memory=2)
    recorded = asked.model_copy(update={"size": (16, 32), "layout": "folders"})
    assert with_recorded(asked, recorded) == recorded
    given = task(sample="patch", size=[8, 8], layout="nnunet")
    assert with_recorded(given, recorded) == given


def test_studies_without_the_new_keys_are_what_they_were() -> None:
    # The identity of this study before there were patches, folds and so on.
    assert identity(validate(StudyConfig, STUDY, "s.yaml")) == (
        "348e080585e24fb6173fb20cacfffe9c960ccc4b8152ea2ce5229923ae599ff5"
    )


@pytest.mark.parametrize(
    "given", [{"validation_cases": 2}, {"folds": 3}, {"sample": "patch", "size": [8, 8]}]
)
def test_what_changes_results_changes_the_identity(given: dict[str, Any]) -> None:
    own = {**STUDY, "task": {**STUDY["task"], **given}}
    found = [identity(validate(StudyConfig, one, "s.yaml")) for one in (STUDY, own)]
    assert found[0] != found[1]


def test_workers_of_the_loader_do_not() -> None:
    own = {**STUDY, "search": {"resources": {"loader_workers": 3}}}
    found = [identity(validate(StudyConfig, one, "s.yaml")) for one in (STUDY, own)]
    assert found[0] == found[1]
