"""Seams by norm and against the score, by hand."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from normsearch.analysis.report import write_report
from normsearch.analysis.seam import COLUMNS, compute, describe, figure, limit_of, of_measured
from normsearch.errors import StudyError
from tests.analysis.fake_study import FakeStudy, arms_study, tiny

ROWS: list[dict[str, Any]] = [
    {"score": 0.70, "seam": 0.010, "single_norm": "BN"},
    {"score": 0.80, "seam": 0.030, "single_norm": "IN"},
    {"score": 0.75, "seam": 0.050, "single_norm": "IN"},
    {"score": 0.90, "seam": 0.020, "single_norm": None},
    {"score": 0.60, "seam": float("nan"), "single_norm": "LN"},  # no case is large enough
    {"state": "PRUNED", "last_score": 0.99, "seam": float("nan"), "single_norm": "LN"},
]


def study(**search: Any) -> FakeStudy:
    return tiny(ROWS, ["a.norm"], config={"training": {"samples": 100}, "search": search})


def test_by_hand() -> None:
    df = compute(study(constraints={"seam": 0.03}))
    assert list(df.columns) == COLUMNS
    assert df["number"].tolist() == [0, 1, 2, 3]
    assert df["norm"].tolist() == ["BN", "IN", "IN", "mixture"]
    assert df["seam"].tolist() == [0.010, 0.030, 0.050, 0.020]
    assert df["kept"].tolist() == [True, True, False, True]
    assert "search.constraints.seam, 0.03, which 1 exceed." in describe(df, 0.03)


def test_without_a_constraint_all_are_kept() -> None:
    assert limit_of(study()) is None
    assert compute(study())["kept"].all()


def test_an_arm_has_its_norm() -> None:
    rows = [{"arm": "slow", "norm": "GN-8", "score": 0.5, "seam": 0.1, "single_norm": None}]
    assert compute(arms_study(rows))["norm"].tolist() == ["GN-8"]


def test_the_figure_names_the_norms_and_the_limit() -> None:
    made = figure(study(constraints={"seam": 0.03}))
    left, right = made.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["BN", "IN", "mixture"]
    assert [line.get_xdata()[0] for line in left.lines][-1] == 0.03  # type: ignore[index]
    assert right.get_ylabel() == "Seam (lower is better)"


@pytest.mark.parametrize("limit", [0.001, 0.03, 0.4])
def test_the_figure_shows_all_trainings_and_the_limit(limit: float) -> None:
    left, right = figure(study(constraints={"seam": limit})).axes
    for low, high in (left.get_xlim(), right.get_ylim()):
        assert low == 0
        assert high > max(0.05, limit)


def test_a_study_without_seams_has_no_figure() -> None:
    with pytest.raises(StudyError, match=r"fake: seam needs a COMPLETE trial of a study on patch"):
        figure(tiny([{"score": 0.5}], ["a.norm"]))
    measured = FakeStudy(pd.DataFrame(), [])
    measured.__dict__["trials"] = pd.DataFrame({"score": [0.5]})
    with pytest.raises(StudyError, match="must hold seams, and holds none"):
        of_measured(measured)  # type: ignore[arg-type]


def test_the_report_shows_seams_where_there_are_some(tmp_path: Any) -> None:
    placed = [{**row, "norm.a.norm": row["single_norm"] or "SN"} for row in ROWS]
    bare = [{"score": 0.5, "norm.a.norm": "BN"}, {"score": 0.6, "norm.a.norm": "IN"}]
    for rows, shown in ((placed, True), (bare, False)):
        path = tmp_path / f"{shown}.html"
        write_report(tiny(rows, ["a.norm"]), path)
        assert (">Seam</th>" in path.read_text()) == shown
        assert ("0.0200</td>" in path.read_text()) == shown


def test_the_report_ranks_no_trial_above_the_constraint(tmp_path: Any) -> None:
    norms = [(row["single_norm"] or "SN", row["single_norm"] or "IN") for row in ROWS]
    rows = [
        {**row, "norm.a.norm": a, "norm.b.norm": b} for row, (a, b) in zip(ROWS, norms, strict=True)
    ]
    for limit, best in ((0.03, "0.9000"), (0.015, "0.7000")):
        config = {"training": {"samples": 100}, "search": {"constraints": {"seam": limit}}}
        write_report(tiny(rows, ["a.norm", "b.norm"], config=config), tmp_path / "r.html")
        text = (tmp_path / "r.html").read_text()
        assert ("0.9000</td>" in text) == (best == "0.9000")
        assert f"{best}</td>" in text
