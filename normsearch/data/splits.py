"""Cases to training, validation and test parts, split by subject and never by slice."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from normsearch.data.cases import Case
from normsearch.errors import DataError, did_you_mean


@dataclass(frozen=True)
class Split:
    """Three parts, no subject in two of them but in an overfit check; `test` may be empty."""

    train: tuple[Case, ...]
    validation: tuple[Case, ...]
    test: tuple[Case, ...]


def split_cases(
    cases: Sequence[Case],
    *,
    test_folds: Sequence[str],
    validation_folds: Sequence[str] | None,
    validation_fraction: float = 0.25,
    seed: int = 0,
) -> Split:
    """Split cases by subject; each part keeps the cases' order.

    Args:
        cases: all cases.
        test_folds: folds that only the final confirmation may see.
        validation_folds: folds to validate on, or None to draw subjects from those left.
        validation_fraction: the share of the subjects left to draw, above 0 and below 1; at least
            one subject is drawn. Without effect where folds are given.
        seed: of the draw, 0 or more.

    Raises:
        DataError: a fold is unknown or in both lists, a subject would fall into two parts, or
            training or validation would be empty.
    """
    _check_folds(cases, test_folds, validation_folds or ())
    chosen = validation_folds or ()
    part = _part_of_subject(
        {case.id: _part(case, test_folds, chosen) for case in cases},
        {case.id: case.subject for case in cases},
    )
    if validation_folds is None:
        rest = sorted(subject for subject in part if part[subject] == "train")
        part |= dict.fromkeys(_drawn(rest, validation_fraction, seed), "validation")
    train, validation, test = (
        tuple(case for case in cases if part.get(case.subject) == name)
        for name in ("train", "validation", "test")
    )
    if not train or not validation:
        raise DataError(
            "training and validation must each have a subject at least, got "
            f"{len(train)} cases to train and {len(validation)} to validate on; "
            f"take fewer folds for test and validation or add subjects{_of_lists(cases, chosen)}"
        )
    return Split(train, validation, test)


def _part(case: Case, test_folds: Sequence[str], validation_folds: Sequence[str]) -> str:
    """Return the part of one case, '' for none: a split's lists need not name every case."""
    if set(case.folds) & set(test_folds):
        return "test"
    if set(case.folds) & set(validation_folds):
        return "validation"
    if case.lists is None:
        return "train"
    named = case.lists.train
    wanted = [*validation_folds] or [*case.folds[:1], *named[:1]][:1]  # a draw: any that names it
    return "train" if wanted and all(fold in (*named, *_drawable(case, validation_folds)) for fold in wanted) else ""


def overfit_split(cases: Sequence[Case], *, test_folds: Sequence[str]) -> Split:
    """Return a split whose validation cases are the training cases: can they be learnt at all?

    Subjects with a case in `test_folds` stay out of both.

    Raises:
        DataError: a fold is unknown, or no case is left.
    """
    _check_folds(cases, test_folds, ())
    held_out = {case.subject for case in cases if case.fold in test_folds}
    train = tuple(case for case in cases if case.subject not in held_out)
    if not train:
        raise DataError("training must have a subject at least, and test_folds leave none")
    return Split(train, train, tuple(case for case in cases if case.subject in held_out))


def test_split(cases: Sequence[Case], *, test_folds: Sequence[str]) -> Split:
    """Return a split whose validation cases are those of the test folds, trained on all others.

    Subjects with a case in `test_folds` are not trained on.

    Raises:
        DataError: a fold is unknown, none is given, or no case is left to train on.
    """
    _check_folds(cases, test_folds, ())
    held_out = {case.subject for case in cases if case.fold in test_folds}
    train = tuple(case for case in cases if case.subject not in held_out)
    test = tuple(case for case in cases if case.subject in held_out)
    if not train or not test:
        raise DataError(
            "training and test must each have a subject at least, got "
            f"{len(train)} cases to train and {len(test)} to test on; name test_folds"
        )
    return Split(train, test, test)


def _drawn(subjects: list[str], fraction: float, seed: int) -> list[str]:
    if not 0 < fraction < 1:
        raise DataError(f"validation_fraction must lie between 0 and 1, got {fraction}")
    order = np.random.default_rng(seed).permutation(len(subjects))
    count = max(1, math.floor(fraction * len(subjects) + 0.5))
    return [subjects[i] for i in order[:count]]


def _check_folds(cases: Sequence[Case], test: Sequence[str], validation: Sequence[str]) -> None:
    known = sorted({case.fold for case in cases if case.fold})
    for name, folds in (("test_folds", test), ("validation_folds", validation)):
        unknown = [fold for fold in folds if fold not in known]
        if unknown:
            raise DataError(
                f"{name}: must be folds of the data set ({', '.join(known) or 'it has none'}), "
                f"got '{unknown[0]}'.{did_you_mean(unknown[0], known)}"
            )
    both = sorted(set(test) & set(validation))
    if both:
        raise DataError(
            f"test_folds and validation_folds must not overlap, got {', '.join(both)} in both; "
            "remove it from one"
        )
