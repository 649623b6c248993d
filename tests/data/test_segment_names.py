from pathlib import Path

import numpy as np
import pytest

from normsearch.data import Preparation, inspect, load_cases, write_volume
from normsearch.errors import DataError
from tests.data.test_segments import IMAGE, box, labelmap

pytestmark = pytest.mark.filterwarnings("ignore:.*utcnow:DeprecationWarning")

NAMES = ("tumor", "vessel")


def write_set(root: Path, *cases: dict[str, int], suffix: str = ".seg.nrrd") -> Path:
    """A case for each table of segments; the first segment fills slice 0, the second slice 1."""
    for number, values in enumerate(cases):
        write_volume(root / "images" / f"c{number}.nrrd", IMAGE)
        labelmap(root / "labels" / f"c{number}{suffix}", values)
    return root


@pytest.mark.parametrize("suffix", [".nrrd", ".seg.nrrd"])
@pytest.mark.parametrize("choice", [Preparation(), Preparation(classes=(1, 2))])
def test_a_name_at_other_values_is_refused(
    choice: Preparation, suffix: str, tmp_path: Path
) -> None:
    root = write_set(tmp_path, {"tumor": 1, "vessel": 2}, {"tumor": 2, "vessel": 1}, suffix=suffix)
    with pytest.raises(DataError, match=r"'tumor' is 1 in c0 and 2 in c1.*\[tumor, vessel\]"):
        load_cases(root, choice)
    cases = load_cases(root, Preparation(classes=(1, 2), segments=NAMES))
    for case in cases:
        np.testing.assert_array_equal(case.label, box(0, 1) + 2 * box(1, 2))
    (error,) = inspect(root).errors
    assert error.rule == "segments"
    assert "task.segments: [tumor, vessel]" in error.cure


def test_a_value_of_several_names_is_refused(tmp_path: Path) -> None:
    write_set(tmp_path, {"tumor": 1}, {"vessel": 1})
    with pytest.raises(DataError, match="1 is 'tumor' in c0 and 'vessel' in c1"):
        load_cases(tmp_path, Preparation())


def test_names_that_agree_are_the_classes_names(tmp_path: Path) -> None:
    write_set(tmp_path, {"tumor": 2, "vessel": 5}, {"Tumor ": 2})
    report = inspect(tmp_path)
    assert report.warnings == []
    classes = report.summary()["classes"]
    assert {value: one["name"].casefold() for value, one in classes.items()} == {
        "2": "tumor",
        "5": "vessel",
    }
    assert [case.label.max() for case in load_cases(tmp_path, Preparation())] == [1, 1]


def test_a_segment_that_some_cases_lack_is_empty_there(tmp_path: Path) -> None:
    write_set(tmp_path, {"tumor": 1, "vessel": 2}, {"vessel": 1}, {"vessel": 3})
    with pytest.warns(UserWarning, match="segment 'tumor' .* none in c1, c2; it counts as empty"):
        cases = load_cases(tmp_path, Preparation(classes=(1, 2), segments=NAMES))
    assert [np.unique(case.label).tolist() for case in cases] == [[0, 1, 2], [0, 2], [0, 2]]


@pytest.mark.parametrize(
    ("second", "wanted", "message"),
    [
        ({"vessel": 1}, ("tumour", "vessel"), "have the segment 'tumour', got .*Did you mean 'tum"),
        (
            {"tumour": 1},
            NAMES,
            "have the segment 'tumor' or none with a similar name, got 'tumour'",
        ),
    ],
)
def test_misspelt_segments(
    second: dict[str, int], wanted: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    write_set(tmp_path, {"tumor": 1, "vessel": 2}, second)
    with pytest.raises(DataError, match=message):
        load_cases(tmp_path, Preparation(classes=(1, 2), segments=wanted))


def test_a_label_without_names_has_no_segments(tmp_path: Path) -> None:
    write_set(tmp_path, {"tumor": 1})
    write_volume(tmp_path / "images" / "x.nrrd", IMAGE)
    write_volume(tmp_path / "labels" / "x.nrrd", IMAGE)
    with pytest.raises(DataError, match=r"x\.nrrd: must name its segments, as task\.segments asks"):
        load_cases(tmp_path, Preparation(segments=("tumor",)))
