"""The target spacing of a task, and what it does not go together with."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from normsearch.config import TaskConfig
from normsearch.config.reading import validate
from normsearch.errors import ConfigError

ROW = {"percentile_00_5": -58, "percentile_99_5": 245, "mean": 80, "std": 40}


def task(**keys: Any) -> TaskConfig:
    return validate(TaskConfig, {"data": "x", **keys}, "s.yaml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", None),
        ("~", None),
        ("median", "median"),
        ("[1, 0.5, 0.5]", (1.0, 0.5, 0.5)),
        ("[0.5, 0.5]", (0.5, 0.5)),
    ],
)
def test_forms_of_a_spacing(text: str, expected: object) -> None:
    found = task(**yaml.safe_load(f"spacing: {text}"))
    assert found.spacing == expected
    assert found.target_spacing == (expected if isinstance(expected, tuple) else None)
    assert found.unmeasured == (("spacing",) if expected == "median" else ())


def test_none_is_what_there_is_without_the_key() -> None:
    assert task(spacing="none", size=[8, 8]) == task(size=[8, 8])
    assert "spacing" not in task().model_dump(exclude_none=True)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"spacing": "medain"}, r"spacing: must be \[z, y, x\] or .*'medain'\. Did you mean 'med"),
        ({"spacing": 1}, r"spacing: must be \[z, y, x\] or \[y, x\] in mm, median or none, got 1"),
        ({"spacing": [1]}, r"spacing: must be .* got \[1\]"),
        ({"spacing": [1, 1, 1, 1]}, r"spacing: must be .* got \[1, 1, 1, 1\]"),
        (
            {"spacing": [1, 0, 1]},
            r"spacing\[1\]: must be greater than or equal to 0\.000001, got 0",
        ),
        ({"spacing": [1, 1], "sample": "volume"}, r"must be \[z, y, x\] if a sample is a volume"),
        ({"spacing": [1, 1], "sample": "slab"}, r"must be \[z, y, x\] if a sample is a slab"),
        ({"spacing": "median", "size": [8, 8]}, "not be given with size and fit: resize, which"),
        ({"spacing": [1, 1], "size": [8, 8], "fit": "my:fit"}, "not be given with .* my:fit"),
        ({"foreground_intensities": [ROW]}, "left out if intensity is percentile; only ct"),
        (
            {"intensity": "ct", "foreground_intensities": [{**ROW, "std": -1}]},
            r"foreground_intensities\[0\]\.std: must be greater than or equal to 0, got -1",
        ),
    ],
)
def test_what_is_refused(keys: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=f"^s.yaml: .*{told}"):
        task(**keys)


@pytest.mark.parametrize("keys", [{}, {"size": [8, 8], "fit": "pad"}, {"sample": "stack"}])
def test_slices_may_be_kept_where_samples_are_cut_within_them(keys: dict[str, Any]) -> None:
    assert task(spacing=[1, 1], **keys).target_spacing == (1.0, 1.0)


def test_intensities_of_ct_may_be_given() -> None:
    assert task(intensity="ct").unmeasured == ("foreground_intensities",)
    found = task(intensity="ct", foreground_intensities=[ROW])
    assert found.unmeasured == ()
    assert found.foreground_intensities is not None
    assert found.foreground_intensities[0].row == (-58.0, 245.0, 80.0, 40.0)
