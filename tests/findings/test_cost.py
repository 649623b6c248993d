"""The judge of costs on made-up trainings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from normsearch.findings.cost import cost_below
from tests.findings.fake_measured import scored

NORMS = [{"norm": norm} for norm in ("none", "IN")]
GIVEN = {"part": "main", "of": "IN", "over": "none"}


@pytest.mark.parametrize(("ratio", "outcome"), [(1.1, "reproduced"), (1.6, "contradicted")])
def test_a_ratio_below_its_limit(ratio: float, outcome: str) -> None:
    seconds = {"none": 10.0, "IN": 10 * ratio}
    parts = {"main": scored(NORMS, lambda arm: 0.8, seconds=lambda arm: seconds[arm["norm"]])}
    found = cost_below(parts, seconds=1.3, **GIVEN)
    assert found.outcome == outcome
    assert found.estimate == pytest.approx(ratio, rel=0.01)
    assert found.low < ratio < found.high


def test_a_ratio_at_its_limit_is_not_distinguished() -> None:
    seconds = {"none": 10.0, "IN": 13.0}
    parts = {"main": scored(NORMS, lambda arm: 0.8, seconds=lambda arm: seconds[arm["norm"]])}
    assert cost_below(parts, seconds=1.3, **GIVEN).outcome == "not distinguishable"


def test_parameters_are_counted_exactly() -> None:
    measured = scored(NORMS, lambda arm: 0.8)
    more = measured.trials["norm"].map({"none": 100, "IN": 123})
    parts = {"main": replace(measured, trials=measured.trials.assign(parameters=more))}
    assert cost_below(parts, seconds=1.3, parameters=23, **GIVEN).outcome == "reproduced"
    found = cost_below(parts, seconds=1.3, parameters=22, **GIVEN)
    assert found.outcome == "contradicted"
    assert found.words.endswith("and learns 23 numbers more.")
