"""Searches on the recorded table, and what its scores say of a mixture."""

import numpy as np
import pytest

from normsearch.benchmark.table import NORMS, load_table
from normsearch.findings.recorded_searches import marginal_means, replay_searches


def test_searches_are_replayed_by_seed() -> None:
    methods = {
        "random": {"sampler": "random", "pruner": "none"},
        "none first": {"sampler": "random"},
    }
    found = replay_searches(methods, seeds=range(2), trainings=8, workers=2)
    assert found[["seed", "method"]].to_numpy().tolist() == [
        [0, "random"], [1, "random"], [0, "none first"], [1, "none first"]
    ]  # fmt: skip
    assert found["regret"].between(0, 0.2).all()


def test_the_mean_of_a_norm_in_a_stage_is_over_all_mixtures() -> None:
    table = load_table()
    means = marginal_means(table)
    own = [table.final[row] for choice, row in table.row.items() if choice[2] == "IN"]
    assert means["level3", "IN"] == pytest.approx(np.mean(own))
    assert len(means) == 4 * len(NORMS)
