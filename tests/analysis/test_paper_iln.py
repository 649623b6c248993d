"""The ILN paper's tables beside ours, by hand."""

from __future__ import annotations

import pytest

from normsearch.analysis.paper_iln import COLUMNS, compute, figure
from normsearch.errors import StudyError
from tests.analysis.fake_study import FakeStudy, arms_study

ARMS = [("IN", "IN"), ("ours", "ILN(regroup=none, gate=clip)"), ("ILN", "ILN"), ("ILN slow", "ILN")]


def study(data: str = "sunnybrook", folds: tuple[str | None, ...] = ("1", "3")) -> FakeStudy:
    rows = [
        {"arm": arm, "norm": norm, "fold": fold, "score": 0.8 + 0.01 * place, "seed": 0}
        for fold in folds
        for place, (arm, norm) in enumerate(ARMS)
    ]
    return arms_study(rows, config={"task": {"data": data, "test_folds": ["2"]}})


def test_by_hand() -> None:
    df = compute(study())
    assert list(df.columns) == COLUMNS
    assert len(df) == 2 * (3 + 2 + 5)
    assert df["fold"].unique().tolist() == ["LV-1", "LV-3"]
    own = df[(df["fold"] == "LV-3") & (df["norm"] == "ILN(gate=clip,regroup=none)")].iloc[0]
    assert (own["paper"], own["ours"], own["n"]) == (0.804, pytest.approx(0.81), 1)
    best = df[(df["fold"] == "LV-1") & (df["norm"] == "ILN")]
    assert best["ours"].tolist() == pytest.approx(
        [0.83, 0.83]
    )  # of two arms the better, twice told
    assert df[df["norm"] == "LN"]["n"].tolist() == [0, 0]


def test_without_folds_it_is_the_studys_own() -> None:
    df = compute(study(folds=(None,)))
    assert df["fold"].unique().tolist() == ["LV-2"]
    assert df.loc[df["norm"] == "IN", "paper"].tolist() == [0.876]


def test_other_data_is_not_put_beside_it() -> None:
    assert len(figure(study()).axes) == 3 * 2
    with pytest.raises(StudyError, match="test folds 1 to 3 of sunnybrook, got 3 on phantom"):
        figure(study("phantom"))
