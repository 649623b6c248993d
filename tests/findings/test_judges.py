"""Statements that are judged on several parts."""

from __future__ import annotations

import pytest

from normsearch.findings.judges import JUDGES
from tests.findings.fake_measured import scored

NORMS = [{"norm": norm} for norm in ("BN", "IN")]


def part(shift: float):
    return scored(NORMS, lambda arm: 0.8 + shift * (arm["norm"] == "IN"))


@pytest.mark.parametrize(
    ("shifts", "outcome"),
    [
        ((0.1, 0.1), "reproduced"),
        ((0.1, 0.0), "not distinguishable"),
        ((-0.1, 0.0), "contradicted"),
        ((0.1, -0.1), "not distinguishable"),
    ],
)
def test_each_part_must_reproduce(shifts: tuple[float, float], outcome: str) -> None:
    parts = dict(zip(("a", "b"), map(part, shifts), strict=True))
    looks = [{"judge": "beats", "part": p, "arms": ["IN"], "than": "BN"} for p in parts]
    found = JUDGES["each"](parts, of_each=looks)
    assert found.outcome == outcome
    assert found.estimate == pytest.approx(shifts[0], abs=0.03)
    assert found.words.startswith("On a: ")
    assert {row["part"] for row in found.table} == {"a", "b"}
