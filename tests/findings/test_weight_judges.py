"""Judges of learnt shares on made-up weights whose truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from normsearch.findings.measurements import Measured
from normsearch.findings.weight_judges import (
    between_columns,
    counted,
    explained,
    explained_by,
    gates_spread,
    leads,
    more_in_place,
    share_trend,
    weight_below,
)
from tests.findings.fake_measured import EMPTY, learnt

BATCHES = [{"norm": "SN", "batch_size": batch} for batch in (2, 4, 8, 16)]
LAST = {"batch_size": 16}


def by_batch(slope: float) -> Measured:
    return learnt(
        lambda seed, depth, statistic, branch, arm: (
            slope * np.log2(arm["batch_size"]) * (branch == "BN")
        ),
        arms=BATCHES,
    )


def by_depth(*leaders: str) -> Measured:
    return learnt(
        lambda seed, depth, statistic, branch, arm: 1.0 * (branch == leaders[depth // 3]),
        arms=[LAST],
    )


@pytest.mark.parametrize(
    ("slope", "outcome"),
    [(0.5, "reproduced"), (-0.5, "contradicted"), (0.0, "not distinguishable")],
)
def test_a_share_that_follows_the_batch(slope: float, outcome: str) -> None:
    given = {"part": "main", "factor": "batch_size"}
    found = share_trend({"main": by_batch(slope)}, branches=["BN"], rises=True, **given)
    assert found.outcome == outcome
    others = share_trend({"main": by_batch(slope)}, branches=["LN", "IN"], rises=False, **given)
    assert others.outcome == outcome
    assert others.estimate == pytest.approx(-found.estimate)


def test_a_weight_below_another() -> None:
    parts = {
        "main": learnt(
            lambda seed, depth, statistic, branch, arm: (
                (statistic == "mean") * (branch == "BN") * 1.0
            ),
            arms=BATCHES[:2],
        )
    }
    given = {"part": "main", "branch": "BN"}
    assert weight_below(parts, lower="variance", than="mean", **given).outcome == "reproduced"
    assert weight_below(parts, lower="mean", than="variance", **given).outcome == "contradicted"


@pytest.mark.parametrize(
    ("truth", "outcome"),
    [
        (("IN", "BN", "LN"), "reproduced"),
        (("LN", "BN", "IN"), "contradicted"),
        (("LN", "LN", "LN"), "not distinguishable"),
    ],
)
def test_branches_in_their_thirds(truth: tuple[str, ...], outcome: str) -> None:
    places = {"IN": "first", "BN": "middle", "LN": "last"}
    assert more_in_place({"main": by_depth(*truth)}, part="main", places=places).outcome == outcome


@pytest.mark.parametrize(
    ("truth", "outcome"),
    [(("LN", "BN", "LN"), "reproduced"), (("LN", "LN", "BN"), "contradicted")],
)
def test_leaders_of_thirds(truth: tuple[str, ...], outcome: str) -> None:
    leaders = {"first": "LN", "middle": "BN", "last": "LN"}
    found = leads({"main": by_depth(*truth)}, part="main", leaders=leaders)
    assert found.outcome == outcome


def test_leaders_among_equals_are_not_distinguished() -> None:
    parts = {"main": learnt(lambda *_: 0.0, arms=[LAST], sd=0.4)}
    assert leads(parts, part="main", leaders={"first": "LN"}).outcome != "reproduced"


def test_layers_that_barely_moved_are_flagged_and_not_counted() -> None:
    still = {"main": learnt(lambda *_: 0.0, arms=BATCHES, sd=0.01)}["main"]
    moved = by_batch(0.5)
    frame = pd.concat(
        [moved.learnt, still.learnt.assign(slot="quiet").query("depth == 0")], ignore_index=True
    )
    kept, flags = counted(Measured(moved.trials, EMPTY, EMPTY, frame, EMPTY), None)
    assert "quiet" not in set(kept["slot"])
    assert len(kept) == len(moved.learnt)
    assert flags == ("barely moved, not counted (2 of 20): quiet (mean), quiet (variance)",)


def test_bns_weight_of_batches_of_one_does_not_count_as_a_move() -> None:
    arm = {"norm": "SN", "batch_size": 1}
    parts = learnt(lambda s, d, t, branch, a: -50.0 * (branch == "BN"), arms=[arm], sd=0.01)
    kept, _ = counted(parts, None)
    assert not len(kept)  # IN and LN stayed at one half each


def gates(spread: float, noise: float) -> Measured:
    random, rows = np.random.default_rng(2), []
    ends = 0.62 + spread * np.linspace(-1, 1, 8)
    for number in range(6):
        for depth, end in enumerate(ends):
            share = end + random.normal(0, noise)
            place = {"number": number, "seed": number % 2, "fold": str(number // 2), "norm": "ILN"}
            slot = {"depth": depth, "slot": f"s{depth}", "statistic": "gate"}
            rows += [{**place, **slot, "branch": "IN", "weight": share}]
    return Measured(EMPTY, EMPTY, EMPTY, pd.DataFrame(rows), EMPTY)


@pytest.mark.parametrize(
    ("spread", "noise", "outcome"),
    [
        (0.2, 0.02, "reproduced"),
        (0.0, 0.001, "contradicted"),
        (0.0, 0.1, "not distinguishable"),
    ],
)
def test_gates_that_end_apart(spread: float, noise: float, outcome: str) -> None:
    found = gates_spread({"main": gates(spread, noise)}, part="main", start=0.62)
    assert found.outcome == outcome
    assert found.low <= found.estimate <= found.high


def test_between_columns_is_the_two_way_analysis_of_variance() -> None:
    # columns 1, 2, 3 with residuals ±.1: MS between = 2 · 1 = 2, MS within = .06 / 2 = .03 / 1
    values = np.array([[1.1, 2.0, 2.9], [0.9, 2.0, 3.1]])
    away = values - values.mean(axis=1, keepdims=True)
    between = 2 * (away.mean(axis=0) ** 2).sum() / 2
    within = ((away - away.mean(axis=0)) ** 2).sum() / 2
    found = between_columns(values)
    assert found[0] == pytest.approx(np.sqrt((between - within) / 2))
    assert found[1] < found[0] < found[2]


def opposed(one: object, other: object, random: np.random.Generator) -> dict[Any, Any]:
    """Effects on layers that cancel out over the two, so that no layer's own level is in them."""
    effect = random.normal(0, 1, 9)
    return {one: effect, other: -effect}


def settings(effects: dict[str, float]) -> dict[str, Any]:
    arms = [{"batch_size": b, "solver": s} for b in (2, 8) for s in ("sgd", "adam")]
    random = np.random.default_rng(3)
    own = {
        "depth": random.normal(0, 1, 9),
        "batch_size": opposed(2, 8, random),
        "solver": opposed("sgd", "adam", random),
    }

    def logit(seed: int, depth: int, statistic: str, branch: str, arm: Any) -> float:
        return (branch == "BN") * (
            effects.get("depth", 0) * own["depth"][depth]
            + effects.get("batch_size", 0) * own["batch_size"][arm["batch_size"]][depth]
            + effects.get("solver", 0) * own["solver"][arm["solver"]][depth]
        )

    return {"main": learnt(logit, arms=arms, seeds=2)}


SIDES = {"by": ["depth", "batch_size"], "against": ["seed", "solver"]}
GIVEN = {"part": "main", "branch": "BN", **SIDES}


def test_variance_explained_in_three_outcomes() -> None:
    assert explained(settings({"depth": 1, "batch_size": 1}), **GIVEN).outcome == "reproduced"
    assert explained(settings({"solver": 1.5}), **GIVEN).outcome == "contradicted"
    assert explained(settings({}), **GIVEN).outcome != "reproduced"


def test_variance_explained_adds_up_in_a_noiseless_design() -> None:
    index = pd.MultiIndex.from_product([(2, 8), (0, 1)], names=["batch_size", "seed"])
    layers = np.array([0.0, 1.0, 3.0])
    batch = np.array([[0.0, 0.5, 0.1], [0.2, 0.0, 0.9]])
    table = pd.DataFrame(np.repeat(layers + batch, 2, axis=0), index=index)
    found = explained_by(table, ["batch_size", "seed"])
    assert sum(found.values()) == pytest.approx(1.0)
    assert found["seed"] == 0.0
