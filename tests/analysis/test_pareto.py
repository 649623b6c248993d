"""Who is on the front, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from normsearch.analysis.pareto import COLUMNS, compute, describe, figure
from normsearch.errors import StudyError
from tests.analysis.fake_study import arms_study, tiny

GIB = 1 << 30
ON_GPU = {"search": {"resources": {"gpu": 0.5}}}
ROWS = [
    {"score": 0.70, "seconds": 10.0, "peak_memory_bytes": 3 * GIB, "baseline": "BN"},
    {"score": 0.80, "seconds": 20.0, "peak_memory_bytes": 1 * GIB},
    {"score": 0.75, "seconds": 20.0, "peak_memory_bytes": 1 * GIB},  # worse for the same
    {"score": 0.80, "seconds": 30.0, "peak_memory_bytes": 2 * GIB},  # the same for more
    {"score": 0.90, "seconds": 40.0, "peak_memory_bytes": 2 * GIB},
    {"state": "PRUNED", "last_score": 0.99, "seconds": 1.0},
]


def test_by_hand() -> None:
    df = compute(tiny(ROWS, ["a.norm"], config=ON_GPU))
    assert list(df.columns) == COLUMNS
    assert df["number"].tolist() == [0, 1, 2, 3, 4]
    assert df["front_seconds"].tolist() == [True, True, False, False, True]
    assert df["front_memory"].tolist() == [False, True, False, False, True]
    assert df["memory"].tolist() == [3, 1, 1, 2, 2]
    assert df["norm"].isna().tolist() == [False, True, True, True, True]
    assert describe(df).startswith("5 COMPLETE trials, one training each, 1 with a single norm.")


def test_an_arm_has_its_norm() -> None:
    df = compute(arms_study([{"arm": "slow", "norm": "GN-8", "score": 0.5}]))
    assert df["norm"].tolist() == ["GN-8"]


def test_the_legend_names_single_norms() -> None:
    made = figure(tiny(ROWS, ["a.norm"], config=ON_GPU))
    labels = [ax.get_xlabel() for ax in made.axes]
    assert labels == ["Training time (s)", "Peak memory of tensors (GiB)"]
    told = [text.get_text() for text in made.legends[0].get_texts()]
    assert told == ["mixture of norms", "Pareto front", "BN"]


@pytest.mark.parametrize("search", [{}, {"search": {"resources": {"gpu": 0.0}}}])
def test_the_size_of_a_process_on_a_cpu_is_not_drawn(search: dict[str, Any]) -> None:
    study = tiny(ROWS, ["a.norm"], config=search)
    df = compute(study)
    assert df["memory"].isna().all()
    assert not df["front_memory"].any()
    assert df["front_seconds"].tolist() == [True, True, False, False, True]
    assert [ax.get_xlabel() for ax in figure(study).axes] == ["Training time (s)"]


def test_one_trial_is_no_front() -> None:
    with pytest.raises(StudyError, match=r"trials with their times, got 1\."):
        figure(tiny(ROWS[:1], ["a.norm"]))


def test_the_front_where_less_is_better() -> None:
    rows: list[Any] = list(ROWS)
    study = tiny([{**row, "score": 1 - row.get("score", 0)} for row in rows], ["a.norm"])
    study.direction, study.metric = "minimize", "HD95"
    df = compute(study)
    assert df["front_seconds"].tolist() == [True, True, False, False, True]
    made = figure(study)
    assert made.axes[0].get_ylabel().split() == ["Validation", "HD95", "(lower", "is", "better)"]


def test_a_long_label_is_not_cut() -> None:
    study = tiny(ROWS, ["a.norm"])
    study.metric, study.direction = "missed volume of all lesions of a patient (ml)", "minimize"
    made = figure(study)
    made.draw_without_rendering()
    label, whole = made.axes[0].yaxis.label.get_window_extent(), made.bbox
    assert whole.y0 <= label.y0 < label.y1 <= whole.y1
    assert whole.x0 <= label.x0
