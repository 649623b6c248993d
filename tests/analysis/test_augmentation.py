"""Pictures of augmented samples, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from normsearch.analysis.augmentation import COLUMNS, compute, figure
from normsearch.errors import StudyError
from tests.analysis.fake_study import FakeStudy, tiny


def study(folder: Path, **change: object) -> FakeStudy:
    """Two samples; the first change of each adds twice the standard deviation."""
    image = np.random.default_rng(0).normal(size=(2, 1, 16, 20)).repeat(7, axis=1)
    image[:, 1] += 2 * image[:, 0].std(axis=(1, 2), keepdims=True)
    label = np.zeros((2, 7, 16, 20), np.uint8)
    label[0, :, 4:8, 5:10], label[1, 1:, 4:8, 5:7] = 1, 1
    arrays = {"image": image.astype(np.float32), "label": label, **change}
    kept = {name: array for name, array in arrays.items() if array is not None}
    np.savez(folder / "augmentation.npz", **kept)
    return tiny([{"score": 0.9}], ["a.norm"], folder=folder)


def test_how_much_each_change_alters(tmp_path: Path) -> None:
    df = compute(study(tmp_path))
    assert list(df.columns) == COLUMNS
    assert df["sample"].tolist() == [1] * 7 + [2] * 7
    assert df["change"].tolist() == [*range(7), *range(7)]
    assert df["foreground"].tolist() == [20] * 7 + [0] + [8] * 6
    assert df["difference"].tolist() == pytest.approx([0, 2, 0, 0, 0, 0, 0] * 2, abs=1e-5)


def test_a_row_a_sample_with_outlines(tmp_path: Path) -> None:
    made = figure(study(tmp_path))
    assert len(made.axes) == 14
    titles = [ax.get_title() for ax in made.axes[:7]]
    assert titles == ["as it is", *(f"change {place}" for place in range(1, 7))]
    outlined = [len(ax.collections) for ax in made.axes]
    assert outlined == [1] * 7 + [0] + [1] * 6
    own, changed = made.axes[0].images[0].get_clim(), made.axes[1].images[0].get_clim()
    assert own == changed  # so that a change of brightness is seen


@pytest.mark.parametrize(
    "change",
    [
        {"label": None},
        {"label": np.zeros((2, 7, 16, 19), np.uint8)},
        {"image": np.full((2, 7, 16, 20), np.nan)},
        {"image": np.array([["a"]]), "label": np.array([["a"]])},
        {"image": np.array([object()])},
    ],
)
def test_damaged_pictures_are_one_sentence(change: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"augmentation.npz: must be whole, got '.*'; remove it."):
        figure(study(tmp_path, **change))


def test_a_run_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"fake: augmentation needs a run with task\.aug"):
        compute(tiny([{"score": 0.9}], ["a.norm"], folder=tmp_path))
