"""The search's course against numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from normsearch import analysis
from normsearch.analysis import available, command, render, save
from normsearch.analysis.palette import norm_colour
from normsearch.analysis.search_history import (
    COLUMNS,
    compute,
    describe,
    draw,
    lowest_shown,
    spread,
)
from normsearch.errors import StudyError
from tests.analysis.fake_study import FakeStudy, fake_study, tiny


@pytest.fixture
def study() -> FakeStudy:
    return tiny(
        [
            {"state": "PRUNED", "last_score": 0.9, "samples": 40},
            {"score": 0.5, "baseline": "BN"},
            {"state": "FAIL", "last_score": 0.99, "samples": 10},
            {"state": "PRUNED", "last_score": 0.3, "samples": 20},
            {"score": 0.4},
            {"score": 0.8},
            {"state": "RUNNING", "last_score": np.nan, "samples": np.nan},
            {"state": "WAITING", "samples": np.nan},
        ],
        ["a.norm"],
    )


def test_by_hand(study: FakeStudy) -> None:
    df = compute(study)
    assert list(df.columns) == COLUMNS
    assert df["number"].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert df["samples"].tolist() == [40, 100, 10, 20, 100, 100, 0]
    assert df["total_samples"].tolist() == [40, 140, 150, 170, 270, 370, 370]
    np.testing.assert_allclose(df["score"], [0.9, 0.5, 0.99, 0.3, 0.4, 0.8, np.nan])
    np.testing.assert_allclose(df["best"], [np.nan, 0.5, 0.5, 0.5, 0.5, 0.8, 0.8])
    assert df["saved_samples"].tolist() == [60, 0, 0, 80, 0, 0, 0]
    assert df["full_samples"].tolist() == [100] * 7
    assert df["single_norm"].tolist()[1] == "BN"
    assert df["best_single"].tolist()[1]


def test_a_single_norm_is_named_at_its_best_setting() -> None:
    rows = [
        {"score": 0.5, "baseline": "BN", "learning_rate": 0.05},
        {"score": 0.7, "single_norm": "BN", "learning_rate": 0.3, "batch_size": 4},
        {"state": "PRUNED", "last_score": 0.9, "single_norm": "BN"},
        {"score": 0.6, "norm.a.norm": "BN", "norm.b.norm": "IN"},
    ]
    study = tiny(rows, ["a.norm", "b.norm"])
    df = compute(study)
    assert df["best_single"].tolist() == [False, True, False, False]
    assert df["single_norm"].tolist() == ["BN", "BN", "BN", None]
    named = [text.get_text() for text in render("search_history", study).axes[1].texts]
    assert [text for text in named if text.startswith("BN")] == ["BN 0.700 (lr 0.3, batch 4)"]


def test_the_caption_counts_the_trainings_of_a_race() -> None:
    rows = [{"score": 0.5}, {"score": 0.7}, {"score": 0.6, "replicate_of": 1}]
    df = compute(tiny(rows, ["a.norm"]))
    assert df["raced"].tolist() == [1, 1]
    assert "Not shown: 1 training of the race, by which the best is chosen." in describe(df)


def test_the_caption_says_what_pruning_saved(study: FakeStudy) -> None:
    text = describe(compute(study)).replace("\u00a0", " ")
    assert "7 trials: 3 complete, 2 pruned, 1 failed, 1 running." in text
    assert "140 samples unspent, 28 % of the 500 that the 5 complete and pruned trials" in text


@pytest.mark.parametrize("metric", ["Dice", "accuracy"])
def test_draw_names_axes_with_units_and_baselines_with_their_score(
    study: FakeStudy, metric: str
) -> None:
    study.metric = metric
    ax = Figure(layout="constrained").subplots()
    draw(compute(study), ax)
    assert ax.get_xlabel() == "Samples spent by the search (thousands)"
    assert ax.get_ylabel() == f"Validation {metric} (0 to 1)"
    assert any(text.get_text() == "BN 0.500 (lr 0.001, batch 2)" for text in ax.texts)
    legend = ax.get_legend()
    assert legend is not None
    labels = {text.get_text() for text in legend.get_texts()}
    assert labels == {f"pruned (last {metric})", "complete", "best so far", "single norm"}


def test_names_of_near_baselines_do_not_overlap() -> None:
    rows = [{"score": 0.9 + n / 10000, "baseline": f"GN-{2**n}"} for n in range(1, 6)]
    figure = render("search_history", tiny(rows, ["a.norm"]))
    figure.draw_without_rendering()
    names = [text for text in figure.axes[1].texts if text.get_text().startswith("GN-")]
    boxes = sorted((name.get_bbox_patch() or name).get_window_extent().y0 for name in names)
    assert len(boxes) == 5
    assert min(np.diff(boxes)) > 8.5 * figure.dpi / 72


def test_spread_moves_as_little_as_can_be() -> None:
    assert spread([], 10) == []
    assert spread([0.0, 20.0], 10) == [0.0, 20.0]
    assert spread([5.0, 5.0, 5.0], 10) == [-5.0, 5.0, 15.0]


def test_only_pruned_trials_still_make_a_figure() -> None:
    pruned = [{"state": "PRUNED", "last_score": 0.4, "baseline": "IN"}]
    figure = render("search_history", tiny(pruned, ["a.norm"]))
    named = [
        text
        for text in figure.axes[1].texts
        if text.get_text() == "IN 0.400 (lr 0.001, batch 2, pruned)"
    ]
    assert len(named) == 1
    assert norm_colour("IN") != "#000000"


def test_without_a_finished_trial_there_is_no_figure() -> None:
    for study in (
        FakeStudy(pd.DataFrame(), ["a.norm"]),
        tiny([{"state": "RUNNING", "samples": 10}], ["a.norm"]),
    ):
        with pytest.raises(StudyError, match="needs at least one finished trial"):
            render("search_history", study)
        assert available(study) == []


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(
        StudyError, match=r"must be one of layer_preference, .*got 'serch_history'\. Did you mean"
    ):
        render("serch_history", fake_study())


@pytest.mark.parametrize(
    ("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_save_by_suffix(tmp_path: Path, study: FakeStudy, suffix: str, start: bytes) -> None:
    path = save(render("search_history", study), tmp_path / "new" / f"figure.{suffix}")
    assert path.read_bytes().startswith(start)


def test_save_refuses_other_suffixes(tmp_path: Path) -> None:
    with pytest.raises(
        StudyError, match=r"must end in one of .*got '\.pgn'\. Did you mean '\.png'"
    ):
        save(Figure(), tmp_path / "figure.pgn")


def test_command_tells_a_users_mistake_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    empty = FakeStudy(pd.DataFrame(), ["a.norm"], name="void", folder=tmp_path)
    monkeypatch.setattr("normsearch.load_study", lambda name: empty, raising=False)
    assert command("search_history", ["void"]) == 1
    assert capsys.readouterr().err == "void: search_history needs at least one finished trial.\n"
    monkeypatch.setattr(
        "normsearch.load_study", lambda name: fake_study(10, folder=tmp_path), raising=False
    )
    assert analysis.command("search_history", ["fake"]) == 0
    assert (tmp_path / "report" / "search_history.png").is_file()


def test_far_outliers_are_drawn_at_the_edge_and_counted(study: FakeStudy) -> None:
    df = compute(study)
    df.loc[0, "score"] = -5.0
    edge = lowest_shown(df)
    assert edge > -5.0
    assert f"1 below {edge:.2f} drawn at the lower edge." in describe(df)
    ax = Figure(layout="constrained").subplots()
    draw(df, ax)
    assert ax.get_ylim()[0] > -5.0


def test_where_less_is_better_the_best_is_the_lowest() -> None:
    rows: list[dict[str, object]] = [{"score": score} for score in (5.0, 5.2, 4.9, 5.1, 0.5)]
    study = tiny([*rows, {"score": 3.0, "baseline": "BN"}, {"score": 2.0, "baseline": "BN"}],
                 ["a.norm"])  # fmt: skip
    study.direction, study.metric = "minimize", "HD95"
    df = compute(study)
    assert df["best"].tolist() == [5.0, 5.0, 4.9, 4.9, 0.5, 0.5, 0.5]
    assert df["best_single"].tolist() == [False] * 6 + [True]
    ax = Figure(layout="constrained").subplots()
    draw(df, ax)
    assert ax.get_ylabel() == "Validation HD95 (lower is better)"
    assert ax.get_ylim()[0] < 0.5  # an outlier that is the best is no outlier to hide
