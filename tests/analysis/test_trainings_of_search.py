"""What a model of a search's trainings is fitted to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from normsearch.analysis.trainings_of_search import (
    LEAST_LINE,
    Parameter,
    expected_scores,
    shared_choices,
    trainings,
)
from tests.analysis.fake_study import tiny


def table_of(states: list[str], finals: np.ndarray) -> pd.DataFrame:
    complete = np.array(states) == "COMPLETE"
    return pd.DataFrame({
        "number": range(len(states)), "state": states, "score": np.where(complete, finals, np.nan),
    })  # fmt: skip


def history_of(early: np.ndarray, finals: np.ndarray, states: list[str]) -> pd.DataFrame:
    rows = [(n, 1, float(value)) for n, value in enumerate(early)]
    rows += [(n, 2, float(finals[n])) for n, state in enumerate(states) if state == "COMPLETE"]
    return pd.DataFrame(rows, columns=["number", "evaluation", "score"])


def test_a_pruned_trial_on_a_line_without_noise_is_known() -> None:
    states = ["COMPLETE"] * 5 + ["PRUNED"]
    finals = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.2])
    early = 0.5 * finals - 0.1
    score, variance = expected_scores(table_of(states, finals), history_of(early, finals, states))
    assert score == pytest.approx(finals)
    assert variance == pytest.approx(np.zeros(6), abs=1e-12)


def test_what_pruned_trials_say_is_not_drawn_to_the_mean() -> None:
    random = np.random.default_rng(0)
    finals = random.normal(0.8, 0.05, 4000)
    early = 0.1 + 0.5 * finals + random.normal(0, 0.03, 4000)
    states = ["PRUNED" if low else "COMPLETE" for low in early < np.median(early)]
    pruned = np.array(states) == "PRUNED"
    score, variance = expected_scores(table_of(states, finals), history_of(early, finals, states))
    line = np.polyfit(finals[pruned], score[pruned] - finals[pruned], 1)[0]
    assert (score - (early - 0.1) / 0.5)[pruned] == pytest.approx(0, abs=0.02)
    assert variance[pruned] == pytest.approx((0.03 / 0.5) ** 2, rel=0.15)
    assert (variance[~pruned] == 0).all()
    assert abs(line) < 0.6  # the regression's own prediction has -1 + slope of the selected


@pytest.mark.parametrize("complete", [LEAST_LINE - 1, LEAST_LINE])
def test_a_line_takes_some_complete_trials(complete: int) -> None:
    states = ["COMPLETE"] * complete + ["PRUNED"]
    finals = np.linspace(0.5, 0.9, complete + 1)
    history = history_of(finals / 2, finals, states)
    score, _ = expected_scores(table_of(states, finals), history)
    assert np.isnan(score[-1]) == (complete < LEAST_LINE)


def test_an_early_score_that_says_nothing_leaves_its_trial_out() -> None:
    states = ["COMPLETE"] * 6 + ["PRUNED"]
    finals = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.7, 0.0])
    rows = [{"norm.a.norm": "BN" if n % 2 else "IN", "state": state,
             "score": final if state == "COMPLETE" else np.nan}
            for n, (state, final) in enumerate(zip(states, finals, strict=True))]  # fmt: skip
    early = np.full(7, 0.3)
    study = tiny(rows, ["a.norm"], points=history_of(early, finals, states))
    found = trainings(study)
    assert found.told.tolist() == [True] * 6 + [False]
    assert found.complete.tolist() == found.told.tolist()
    assert found.chosen.all()


def maps(**slots: list[str]) -> pd.DataFrame:
    return pd.DataFrame({f"norm.{slot}": norms for slot, norms in slots.items()})


def test_slots_that_share_a_choice_are_one_parameter() -> None:
    table = maps(
        a=["BN", "IN", "GN-8", "BN", "IN"],
        b=["BN", "IN", "IN", "BN", "IN"],  # 8 channels: GN-8 is IN
        c=["IN", "IN", "BN", "BN", "GN-8"],
        d=["BN", "BN", "BN", "BN", "BN"],
    )
    assert shared_choices(table, list("abcd"), per_layer=False) == [("a", "b"), ("c",), ("d",)]
    assert shared_choices(table, list("abcd"), per_layer=True) == [(s,) for s in "abcd"]
    same = maps(a=["BN", "IN", "BN"], b=["LN", "GN-8", "LN"])
    assert shared_choices(same, list("ab"), per_layer=True) == [("a", "b")]


def rows_of(table: pd.DataFrame, **more: list[Any]) -> list[dict[str, Any]]:
    records: Any = table.to_dict("records")
    return [
        {**row, "score": 0.5 + 0.01 * n, **{key: values[n] for key, values in more.items()}}
        for n, row in enumerate(records)
    ]


def test_the_norms_of_a_block_are_named_together() -> None:
    table = maps(**{"a.norm": ["BN", "IN", "GN-8"], "b.norm": ["BN", "IN", "IN"]})
    space = {"norm": {"per": "block"}}
    study = tiny(rows_of(table), ["a.norm", "b.norm"], config={"space": space})
    (one,) = trainings(study).parameters
    assert (one.name, one.slots, one.depth) == ("a.norm", ("a.norm", "b.norm"), 0)
    assert one.values == ("BN", "IN", "GN-8/IN")


def test_single_norms_count_as_trainings_and_not_as_chosen() -> None:
    table = maps(**{"a.norm": ["BN", "IN", "BN", "IN"]})
    rows = rows_of(table, baseline=["BN", None, None, None], state=["COMPLETE"] * 3 + ["FAIL"])
    found = trainings(tiny(rows, ["a.norm"]))
    assert found.chosen.tolist() == [False, True, True]


def test_a_number_that_was_not_chosen_lies_beside_its_axis() -> None:
    values = (0.001, 0.1, None, 0.01, 0.02, 0.05, 0.03)
    one = Parameter("learning_rate", (), math.nan, values, number=True)
    features = one.features([0.001, 0.1, 0.01, None])
    assert features == pytest.approx(np.array([[0, 1], [2, 1], [1, 1], [1, 0]]))
    assert one.log


def test_few_values_of_a_number_are_categories() -> None:
    table = maps(**{"a.norm": ["BN", "IN"] * 4})
    rows = rows_of(table, learning_rate=[0.1 * n for n in range(1, 9)], batch_size=[2, 4] * 4)
    found = {one.name: one.number for one in trainings(tiny(rows, ["a.norm"])).parameters}
    assert found == {"a.norm": False, "learning_rate": True, "batch_size": False}


def test_scores_far_from_the_rest_are_moved_nearer() -> None:
    rows = [{"norm.a.norm": "BN", "score": score} for score in (0.7, 0.71, 0.72, 0.73, 0.74, -9.0)]
    found = trainings(tiny(rows, ["a.norm"]))
    assert found.clipped == 1
    assert found.score.min() == pytest.approx(0.715 - 3 * 0.025)
    assert found.score[:5].tolist() == [0.7, 0.71, 0.72, 0.73, 0.74]
