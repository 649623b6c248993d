"""Pairs of neighbours against chance, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from normsearch.analysis.cooccurrence import COLUMNS, compute, describe, figure
from normsearch.errors import StudyError
from tests.analysis.fake_study import FakeStudy, tiny

SLOTS = ["a.norm", "b.norm"]


def study(pairs: list[tuple[str, str]], drawn: str = "uniform") -> FakeStudy:
    rows = [{"norm.a.norm": a, "norm.b.norm": b, "score": 0.5, "drawn": drawn} for a, b in pairs]
    return tiny(rows, SLOTS)


def test_by_hand() -> None:
    df = compute(study([("BN", "BN"), ("IN", "IN"), ("IN", "IN"), ("BN", "IN")]), top=1)
    assert list(df.columns) == COLUMNS
    cells = df.set_index(["norm", "next_norm"])
    assert cells["observed"].to_dict() == {
        ("BN", "BN"): 1, ("BN", "IN"): 1, ("IN", "BN"): 0, ("IN", "IN"): 2
    }  # fmt: skip
    # Slot a: BN 2, IN 2; slot b: BN 1, IN 3; of 4 trials.
    expected = {("BN", "BN"): 0.5, ("BN", "IN"): 1.5, ("IN", "BN"): 0.5, ("IN", "IN"): 1.5}
    for cell, value in expected.items():
        assert cells["expected"][cell] == pytest.approx(value, abs=0.1)
    assert df["difference"].sum() == pytest.approx(0)
    assert df["pairs"].unique().tolist() == [4]


def test_company_is_told_from_preference() -> None:
    random = np.random.default_rng(0)
    alone = [
        (str(random.choice(["BN", "IN"])), str(random.choice(["BN", "IN"]))) for _ in range(60)
    ]
    same = [(norm, norm) for norm, _ in alone]
    assert not compute(study(alone), top=1)["beyond_noise"].any()
    df = compute(study(same), top=1)
    assert df["beyond_noise"].all()
    text = describe(df)
    assert "60 pairs of neighbouring slots in the best 60" in text
    assert "Dots (4 of 4 cells)" in text
    adaptive = compute(study(same, "adaptive"), top=1)
    assert not adaptive["beyond_noise"].any()
    assert "Descriptive: trials were chosen adaptively" in describe(adaptive)


def test_what_it_needs() -> None:
    with pytest.raises(StudyError, match="cooccurrence needs three COMPLETE or PRUNED trials"):
        figure(study([("BN", "IN"), ("IN", "IN")]))
    with pytest.raises(StudyError, match=r"top must lie in \(0, 1\], got 2"):
        compute(study([("BN", "IN")]), top=2)
