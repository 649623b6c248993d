"""Searches replayed on the recorded table, and SN's choice against it."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from normsearch.benchmark.table import STAGES, load_table
from normsearch.errors import ConfigError
from normsearch.findings.measurements import Measured, replayed
from normsearch.findings.searching import (
    BRANCHES,
    argmax_predicts,
    less_regret,
    marginal_means,
    replayed_part,
    standing,
)

REPLAY = {
    "kind": "searches",
    "seeds": 2,
    "first_seed": 0,
    "trainings": 3,
    "workers": 2,
    "methods": {"random": {"sampler": "random", "pruner": "none", "baselines": False}},
}


def regrets(shift: float) -> dict[str, Measured]:
    random = np.random.default_rng(0)
    rows = [
        (method, seed, random.uniform(0, 0.01) + shift * (method == "search"))
        for method in ("search", "random")
        for seed in range(20)
    ]
    return {"main": replayed(pd.DataFrame(rows, columns=["method", "seed", "regret"]))}


@pytest.mark.parametrize(
    ("shift", "outcome"),
    [(-0.01, "reproduced"), (0.01, "contradicted"), (0.0, "not distinguishable")],
)
def test_less_regret_in_three_outcomes(shift: float, outcome: str) -> None:
    found = less_regret(regrets(shift), part="main", of="search", than=["random"])
    assert found.outcome == outcome


def test_a_replay_is_the_same_each_time_and_needs_no_data() -> None:
    found = replayed_part(REPLAY, None)
    assert list(found.columns) == ["method", "seed", "regret"]
    assert len(found) == 2
    assert found["regret"].between(0, 1).all()
    pd.testing.assert_frame_equal(found, replayed_part(REPLAY, None))


def test_faults_of_a_replay_are_told() -> None:
    with pytest.raises(ConfigError, match=r"replay.kind: must be searches or switchable, got 'x'"):
        replayed_part({"kind": "x"}, None)
    with pytest.raises(ConfigError, match=r"replay.methods.m: sampler: must be one of"):
        replayed_part({**REPLAY, "methods": {"m": {"sampler": "luck"}}}, None)


def weights(sign: float) -> dict[str, Measured]:
    """SN that weighs by how good a norm is in the table, or the other way round."""
    means = marginal_means(load_table())
    random, rows = np.random.default_rng(1), []
    for seed, stage in itertools.product(range(8), STAGES):
        good = np.array([means[stage, branch] for branch in BRANCHES])
        share = np.exp(sign * (good - good.mean()) / good.std()) + random.normal(0, 0.02, 3)
        for branch, weight, mean in zip(BRANCHES, share / share.sum(), good, strict=True):
            rows.append((seed, stage, branch, weight, mean))
    frame = pd.DataFrame(rows, columns=["seed", "stage", "branch", "weight", "mean"])
    return {"main": replayed(frame)}


def test_weights_that_follow_the_table_predict_it_and_their_opposite_does_not() -> None:
    assert argmax_predicts(weights(1.0), part="main").outcome == "reproduced"
    assert argmax_predicts(weights(-1.0), part="main").outcome == "contradicted"


def test_stages_that_barely_moved_are_flagged_and_not_counted() -> None:
    parts = weights(1.0)
    frame = parts["main"].replays.copy()
    frame.loc[frame["stage"] == "level1", "weight"] = 1 / 3
    found = argmax_predicts({"main": replace(parts["main"], replays=frame)}, part="main")
    assert found.flags == ("stages whose weights barely moved, not counted: level1",)
    assert found.outcome == "reproduced"


def test_standing_counts_the_81_mixtures() -> None:
    table = load_table()
    mixtures = list(itertools.product(BRANCHES, repeat=len(STAGES)))
    best = max(mixtures, key=lambda choice: table.final[table.row[choice]])
    assert standing(table, best) > 0.97
    assert np.mean([standing(table, choice) for choice in mixtures]) == pytest.approx(0.5)
