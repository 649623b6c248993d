"""What a later part takes from an earlier one."""

from __future__ import annotations

from typing import Any

import pytest

from normsearch.errors import StudyError
from normsearch.findings.arm_selection import taken_arms
from normsearch.findings.measurements import replayed
from tests.findings.fake_measured import EMPTY, learnt


class Search:
    """Stands in for the record of a search."""

    name, best = "s", 3

    def values(self, number: int) -> dict[str, Any]:
        assert number == 3
        return {"learning_rate": 0.2, "batch_size": 4}

    def norm_map(self, number: int) -> dict[str, str]:
        return {"enc1": "BN", "dec1": "IN"}


class Empty(Search):
    """One without a complete trial."""

    best = None


def test_the_best_trial_of_a_search() -> None:
    [arm] = taken_arms({"part": "x", "take": "best"}, [Search()], replayed(EMPTY))
    expected = {"norm": {"enc1": "BN", "dec1": "IN"}, "learning_rate": 0.2, "batch_size": 4}
    assert arm == expected
    with pytest.raises(StudyError, match="must have a COMPLETE trial to take"):
        taken_arms({"take": "best"}, [Empty()], replayed(EMPTY))


def test_the_argmax_of_learnt_weights_over_seeds() -> None:
    arms = [{"norm": "SN", "batch_size": 2, "learning_rate": 0.1}]
    best = ("LN", "BN", "IN")
    measured = learnt(lambda s, d, t, branch, a: 2.0 * (branch == best[d]), arms=arms, layers=3)
    [arm] = taken_arms({"take": "argmax"}, [], measured)
    assert arm == {
        "norm": {"s0": "LN", "s1": "BN", "s2": "IN"}, "learning_rate": 0.1, "batch_size": 2,
    }  # fmt: skip


def test_nothing_else_can_be_taken() -> None:
    with pytest.raises(StudyError, match="take: must be one of best, argmax, got 'worst'"):
        taken_arms({"take": "worst"}, [], replayed(EMPTY))
