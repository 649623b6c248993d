"""The ILN paper's tables beside ours, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from normsearch.analysis.paper_iln import COLUMNS, compute, figure
from normsearch.analysis.papers import ILN_DICE, ILN_RV_DICE
from normsearch.errors import StudyError
from tests.analysis.fake_study import FakeStudy, arms_study

ARMS = [("IN", "IN"), ("ours", "ILN(regroup=none, gate=clip)"), ("ILN", "ILN"), ("ILN slow", "ILN")]


def study(
    data: str = "sunnybrook", folds: tuple[str | None, ...] = ("1", "3"), validation: str = "test"
) -> FakeStudy:
    rows = [
        {"arm": arm, "norm": norm, "fold": fold, "score": 0.8 + 0.01 * place + 0.02 * seed,
         "seed": seed}
        for fold in folds
        for place, (arm, norm) in enumerate(ARMS)
        for seed in (0, 1)
    ]  # fmt: skip
    cases = pd.DataFrame(
        [(number, f"c{case}", row["score"] + away)
         for number, row in enumerate(rows) for case, away in enumerate((-0.1, 0.0, 0.1))],
        columns=["number", "case", "score"],
    )  # fmt: skip
    task = {"data": data, "test_folds": ["2"], "validation": validation}
    return arms_study(rows, config={"task": task}, scores=cases)


def test_by_hand() -> None:
    df = compute(study())
    assert list(df.columns) == COLUMNS
    assert len(df) == (2 + 3) * (3 + 2 + 5)
    assert df["fold"].unique().tolist() == ["LV-1", "LV-3", "RV-1", "RV-2", "RV-3"]
    own = df[(df["fold"] == "LV-3") & (df["norm"] == "ILN(gate=clip,regroup=none)")].iloc[0]
    assert (own["paper"], own["ours"], own["n"]) == (0.804, pytest.approx(0.82), 2)
    assert (own["paper_sd"], own["ours_sd"]) == (0.246, pytest.approx(0.1))
    assert own["scores"] == pytest.approx((0.72, 0.82, 0.92))
    best = df[(df["fold"] == "LV-1") & (df["norm"] == "ILN")]
    assert best["ours"].tolist() == pytest.approx(
        [0.84, 0.84]
    )  # of two arms the better, twice told
    assert (df.loc[df["norm"] == "LN", "n"] == 0).all()


def test_the_right_ventricles_are_the_papers_alone() -> None:
    df = compute(study())
    right = df[df["fold"].str.startswith("RV")]
    assert (right["n"] == 0).all()
    own = right[(right["table"] == "Table 3: other norms") & (right["norm"] == "GN-4")]
    assert own["paper"].tolist() == [0.679, 0.701, 0.671]
    assert own["paper_sd"].tolist() == [0.303, 0.291, 0.309]
    assert {name: list(norms) for name, norms in ILN_RV_DICE.items()} == {
        name: list(norms) for name, norms in ILN_DICE.items()
    }


def test_without_folds_it_is_the_studys_own() -> None:
    df = compute(study(folds=(None,)))
    assert df["fold"].unique().tolist() == ["LV-2", "RV-1", "RV-2", "RV-3"]
    own = df[(df["fold"] == "LV-2") & (df["norm"] == "IN")]
    assert own["paper"].tolist() == [0.876]


def test_numbers_have_their_spread() -> None:
    made = figure(study())
    assert len(made.axes) == 3 * 3
    assert made.axes[6].get_xlabel() == "Test Dice (0 to 1)"
    told = [text.get_text() for text in made.axes[0].texts]
    assert told[0] == "0.900±.099   0.820±.100"
    assert told[2] == "0.895±.151     –       "
    assert made.axes[2].texts[0].get_text() == ".702±.295 .707±.299 .666±.319"
    dots = np.asarray(made.axes[0].collections[0].get_offsets())
    assert dots[:, 0].tolist() == pytest.approx([0.72, 0.82, 0.92])


def test_other_data_and_validation_cases_are_not_put_beside_it() -> None:
    with pytest.raises(StudyError, match="of sunnybrook, got 3 on test cases of phantom"):
        figure(study("phantom"))
    with pytest.raises(StudyError, match="got 3 on validation cases of sunnybrook"):
        figure(study(validation="held_out"))
