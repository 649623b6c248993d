"""Curves of arms, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd

from normsearch.analysis.training_curves import COLUMNS, compute, describe, figure
from tests.analysis.fake_study import FakeStudy, arms_study


def study() -> FakeStudy:
    rows = [{"arm": arm, "score": score} for arm, score in (("IN", 0.6), ("IN", 0.8), ("BN", 0.5))]
    points = [
        (0, 1, 10, 0.9, 0.2), (0, 2, 20, 0.7, 0.6), (1, 1, 10, 0.7, 0.4), (1, 2, 20, 0.5, 0.8),
        (2, 1, 10, 1.0, 0.1), (2, 2, 20, 0.8, 0.5),
    ]  # fmt: skip
    columns = ["number", "evaluation", "samples", "loss", "score"]
    return arms_study(rows, points=pd.DataFrame(points, columns=columns))


def test_mean_and_range_over_seeds() -> None:
    df = compute(study())
    assert list(df.columns) == COLUMNS
    assert df["norm"].tolist() == ["BN", "BN", "IN", "IN"]
    assert df["samples"].tolist() == [10, 20, 10, 20]
    np.testing.assert_allclose(df["score"], [0.1, 0.5, 0.3, 0.7])
    np.testing.assert_allclose(df["score_low"], [0.1, 0.5, 0.2, 0.6])
    np.testing.assert_allclose(df["score_high"], [0.1, 0.5, 0.4, 0.8])
    np.testing.assert_allclose(df["loss"], [1.0, 0.8, 0.8, 0.6])
    np.testing.assert_allclose(df["loss_high"], [1.0, 0.8, 0.9, 0.7])
    assert df["seeds"].tolist() == [1, 1, 2, 2]
    assert describe(df).startswith("Mean over 1 to 2 seeds; bands: lowest to highest seed.")


def test_a_row_for_the_score_and_one_for_the_loss() -> None:
    made = figure(study())
    score, loss = made.axes
    assert (score.get_ylabel(), loss.get_ylabel()) == ("Validation Dice (0 to 1)", "Training loss")
    assert loss.get_xlabel() == "Samples seen"
    assert [text.get_text() for text in made.legends[0].get_texts()] == ["BN", "IN"]


def test_points_of_fewer_cases_are_told() -> None:
    given = study()
    given.points["cases"] = [4, 26] * 3
    df = compute(given)
    assert df["cases"].tolist() == [4, 26, 4, 26]
    assert describe(df).endswith(" Points before the last score 4 of the 26 cases.")
    given.points["cases"] = 26
    assert "Points before" not in describe(compute(given))
