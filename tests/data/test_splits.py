from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from normsearch.data import Case, overfit_split, split_cases, spread_cases
from normsearch.data import test_split as split_for_test
from normsearch.data.cases import SplitLists
from normsearch.errors import DataError


def case(name: str, subject: str, fold: str) -> Case:
    image = np.zeros((1, 1, 2, 2), np.float32)
    return Case(name, subject, fold, image, np.zeros((1, 2, 2), np.uint8), (1.0, 1.0, 1.0))


CASES = [case(f"{s}{part}", f"s{s}", str(s % 4 + 1)) for part in "ab" for s in range(12)]


def ids(cases: tuple[Case, ...]) -> list[str]:
    return [case.id for case in cases]


def test_folds_choose_the_parts() -> None:
    split = split_cases(CASES, test_folds=["1"], validation_folds=["2", "4"])
    assert {case.fold for case in split.test} == {"1"}
    assert {case.fold for case in split.validation} == {"2", "4"}
    assert ids(split.train) == ["2a", "6a", "10a", "2b", "6b", "10b"]


@pytest.mark.parametrize(("fraction", "count"), [(0.25, 2), (0.01, 1), (0.5, 5)])
def test_a_draw_keeps_subjects_whole(fraction: float, count: int) -> None:
    split = split_cases(
        CASES, test_folds=["1"], validation_folds=None, validation_fraction=fraction, seed=3
    )
    parts = [
        {case.subject for case in part} for part in (split.train, split.validation, split.test)
    ]
    assert [len(part) for part in parts] == [9 - count, count, 3]
    assert len(set.union(*parts)) == 12
    assert len(split.train) + len(split.validation) + len(split.test) == len(CASES)


def test_a_draw_depends_on_the_seed_alone() -> None:
    def drawn(seed: int, cases: list[Case] = CASES) -> set[str]:
        split = split_cases(cases, test_folds=[], validation_folds=None, seed=seed)
        return {case.subject for case in split.validation}

    assert drawn(0) == drawn(0, CASES[::-1])
    assert len({frozenset(drawn(seed)) for seed in range(8)}) > 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"test_folds": ["fold1"], "validation_folds": ["2"]},
            r"test_folds: must be folds of the data set \(1, 2, 3, 4\), got 'fold1'",
        ),
        ({"test_folds": ["1"], "validation_folds": ["1"]}, "must not overlap, got 1 in both"),
        ({"test_folds": [], "validation_folds": []}, "24 cases to train and 0 to validate on"),
        ({"test_folds": ["1", "2"], "validation_folds": ["3", "4"]}, "got 0 cases to train"),
        ({"test_folds": ["1", "2", "3", "4"], "validation_folds": None}, "got 0 cases to train"),
        (
            {"test_folds": [], "validation_folds": None, "validation_fraction": 1.0},
            "validation_fraction must lie between 0 and 1, got 1.0",
        ),
    ],
)
def test_impossible_splits(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        split_cases(CASES, **options)


def test_an_overfit_check_validates_on_what_it_trains_on() -> None:
    split = overfit_split(CASES, test_folds=["1"])
    assert split.train == split.validation == tuple(case for case in CASES if case.fold != "1")
    assert split.test == tuple(case for case in CASES if case.fold == "1")
    alone = [case("a", "a", "")]
    assert overfit_split(alone, test_folds=[]).validation == tuple(alone)


def test_an_overfit_check_needs_a_case_and_known_folds() -> None:
    with pytest.raises(DataError, match="test_folds leave none"):
        overfit_split(CASES, test_folds=["1", "2", "3", "4"])
    with pytest.raises(DataError, match="test_folds: must be folds of the data set"):
        overfit_split(CASES, test_folds=["9"])


def test_a_fold_is_suggested() -> None:
    cases = [case("a", "a", "LV-1"), case("b", "b", "LV-2")]
    with pytest.raises(DataError, match=r"got 'lv1'\. Did you mean 'LV-1'\?"):
        split_cases(cases, test_folds=["lv1"], validation_folds=None)


def test_a_data_set_without_folds_says_so() -> None:
    with pytest.raises(DataError, match=r"\(it has none\), got '1'"):
        split_cases([case("a", "a", "")], test_folds=["1"], validation_folds=None)


def test_a_subject_in_two_folds() -> None:
    cases = [*CASES, case("x", "s0", "2")]
    with pytest.raises(DataError, match=r"folds put s0 into more than one; give each subject"):
        split_cases(cases, test_folds=["1"], validation_folds=["2"])
    split_cases(cases, test_folds=["3"], validation_folds=["4"])


def test_a_test_split_trains_on_all_subjects_outside_the_folds():
    split = split_for_test(CASES, test_folds=["1"])
    held_out = {case.subject for case in CASES if case.fold == "1"}
    assert {case.subject for case in split.validation} == held_out
    assert set(split.train) == {case for case in CASES if case.subject not in held_out}
    assert split.test == split.validation


def test_a_test_split_needs_a_fold():
    with pytest.raises(DataError, match="name test_folds"):
        split_for_test(CASES, test_folds=[])


def listed(name: str, train: str, validation: str) -> Case:
    """A case that the splits of these numbers train on and validate on."""
    image = np.zeros((1, 1, 2, 2), np.float32)
    lists = SplitLists(tuple(train), tuple(validation))
    label = np.zeros((1, 2, 2), np.uint8)
    return Case(name, name, validation[:1], image, label, (1.0, 1.0, 1.0), lists=lists)


LISTED = [
    listed("a", "0", "1"),
    listed("b", "01", ""),
    listed("c", "1", "0"),
    listed("d", "", "01"),
    listed("e", "1", ""),
    listed("f", "", ""),
]


@pytest.mark.parametrize(
    ("folds", "test_folds", "train", "validation", "test"),
    [
        (["0"], [], "ab", "cd", ""),
        (["1"], [], "bce", "ad", ""),
        (["0", "1"], [], "b", "acd", ""),
        (["0"], ["1"], "b", "c", "ad"),
    ],
)
def test_lists_of_splits_are_kept_to(
    folds: list[str], test_folds: list[str], train: str, validation: str, test: str
) -> None:
    split = split_cases(LISTED, test_folds=test_folds, validation_folds=folds)
    assert [ids(split.train), ids(split.validation), ids(split.test)] == [
        list(train), list(validation), list(test),
    ]  # fmt: skip


def test_a_draw_is_of_cases_that_a_split_names() -> None:
    split = split_cases(LISTED, test_folds=[], validation_folds=None, seed=1)
    assert sorted(ids(split.train) + ids(split.validation)) == list("abcde")
    split = split_cases(LISTED, test_folds=["0"], validation_folds=None, seed=1)
    assert sorted(ids(split.train) + ids(split.validation)) == list("abe")


def test_tests_and_overfit_checks_keep_to_the_lists() -> None:
    split = split_for_test(LISTED, test_folds=["0"])
    assert [ids(split.train), ids(split.test)] == [list("ab"), list("cd")]
    assert ids(overfit_split(LISTED, test_folds=["0"]).train) == list("abe")


def test_splits_without_a_common_training_case() -> None:
    cases = [listed("a", "0", "1"), listed("b", "1", "0")]
    with pytest.raises(DataError, match=r"got 0 cases to train and 2 to .*all their train lists"):
        split_cases(cases, test_folds=[], validation_folds=["0", "1"])


def shown(name: str, subject: str, *, foreground: bool = True) -> Case:
    label = np.full((1, 2, 2), foreground, np.uint8)
    return Case(name, subject, "", np.zeros((1, 1, 2, 2), np.float32), label, (1.0, 1.0, 1.0))


def test_cases_spread_over_subjects() -> None:
    cases = [shown(f"{s:02}{part}", f"s{s:02}") for part in "abc" for s in range(12)]
    for count in (1, 3, 5, 12, 13, 24, 30, 36, 99):
        chosen = spread_cases(cases, count)
        assert len(chosen) == min(count, 36)
        times = [sum(case.subject == f"s{s:02}" for case in chosen) for s in range(12)]
        assert max(times) - min(times) <= 1
        assert [case for case in cases if case in chosen] == list(chosen)  # in their order
        assert set(ids(spread_cases(cases[::-1], count))) == set(ids(chosen))
    assert [case.subject for case in spread_cases(cases, 3)] == ["s02", "s06", "s10"]


def test_cases_that_show_nothing_are_the_last_choice() -> None:
    cases = [
        shown(f"{s}{part}", f"s{s}", foreground=part == "b") for s in range(6) for part in "ab"
    ]
    assert {case.id[1] for case in spread_cases(cases, 6)} == {"b"}
    assert [case.id[1] for case in spread_cases(cases, 8)].count("a") == 2
    images = [replace(one, label=np.array([n % 2], np.uint8)) for n, one in enumerate(cases)]
    assert len({case.subject for case in spread_cases(images, 6)}) == 6  # classes are no foreground
