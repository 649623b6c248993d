"""Scores of single cases as tables of seeds and cases, and cases whose truth is empty.

A case without foreground in its truth has no Dice if the prediction is empty too, and otherwise a
Dice of 0. The cases that count must not depend on predictions, so these cases are left out for all
arms, and false positives on them are counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from normsearch.errors import DataError

_COLUMNS = ("arm", "seed", "case", "score")


@dataclass(frozen=True)
class ScoreTable:
    """Scores of arms on the same cases.

    `arms`: {arm: one row a seed, one column a case}. `false_positives`: {arm: predictions that are
    not empty on cases with an empty truth, over all seeds}. `empty_cases`: how many such cases
    there are.
    """

    arms: dict[str, pd.DataFrame]
    false_positives: dict[str, int]
    empty_cases: int

    def values(self, arm: str) -> npt.NDArray[np.float64]:
        """Return an arm's scores, (seeds, cases)."""
        return self.arms[arm].to_numpy(float)


def with_empty_truth(cases: pd.DataFrame, of_class: int | None = None) -> pd.DataFrame:
    """Return the scores of cases with a column empty_truth (bool).

    Args:
        cases: what `StudyRecord.cases` returns. Columns ``tp_1``, ``fn_1`` and so on count the
            voxels of each class; a truth is empty if all of them are 0. Without such columns
            (classification) no column is added.
        of_class: the only class that is scored; all if None.
    """
    wanted = ("tp_", "fn_") if of_class is None else (f"tp_{of_class}", f"fn_{of_class}")
    exact = of_class is not None
    counts = [
        name for name in cases if (str(name) in wanted if exact else str(name).startswith(wanted))
    ]
    if not counts:
        return cases
    return cases.assign(empty_truth=cases[counts].fillna(0).sum(axis=1) == 0)


def whole_seeds(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of the seeds that have a score of every case (a fold may be missing)."""
    counts = scores.groupby(["arm", "seed"])["case"].transform("nunique")
    return scores[counts == scores["case"].nunique()]


def score_table(scores: pd.DataFrame, reference: str | None = None) -> ScoreTable:
    """Return the arms' scores on the cases that count, with the same order of cases.

    Cases with an empty truth are left out for every arm: those that the column empty_truth marks in
    any row; without this column, those with a NaN score in any row (a Dice is NaN only if truth and
    prediction are both empty).

    A score of several classes is the mean over the classes in truth or prediction. A false positive
    of a class that the truth lacks is a Dice of 0 in this mean: it counts against the arm, and no
    case is left out for it.

    Raises:
        DataError: a column is missing, the reference is not an arm, an arm lacks a case of another,
            or no case is left.
    """
    missing = [name for name in _COLUMNS if name not in scores]
    if missing:
        raise DataError(f"scores must have the columns arm, seed, case, score; no {missing[0]}")
    arms = list(dict.fromkeys(scores["arm"]))
    if reference is not None and reference not in arms:
        raise DataError(f"the reference must be one of {', '.join(arms)}, got '{reference}'")
    marked = scores["empty_truth"].astype(bool) if "empty_truth" in scores else None
    empty = set(scores.loc[scores["score"].isna() if marked is None else marked, "case"])
    aside = scores["case"].isin(empty)
    counted, blank = scores[~aside], scores[aside & scores["score"].notna()]
    cases = list(dict.fromkeys(counted["case"]))
    if not cases:
        raise DataError("scores must hold a case that every arm has a score of, got none")
    table = counted.pivot(index=["arm", "seed"], columns="case", values="score")[cases]
    parts = {arm: part.droplevel("arm") for arm, part in table.groupby(level="arm", sort=False)}
    return ScoreTable(
        {arm: _whole(parts.get(arm, table[:0]), arm) for arm in arms},
        {arm: int((blank["arm"] == arm).sum()) for arm in arms},
        len(empty),
    )


def _whole(part: pd.DataFrame, arm: str) -> pd.DataFrame:
    """Return an arm's scores, if none is absent."""
    absent = np.isnan(part.to_numpy(float)).any(axis=0) | (len(part) == 0)
    if absent.any():
        first = list(part)[int(absent.argmax())]
        raise DataError(f"{arm}: every seed must be scored on every case, no {first}")
    return part
