"""On runs that were really made, each compute() gives the DataFrame that its docstring promises."""

from __future__ import annotations

import importlib
import re

import pandas as pd
import pytest

from normsearch.analysis import FIGURES, available, reading, render
from normsearch.errors import StudyError
from tests.analysis.recorded_study import recorded

#: Kind of figure -> the recorded run that allows it; None where neither does (their own tests do).
ALLOWED = {
    "layer_preference": "search",
    "layer_effect": "search",
    "sn_weights": "search",
    "search_history": "search",
    "importance": "search",
    "cooccurrence": "search",
    "pareto": "search",
    "seam": None,
    "training_curves": "arms",
    "batch_size": "arms",
    "group_count": "arms",
    "sn_by_depth": "arms",
    "sn_by_batch": "arms",
    "gates": "arms",
    "paper_spine": None,
    "paper_iln": None,
    "critical_difference": None,
    "augmentation": None,
    "examples": None,
}
SHARES = {"weight", "gate", "score", "score_low", "score_high", "frequency_all", "frequency_top"}
COUNTS = {"seeds", "trials", "trainings", "pairs", "n", "n_all", "cases", "samples", "batch_size"}


def promised(function: object) -> set[str]:
    """The words of the part Returns of a docstring."""
    text = (function.__doc__ or "").partition("Returns:")[2].partition("Raises:")[0]
    return set(re.findall(r"\w+", text))


def test_every_figure_is_tried() -> None:
    assert list(ALLOWED) == list(FIGURES)


@pytest.mark.parametrize("kind", [kind for kind, name in ALLOWED.items() if name])
def test_compute_keeps_its_promise(kind: str) -> None:
    module = importlib.import_module(FIGURES[kind].partition(":")[0])
    df = module.compute(recorded(str(ALLOWED[kind])))
    assert isinstance(df, pd.DataFrame)
    assert list(df.columns) == module.COLUMNS
    assert set(module.COLUMNS) <= promised(module.compute)
    assert len(df)
    for column in SHARES & set(module.COLUMNS):
        assert df[column].dropna().between(0, 1).all(), column
        assert df[column].notna().any(), column
    for column in COUNTS & set(module.COLUMNS):
        known = df[column].dropna()
        assert len(known), column
        assert (known >= 0).all(), column
        assert (known == known.round()).all(), column


@pytest.mark.parametrize("kind", FIGURES)
def test_each_figure_stands_on_one_run_and_says_why_not_on_another(kind: str) -> None:
    for name in ("search", "arms"):
        study = recorded(name)
        if ALLOWED[kind] == name:
            figure = render(kind, study)
            assert all(ax.get_xlabel() or ax.get_ylabel() for ax in figure.axes[-1:])
            told = " ".join(
                text.get_text()  # type: ignore[attr-defined]
                for text in figure.findobj(lambda a: hasattr(a, "get_text"))
            )
            if kind != "sn_weights":
                assert re.search(
                    r"\d+ (COMPLETE|trial|seed|search|pair|arm|training)|Best \d+", told
                ), told
        elif kind not in ("gates", "pareto"):  # these two stand on both
            with pytest.raises(StudyError, match=rf"{name}: {kind} needs .*\."):
                render(kind, study)


def test_the_kinds_of_a_study_keep_their_order() -> None:
    shown = available(recorded("arms"))
    assert shown == [kind for kind in FIGURES if kind in shown]


@pytest.mark.parametrize("kind", FIGURES)
def test_each_figure_says_how_to_read_it(kind: str) -> None:
    title, text = reading(kind)
    assert len(title) > 10
    assert text.endswith(".")
