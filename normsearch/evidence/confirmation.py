"""What a study of fixed trainings has shown: the comparison and how precise it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from normsearch.config import ArmsConfig
from normsearch.config_file import read_recorded_study
from normsearch.errors import StudyError
from normsearch.evidence.finals import SURFACES
from normsearch.evidence.power import Components, components, detectable, power
from normsearch.evidence.statistics import compare, friedman
from normsearch.search.records import StudyRecord, read_case_table
from normsearch.search.run_folder import trial_folder

SHARE = 0.8
_MANY = 20_000  # scores of an arm from which on power is simulated with fewer studies


@dataclass(frozen=True)
class Power:
    """What a comparison could have found.

    `detectable`: the true difference that is found in a `share` of such studies, infinite if none
    is. `at_seed_spread`: how often one as large as the spread between seeds is found.
    """

    detectable: float
    share: float
    at_seed_spread: float


@dataclass(frozen=True)
class Comparison:
    """Arms compared by their scores of single cases.

    `table` is what `compare` returns. `friedman` is (statistic, p), None below three arms;
    `spread` and `power` are None where one seed or one case tells nothing of luck.
    """

    table: pd.DataFrame
    friedman: tuple[float, float] | None
    spread: Components | None
    power: Power | None


@dataclass(frozen=True)
class Confirmation:
    """What a study of fixed trainings has shown so far.

    `failures` are the reasons of failed trainings, by arm; `reference_score` is the reference's
    validation score in the search; `cases_left_out` have no score in some training (no foreground
    in truth and prediction).
    """

    study: str
    confirms: str | None
    metric: str
    finished: bool
    reference: str
    reference_score: float | None
    first_choice: str
    seeds: int
    cases: int
    cases_left_out: int
    folds: tuple[str, ...]
    seen_folds: tuple[str, ...]
    comparison: Comparison
    table: pd.DataFrame
    failures: dict[str, list[str]]
    left_out: dict[str, str]
    misses: tuple[int, int]


def compared(scores: pd.DataFrame, reference: str) -> Comparison:
    """Compare arms and say what the comparison could have found; see `compare`.

    Raises:
        DataError: as for `compare`.
    """
    table = compare(scores, reference)
    seeds, cases = int(table["seeds"].min()), int(table["cases"].min())
    test = friedman(scores) if len(table) > 2 and cases > 1 else None
    if seeds < 2 or cases < 2 or len(table) < 2:
        return Comparison(table, test, None, None)
    spread = components(scores)
    if spread.seed == spread.interaction == 0:
        return Comparison(table, test, spread, None)
    size: dict[str, int] = {"cases": cases, "seeds": seeds, "comparisons": len(table) - 1}
    size["studies"] = 1000 if cases * seeds < _MANY else 100
    found = Power(
        detectable=detectable(spread, share=SHARE, **size),
        share=SHARE,
        at_seed_spread=power(spread, spread.seed, **size),
    )
    return Comparison(table, test, spread, found)


def confirmation(record: StudyRecord) -> Confirmation:
    """Return what the finished trainings of a study of arms show.

    An arm's seed counts where it is scored on every case that any training was scored on; an arm
    without one such seed stands in the table as ``not trained``. If it is the reference, the next
    single norm by validation score takes its place.

    Raises:
        StudyError: the study is a search, or no arm is trained yet.
    """
    config = read_recorded_study(record.folder)
    space = config.space
    if not isinstance(space, ArmsConfig):
        raise StudyError(
            f"{record.name}: must be a study of fixed trainings, and is a search; confirm what it "
            f"found with `normsearch confirm {record.name}`."
        )
    trials, scores = record.trials(), record.cases()
    whole = _whole_seeds(scores)
    first, reference = _reference(space, set(whole["arm"]))
    if reference is None:
        raise StudyError(
            f"{record.name}: must have a finished training of an arm to compare with, and has "
            f"none; see `normsearch status {record.name}`."
        )
    found = compared(whole, reference)
    surfaces = read_surfaces(record)
    failed = trials[trials["state"] == "FAIL"]
    failures = {str(arm): list(part["failure"]) for arm, part in failed.groupby("arm")}
    origin = space.origin
    return Confirmation(
        study=record.name,
        confirms=origin.study if origin else None,
        metric=record.metric,
        finished=int(trials["state"].isin(["COMPLETE", "FAIL"]).sum()) >= space.size,
        reference=reference,
        reference_score=origin.scores.get(reference) if origin else None,
        first_choice=first,
        seeds=len(space.seeds),
        cases=int(found.table["cases"].max()),
        cases_left_out=whole["case"].nunique() - int(found.table["cases"].max()),
        folds=space.folds or config.task.test_folds,
        seen_folds=origin.seen_folds if origin else (),
        comparison=found,
        table=_described(found.table, space, failures, surfaces),
        failures=failures,
        left_out=dict(origin.left_out) if origin else {},
        misses=(int(surfaces["missed"].sum()), len(surfaces)),
    )


def read_surfaces(record: StudyRecord) -> pd.DataFrame:
    """Return what COMPLETE trials wrote to their surfaces.csv, see `finals`.

    Columns: number, arm, seed, fold, case, class, hd95, surface_dice, missed.
    """
    columns = ["number", "arm", "seed", "fold", "case", "class", "hd95", "surface_dice", "missed"]
    parts = []
    trials = record.trials()
    for row in trials[trials["state"] == "COMPLETE"].to_dict("records"):
        path = trial_folder(record.folder, int(row["number"])) / SURFACES
        if path.is_file():
            labels = {name: row[name] for name in columns[:4]}
            parts.append(read_case_table(path).assign(**labels)[columns])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _whole_seeds(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores of arms' seeds that have one of every case (a fold may be missing)."""
    counts = scores.groupby(["arm", "seed"])["case"].transform("nunique")
    return scores[counts == scores["case"].nunique()]


def _reference(space: ArmsConfig, trained: set[str]) -> tuple[str, str | None]:
    """The arm that was to be compared with, and the one that can be."""
    first = space.reference or space.arms[0].name
    scores = space.origin.scores if space.origin else {}
    single = [arm.name for arm in space.arms if set(arm.norm) == {"*"} and arm.name != first]
    order = [first, *sorted(single, key=lambda name: -scores.get(name, 0.0))]
    return first, next((name for name in order if name in trained), None)


def _described(
    table: pd.DataFrame, space: ArmsConfig, failures: dict[str, list[str]], surfaces: pd.DataFrame
) -> pd.DataFrame:
    """The comparison with what else is known of each arm, those never trained at the end."""
    absent = [arm.name for arm in space.arms if arm.name not in set(table["arm"])]
    rows = pd.DataFrame({"arm": absent, "verdict": "not trained", "seeds": 0, "cases": 0})
    table = pd.concat([table, rows], ignore_index=True) if absent else table.copy()
    origin = space.origin
    table.insert(1, "trial", table["arm"].map(origin.trials if origin else {}))
    table.insert(2, "search_score", table["arm"].map(origin.scores if origin else {}))
    table["failed"] = [len(failures.get(arm, [])) for arm in table["arm"]]
    measured = [_surface_means(surfaces[surfaces["arm"] == arm]) for arm in table["arm"]]
    return pd.concat([table, pd.DataFrame(measured)], axis=1)


def _surface_means(part: pd.DataFrame) -> dict[str, float]:
    by_case = part.groupby("case")[["hd95", "surface_dice"]].mean()
    return {
        "hd95": by_case["hd95"].mean(),
        "hd95_sd": by_case["hd95"].std(),
        "surface_dice": by_case["surface_dice"].mean(),
        "surface_dice_sd": by_case["surface_dice"].std(),
        "missed": part["missed"].sum() if len(part) else math.nan,
    }
