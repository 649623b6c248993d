"""Examples from a trial's examples.npz, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

from normsearch.analysis.examples import COLUMNS, compute, crop, figure
from normsearch.errors import StudyError
from tests.analysis.fake_study import FakeStudy, tiny


def study(folder: Path, **change: object) -> FakeStudy:
    """Trial 1 of two has examples: median, best, worst; a truth of 4 x 4 pixels of 2 x 1 mm."""
    truth = np.zeros((3, 32, 40), np.uint8)
    truth[:, 10:14, 20:24] = 1
    prediction = np.roll(truth, 1, axis=2)
    prediction[1], prediction[2] = truth[1], 0
    arrays = {
        "image": np.random.default_rng(0).normal(size=truth.shape).astype(np.float32),
        "truth": truth, "prediction": prediction, "case": np.array(["m", "b", "w"]),
        "score": np.array([0.75, 1.0, 0.0]), "spacing": np.tile([2.0, 1.0], (3, 1)), **change,
    }  # fmt: skip
    path = folder / "trials" / "0001" / "examples.npz"
    path.parent.mkdir(parents=True)
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return tiny([{"score": 0.9}, {"score": 0.8}], ["a.norm"], folder=folder)


def test_areas_in_mm2_best_first(tmp_path: Path) -> None:
    df = compute(study(tmp_path))
    assert list(df.columns) == COLUMNS
    assert df["number"].unique().tolist() == [1]  # trial 0 is better and has none
    assert df["which"].tolist() == ["best", "median", "worst"]
    assert df["case"].tolist() == ["b", "m", "w"]
    assert df["overlap"].tolist() == [32, 24, 0]
    assert df["missed"].tolist() == [0, 8, 32]
    assert df["false"].tolist() == [0, 8, 0]
    assert df[["height", "width"]].iloc[0].tolist() == [64, 40]


def test_four_pictures_a_case_with_a_scale_in_mm(tmp_path: Path) -> None:
    made = figure(study(tmp_path))
    assert len(made.axes) == 12
    assert [ax.get_title() for ax in made.axes[:4]] == ["image", "truth", "prediction", "overlap"]
    assert made.axes[0].get_ylabel() == "best: b\nDice 1.000"
    told = " ".join(text.get_text() for text in made.findobj(Text))
    assert "The cases are validation cases." in " ".join(told.split())
    assert made.axes[0].texts[0].get_text() in {"1 mm", "2 mm", "5 mm", "10 mm"}
    assert made.axes[0].images[0].get_extent() == [0, 10, 20, 0]  # 10 rows of 2 mm


def test_two_cases_are_the_best_and_the_worst(tmp_path: Path) -> None:
    two = {name: np.zeros((2, 8, 8)) for name in ("image", "truth", "prediction")}
    rest = {"case": np.array(["a", "b"]), "score": np.array([0.1, 0.2])}
    df = compute(study(tmp_path, **two, **rest, spacing=np.full((2, 2), np.nan)))
    assert df["which"].tolist() == ["best", "worst"]
    made = figure(tiny([{"score": 0.9}, {"score": 0.8}], ["a.norm"], folder=tmp_path))
    assert made.axes[0].texts[0].get_text() == "2 pixels"


def test_crop_keeps_what_is_shown_and_the_whole_where_nothing_is() -> None:
    shown = np.zeros((100, 100), bool)
    assert crop(shown) == (slice(None), slice(None))
    shown[2:4, 50:90] = True
    rows, columns = crop(shown)
    assert (rows.start, columns) == (0, slice(26, 100))
    assert shown[rows, columns].sum() == shown.sum()


def test_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"examples needs a COMPLETE trial with an examples\.npz"):
        compute(tiny([{"score": 0.5}], ["a.norm"], folder=tmp_path))
    with pytest.raises(StudyError, match=r"examples\.npz: must hold image, .*; no spacing\."):
        compute(study(tmp_path, spacing=None))


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("image", np.full((3, 32, 40), np.nan), "image and score must be finite"),
        ("score", np.array([1, 2, 3]), "score must not be int64"),
        ("case", np.array(["a", "b"]), r"case must not be <U1 of shape \(2,\)"),
        ("case", np.array(["a", "b", None], object), "must be whole, got 'Object arrays cannot"),
        ("truth", np.zeros((3, 32, 41)), r"truth must not be float64 of shape \(3, 32, 41\)"),
        ("spacing", np.zeros((3, 2)), "spacing must be in mm"),
        ("score", np.zeros(0), "needs a case with a score"),
    ],
    ids=["nan", "whole scores", "two cases", "a pickle", "another shape", "no spacing", "none"],
)
def test_arrays_that_confirm_does_not_write(
    name: str, array: object, message: str, tmp_path: Path
) -> None:
    with pytest.raises(StudyError, match=rf"examples\.npz: .*{message}"):
        compute(study(tmp_path, **{name: array}))
