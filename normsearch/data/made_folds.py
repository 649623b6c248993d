"""Folds made for a data set that has none: by subject, rare classes spread over them."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from normsearch.data.cases import Case, classes_shown
from normsearch.errors import DataError

_RARE = 4  # subjects of a class for each fold; with more, chance leaves hardly a fold without it


def fold_subjects(classes: Mapping[str, Collection[int]], folds: int) -> dict[str, str]:
    """Return the fold of each subject, "1", "2" and so on; their sizes differ by one at most.

    The subjects of a rare class, one that fewer than 4 subjects a fold show, are spread first, the
    rarest class before the others (iterative stratification, Sechidis et al. 2011). The rest is
    dealt out in an order by the hash of their names. The result depends only on the names and on
    who shows a rare class.

    Args:
        classes: the classes that each subject shows.
        folds: at least 2, and at most the number of subjects.
    """
    left = sorted(classes, key=lambda name: hashlib.sha256(name.encode()).digest())
    shown = Counter(number for own in classes.values() for number in set(own))
    rare = sorted((times, number) for number, times in shown.items() if times < _RARE * folds)
    room = _Room(len(left), folds)
    found: dict[str, str] = {}
    for _, number in rare:
        mine = [name for name in left if number in classes[name]]
        inside = Counter(found[name] for name in found if number in classes[name])
        for name in mine:
            found[name] = room.take(inside)
            inside[found[name]] += 1
        left = [name for name in left if name not in found]
    for name in left:
        found[name] = room.take(Counter())
    return found


class _Room:
    """The subjects in each fold, and where there is room for one more."""

    def __init__(self, subjects: int, folds: int) -> None:
        self._least, self._larger = divmod(subjects, folds)
        self._sizes = {str(number + 1): 0 for number in range(folds)}

    def take(self, inside: Mapping[str, int]) -> str:
        """Return a fold with the fewest in `inside`, of these the smallest, after adding one."""
        above = sum(size > self._least for size in self._sizes.values())
        most = self._least if above >= self._larger else self._least + 1
        open_ = [fold for fold, size in self._sizes.items() if size < most]
        fold = min(open_, key=lambda fold: (inside.get(fold, 0), self._sizes[fold]))
        self._sizes[fold] += 1
        return fold


def with_made_folds(cases: Sequence[Case], folds: int) -> list[Case]:
    """Return the cases in folds by `fold_subjects`.

    Raises:
        DataError: the cases have other folds of their own, or there are too few subjects.
    """
    shown: dict[str, set[int]] = {}
    for case in cases:
        shown.setdefault(case.subject, set()).update(classes_shown([case]))
    if folds > len(shown):
        raise DataError(
            f"task.folds: must be at most the number of subjects, {len(shown)}, got {folds}"
        )
    made = fold_subjects(shown, folds)
    own = sorted({fold for case in cases for fold in case.folds})
    listed = any(case.lists for case in cases)
    # A data set that was given the folds.csv of a run has the same folds.
    if listed or (own and any(case.fold != made[case.subject] for case in cases)):
        raise DataError(
            "task.folds: must be left out where the data set has folds of its own "
            f"({', '.join(own)}), got {folds}; choose among them by task.test_folds and "
            "task.validation_folds, or take its folds.csv, splits_final.json or column fold away"
        )
    return [replace(case, fold=made[case.subject]) for case in cases]


def folds_table(cases: Sequence[Case]) -> str:
    """Return a folds.csv of the cases, as the layouts of a data set read it."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["id", "subject", "fold"])
    rows.writerows([case.id, case.subject, case.fold] for case in cases)
    return text.getvalue()
