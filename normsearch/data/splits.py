"""Splits cases by subject into training, validation and test parts."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from normsearch.data.cases import Case
from normsearch.data.foreground import foreground_of
from normsearch.errors import DataError, did_you_mean
from normsearch.limits import check_seed


@dataclass(frozen=True)
class Split:
    """Three parts without common subjects (except in an overfit check); `test` may be empty."""

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
        test_folds: folds for the final confirmation only.
        validation_folds: folds to validate on, or None to draw from the remaining subjects. If the
            data set has split lists (nnU-Net's splits_final.json), a fold trains only on its
            training list, and several folds on the cases in all their lists.
        validation_fraction: the share of the remaining subjects to draw, above 0 and below 1; at
            least one subject is drawn. Ignored if folds are given.
        seed: of the draw, from 0 to 2**32 - 1.

    Raises:
        DataError: a fold is unknown or in both lists, a subject would be in two parts, or training
            or validation would be empty.
    """
    _check_folds(cases, test_folds, validation_folds or ())
    part = _parts(cases, test_folds, validation_folds or ())
    if validation_folds is None:
        rest = sorted(subject for subject in part if part[subject] == "train")
        part |= dict.fromkeys(_drawn(rest, validation_fraction, seed), "validation")
    train, validation, test = (
        tuple(case for case in cases if part.get(case.subject) == name)
        for name in ("train", "validation", "test")
    )
    if not train or not validation:
        raise DataError(
            "training and validation must each have at least one subject, got "
            f"{len(train)} cases to train and {len(validation)} to validate on; "
            "take fewer folds for test and validation or add subjects"
            + _hint(cases, validation_folds or ())
        )
    return Split(train, validation, test)


def _hint(cases: Sequence[Case], folds: Sequence[str]) -> str:
    """Return a hint for several splits with lists, which may share no training case."""
    if len(folds) < 2 or all(case.lists is None for case in cases):
        return ""
    return " (several splits together train on the cases that all their train lists name)"


def _parts(
    cases: Sequence[Case], test_folds: Sequence[str], validation_folds: Sequence[str]
) -> dict[str, str]:
    """Return the part of each subject, without subjects that no list contains."""
    parts: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        parts[case.subject].add(_part(case, test_folds, validation_folds))
    torn = sorted(subject for subject, found in parts.items() if len(found) > 1)
    if torn:
        raise DataError(
            f"all cases of a subject must be in one part, but folds put {', '.join(torn)} into "
            "more than one; give each subject one fold in folds.csv"
        )
    part = {subject: found.pop() for subject, found in parts.items()}
    return {subject: name for subject, name in part.items() if name}


def _part(case: Case, test_folds: Sequence[str], validation_folds: Sequence[str]) -> str:
    """Return the part of one case, '' for none.

    If the data set has split lists, a training case must be in the lists of every chosen split, or
    of any split if none is chosen.
    """
    if set(case.folds) & set(test_folds):
        return "test"
    if set(case.folds) & set(validation_folds):
        return "validation"
    return "train" if _trains(case, validation_folds) else ""


def _trains(case: Case, held_out: Sequence[str]) -> bool:
    """Return whether a case is used for training if these folds are held out."""
    if case.lists is None:
        return True
    if held_out:
        return set(held_out) <= set(case.lists.train)
    return bool(case.lists.train or case.lists.validation)


def overfit_split(cases: Sequence[Case], *, test_folds: Sequence[str]) -> Split:
    """Return a split that validates on the training cases, to check that they can be learnt.

    Subjects with a case in `test_folds` are in neither part.

    Raises:
        DataError: a fold is unknown, or no case is left.
    """
    _check_folds(cases, test_folds, ())
    held_out = {case.subject for case in cases if set(case.folds) & set(test_folds)}
    train = tuple(c for c in cases if c.subject not in held_out and _trains(c, ()))
    if not train:
        raise DataError("training must have at least one subject, and test_folds leave none")
    return Split(train, train, tuple(case for case in cases if case.subject in held_out))


def test_split(cases: Sequence[Case], *, test_folds: Sequence[str]) -> Split:
    """Return a split that validates on the test folds and trains on all other subjects.

    Raises:
        DataError: a fold is unknown, none is given, or no case is left to train on.
    """
    _check_folds(cases, test_folds, ())
    held_out = {case.subject for case in cases if set(case.folds) & set(test_folds)}
    train = tuple(c for c in cases if c.subject not in held_out and _trains(c, test_folds))
    test = tuple(case for case in cases if case.subject in held_out)
    if not train or not test:
        raise DataError(
            "training and test must each have at least one subject, got "
            f"{len(train)} cases to train and {len(test)} to test on; name test_folds"
        )
    return Split(train, test, test)


def _drawn(subjects: list[str], fraction: float, seed: int) -> list[str]:
    if not 0 < fraction < 1:
        raise DataError(f"validation_fraction must lie between 0 and 1, got {fraction}")
    order = np.random.default_rng(check_seed(seed)).permutation(len(subjects))
    count = max(1, math.floor(fraction * len(subjects) + 0.5))
    return [subjects[i] for i in order[:count]]


def _check_folds(cases: Sequence[Case], test: Sequence[str], validation: Sequence[str]) -> None:
    known = sorted({fold for case in cases for fold in case.folds})
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


def spread_cases(cases: Sequence[Case], count: int) -> tuple[Case, ...]:
    """Return `count` of the cases, spread over their subjects, in the order of `cases`.

    Each subject gives one case before any gives a second; of subjects that are too many, those at
    equal distances in the order of their names. Cases with foreground come first, since others have
    no score. The choice does not depend on the order of `cases`.
    """
    subjects: dict[tuple[bool, str], list[Case]] = defaultdict(list)
    for case in sorted(cases, key=lambda case: (case.subject, case.id)):
        empty = case.label.ndim > 1 and not foreground_of(case).voxels
        subjects[empty, case.subject].append(case)
    chosen = set[str]()
    for empty in (False, True):
        own = [subjects[key] for key in sorted(subjects) if key[0] == empty]
        for turn in range(max(map(len, own), default=0)):
            offered = [some[turn].id for some in own if turn < len(some)]
            wanted = min(count - len(chosen), len(offered))
            chosen |= {offered[(2 * i + 1) * len(offered) // (2 * wanted)] for i in range(wanted)}
    return tuple(case for case in cases if case.id in chosen)
