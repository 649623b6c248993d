"""Forms of `task.augmentation`, what a run records of them, and their errors."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from normsearch.config import AugmentationConfig, StudyConfig, TaskConfig, plain
from normsearch.config.reading import validate
from normsearch.errors import ConfigError
from normsearch.search.identity import identity


def study(augmentation: object = ..., **task: Any) -> StudyConfig:
    given = {} if augmentation is ... else {"augmentation": augmentation}
    raw = {
        "name": "s",
        "task": {"data": "phantom", **task, **given},
        "space": {"norm": {"choices": ["BN", "IN"]}, "learning_rate": 0.1, "batch_size": [2]},
    }
    return validate(StudyConfig, raw, "s.yaml")


MAPPING = {"rotation": [-60, 60, 2], "flip": ["x"], "scale": [0.9, 1.1], "transforms": ["m:noise"]}
LIST = [
    "elastic",
    {"name": "rotation", "range": [-30, 30], "probability": 0.2},
    {"name": "mirroring", "axes": ["y"]},
    {"name": "monai.transforms:RandBiasField", "arguments": {"prob": 0.3}},
    "my_transforms:noise",
]


def test_a_mapping_is_recorded_as_before() -> None:
    """Runs of earlier versions are read, recorded and identified as by these versions."""
    found = study(MAPPING).task.augmentation
    expected: Any = {"rotation": [-60.0, 60.0, 2.0], "flip": ["x"], "scale": [0.9, 1.1],
                     "transforms": ["m:noise"]}  # fmt: skip
    assert plain(found) == expected
    assert found.model_dump(mode="json") == expected
    assert plain(study().task.augmentation) == {"flip": [], "transforms": []}


def test_the_identity_of_runs_of_earlier_versions() -> None:
    """Digests that version 0.2.0 gave."""
    assert identity(study())[:16] == "48fba8ed4b9d2c39"
    assert identity(study(MAPPING))[:16] == "73d49ba93385006e"
    distinct = {identity(study(given)) for given in ("nnunet", "light", "none", LIST, MAPPING)}
    assert len(distinct) == 5


@pytest.mark.parametrize(
    ("short", "whole"),
    [
        ("none", {}),
        ([], {}),
        ("nnunet", {"preset": "nnunet"}),
        ({"preset": "none"}, {}),
        ("rotation", {"transforms": ["rotation"]}),
        ("m:noise", {"transforms": [{"name": "m:noise"}]}),
        (LIST, {"transforms": LIST}),
    ],
)
def test_short_forms(short: object, whole: dict[str, Any]) -> None:
    assert study(short).task.augmentation == study(whole).task.augmentation
    assert identity(study(short)) == identity(study(whole))


@pytest.mark.parametrize(
    "given",
    [
        "light", LIST, MAPPING, {"preset": "nnunet", "mirror": ["y", "x"], "transforms": ["m:f"]},
        {"preset": "nnunet", "mirror": []}, [{"name": "noise", "probability": 0.0}],
    ],
)  # fmt: skip
def test_what_is_recorded_is_read_as_it_was(given: object) -> None:
    config = study(given)
    text = yaml.safe_dump(plain(config))
    assert validate(StudyConfig, yaml.safe_load(text), "s.yaml") == config
    as_json = config.task.model_dump_json()
    assert TaskConfig.model_validate_json(as_json) == config.task


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nnunett", r"augmentation.preset: must be one of nnunet, light, none, .* 'nnunet'\?$"),
        ("rotaton", r"augmentation.preset: must be one of .*'rotaton'. Did you mean 'rotation'\?$"),
        ([{"name": "rotaton"}], r"transforms\[0\]: name must be one of rotation, .* 'rotation'\?$"),
        (["noise", {"range": [0, 1]}], r"transforms\[1\].name: must be given, and is not."),
        (
            [{"name": "noise", "prob": 1}],
            r"transforms\[0\].prob: unknown key, must be one of name, probability, range, .*"
            r"Did you mean 'probability'\?$",
        ),
        (
            [{"name": "noise", "probability": 2}],
            r"transforms\[0\].probability: must be less than or equal to 1, got 2",
        ),
        (
            [{"name": "scaling", "range": [1.4, 0.7]}],
            r"transforms\[0\]: scaling: range must be lowest, then highest, .* got \[1.4, 0.7\]",
        ),
        (["mirroring"], r"transforms\[0\]: mirroring: axes must be given, one or more of z, y, x"),
        ([{"name": "mirroring", "axes": ["z"]}], "a slice can be flipped along y and x, got z"),
        ({"preset": "light", "mirror": ["z"]}, "a slice can be flipped along y and x, got z"),
        (
            [{"name": "rotation", "axes": ["z", "x"]}],
            "a slice can be rotated about z alone, got axes x",
        ),
        ({"preset": "light", "flip": ["x"]}, "flip must be left out with a preset; give its axes"),
        ({"preset": "light", "rotation": [0, 1, 1]}, "rotation must be left out with a preset; li"),
        ({"mirror": ["x"]}, "mirror must be left out without a preset; use flip"),
        (5, "augmentation: must be one of nnunet, light, none, a list of transforms, .* got 5"),
    ],
)
def test_what_cannot_be(given: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        study(given)
    assert str(error.value).startswith("s.yaml: task.augmentation")


def test_axes_of_volumes() -> None:
    config = study([{"name": "mirroring", "axes": ["z"]}], sample="volume").task.augmentation
    assert config.mirrored == {"z"}
    assert AugmentationConfig(flip=("y",)).mirrored == {"y"}
