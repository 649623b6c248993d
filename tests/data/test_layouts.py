from pathlib import Path

import pytest

from normsearch.data import LAYOUTS, detect_layout, find_cases, survey
from normsearch.errors import DataError
from tests.data.made_up import write_case


def test_a_folder_that_follows_no_layout_is_told_all_of_them(tmp_path: Path) -> None:
    assert detect_layout(tmp_path) is None
    with pytest.raises(
        DataError, match=r"must follow one of the layouts .*; check the path"
    ) as info:
        survey(tmp_path)
    assert all(f"{name}: {layout.summary}" in str(info.value) for name, layout in LAYOUTS.items())


def test_an_unknown_layout(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"got 'nnUnet'\. Did you mean 'nnunet'\?"):
        survey(tmp_path, "nnUnet")


def test_the_layout_is_told_by_what_lies_there_and_can_be_chosen(tmp_path: Path) -> None:
    write_case(tmp_path, "a")
    write_case(tmp_path, "b")
    assert survey(tmp_path).layout == "folders"
    (tmp_path / "manifest.csv").write_text("image,label\nimages/b.nrrd,labels/b.nrrd\n")
    assert survey(tmp_path).layout == "manifest"
    assert [case.id for case in find_cases(tmp_path)] == ["b"]
    assert [case.id for case in find_cases(tmp_path, "folders")] == ["a", "b"]


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "layout", "cases"),
    [
        ("sunnybrook", "folders", 45),
        ("Task04_Hippocampus", "msd", 130),
        ("fashion_mnist_900", "idx", 900),
        ("spine_ct", "folders", 1),
    ],
)
def test_real_data_sets(name: str, layout: str, cases: int, data_root: Path) -> None:
    found = survey(data_root / name)
    assert (found.layout, len(found.cases), found.faults) == (layout, cases, [])
