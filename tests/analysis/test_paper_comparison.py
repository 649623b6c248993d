"""A paper's numbers beside ours."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from normsearch.analysis.paper_comparison import COLUMNS, draw_beside, plain_spec
from normsearch.analysis.papers import (
    ILN_DICE,
    SPINE_DICE,
    SPINE_EPOCH_SECONDS,
    SPINE_PREDICTION_SECONDS,
)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("GN-4", "GN-4"),
        ("ILN( gate=clip )", "ILN(gate=clip)"),
        ("ILN(regroup=none,gate=clip)", "ILN(gate=clip,regroup=none)"),
    ],
)
def test_plain_spec(text: str, plain: str) -> None:
    assert plain_spec(text) == plain


def test_numbers_stand_beside_their_row_and_unknown_ones_are_dashes() -> None:
    rows = [
        ("IN", 0.96, 0.81, 0.8, 0.82, 3, False),
        ("slabGN-4", 0.926, np.nan, np.nan, np.nan, 0, True),
    ]
    ax = Figure().subplots()
    draw_beside(pd.DataFrame(rows, columns=COLUMNS), ax)
    told = [text.get_text() for text in ax.texts]
    assert told == ["0.960   0.810", "0.926     –  ", "paper   ours"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["IN", "slabGN-4 *"]


def test_the_papers_tables_are_whole() -> None:
    assert set(SPINE_DICE) == set(SPINE_EPOCH_SECONDS) == set(SPINE_PREDICTION_SECONDS)
    assert max(SPINE_DICE, key=lambda norm: SPINE_DICE[norm]) == "IN"
    assert [len(norms) for norms in ILN_DICE.values()] == [3, 2, 5]
    assert all(len(folds) == 3 for norms in ILN_DICE.values() for folds in norms.values())
    assert all(plain_spec(norm) == norm for norms in ILN_DICE.values() for norm in norms)
