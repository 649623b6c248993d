"""Folds that are made: balanced, stable, with rare classes in many folds, readable as folds.csv."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from normsearch.data import Case, find_cases, folds_table, with_made_folds
from normsearch.data.cases import SplitLists
from normsearch.data.made_folds import fold_subjects
from normsearch.errors import DataError
from tests.data.made_up import write_case


def case(name: str, subject: str, classes: tuple[int, ...] = (1,), fold: str = "") -> Case:
    label = np.zeros((1, 2, 4), np.uint8)
    label[0, 0, : len(classes)] = classes
    image = np.zeros((1, 1, 2, 4), np.float32)
    return Case(name, subject, fold, image, label, (1.0, 1.0, 1.0))


@pytest.mark.parametrize("subjects", [5, 7, 11, 23, 104])
@pytest.mark.parametrize("folds", [2, 3, 5])
@pytest.mark.parametrize("rare", [0, 4, 5])
def test_sizes_differ_by_one_at_most(subjects: int, folds: int, rare: int) -> None:
    shown = {f"s{n}": [1, *([2] if n < rare else []), *([3] if n == 1 else [])]
             for n in range(subjects)}  # fmt: skip
    found = fold_subjects(shown, folds)
    assert found.keys() == shown.keys()
    sizes = Counter(found.values())
    assert sizes.keys() == {str(number + 1) for number in range(folds)}
    assert max(sizes.values()) - min(sizes.values()) <= 1


@pytest.mark.parametrize("rare", [2, 5, 8, 13])
def test_a_rare_class_is_spread_over_the_folds(rare: int) -> None:
    for seed in range(20):
        names = [f"{seed}-{n}" for n in range(50)]
        shown = {name: {1, 2} if n < rare else {1} for n, name in enumerate(names)}
        found = fold_subjects(shown, 5)
        inside = Counter(found[name] for name in names[:rare])
        counts = [inside.get(str(fold + 1), 0) for fold in range(5)]
        assert max(counts) - min(counts) <= 1


def test_two_rare_classes_are_both_spread() -> None:
    names = [f"s{n:02}" for n in range(40)]
    shown = {
        name: {1, *([2] if n < 7 else []), *([3] if 4 <= n < 14 else [])}
        for n, name in enumerate(names)
    }
    found = fold_subjects(shown, 5)
    for number in (2, 3):
        inside = Counter(found[name] for name in names if number in shown[name])
        assert len(inside) == 5


def test_folds_depend_on_subjects_alone() -> None:
    cases = [case(f"{s}{part}", f"s{s}") for s in range(30) for part in "ab"]
    folds = {one.subject: one.fold for one in with_made_folds(cases, 5)}
    for other in (cases[::-1], cases[::2], [*cases[:7], *cases[8:]]):
        again = {one.subject: one.fold for one in with_made_folds(other, 5)}
        assert again == {subject: folds[subject] for subject in again}
    assert len(set(folds.values())) == 5
    made = with_made_folds(cases, 5)
    assert [one.id for one in made] == [one.id for one in cases]
    by_name = sorted(folds)
    assert [folds[name] for name in by_name] != sorted(folds.values())  # not dealt in their order


def test_the_table_is_read_as_the_folds_of_a_data_set(tmp_path: Path) -> None:
    names = ["a", "b c", "d,e", 'f"g', "NA", "007"]
    for name in names:
        write_case(tmp_path, name)
    made = with_made_folds([case(name, name) for name in names], 3)
    (tmp_path / "folds.csv").write_text(folds_table(made))
    assert {one.id: (one.subject, one.fold) for one in find_cases(tmp_path)} == {
        one.id: (one.subject, one.fold) for one in made
    }


def test_a_data_set_with_folds_of_its_own_is_refused() -> None:
    cases = [case(f"c{n}", f"c{n}", fold=str(n % 2)) for n in range(6)]
    with pytest.raises(
        DataError, match=r"task\.folds: must be left out .* \(0, 1\), got 3; choose"
    ):
        with_made_folds(cases, 3)
    lists = [replace(one, fold="", lists=SplitLists(("0",), ())) for one in cases]
    with pytest.raises(DataError, match=r"task\.folds: must be left out"):
        with_made_folds(lists, 3)
    half = [replace(one, fold=one.fold if one.fold == "1" else "") for one in cases]
    with pytest.raises(DataError, match=r"task\.folds: must be left out"):
        with_made_folds(half, 3)


def test_a_data_set_that_was_given_the_made_folds_is_taken() -> None:
    made = with_made_folds([case(f"c{n}", f"c{n}") for n in range(6)], 3)
    again = with_made_folds(made, 3)
    assert [one.fold for one in again] == [one.fold for one in made]


def test_more_folds_than_subjects() -> None:
    cases = [case(f"c{n}", f"s{n % 3}") for n in range(6)]
    with pytest.raises(DataError, match=r"task\.folds: .*the number of subjects, 3, got 4"):
        with_made_folds(cases, 4)
