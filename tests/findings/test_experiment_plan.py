"""From a registered part to studies: grids, scaled rates, rates that an earlier part chose."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from normsearch.config import StudyConfig
from normsearch.config.reading import validate
from normsearch.errors import ConfigError
from normsearch.findings.experiment_plan import best_rates, grid_arms, plan_part
from normsearch.findings.measurements import Measured, replayed
from normsearch.findings.registration import Experiment, Part
from tests.findings.test_registration import TINY


def rates(rows: list[tuple[str, str, float, float | None]]) -> Measured:
    trials = pd.DataFrame(rows, columns=["norm", "fold", "learning_rate", "score"])
    return replace(replayed(pd.DataFrame()), trials=trials.assign(state="COMPLETE"))


def experiment(**parts: Part) -> Experiment:
    statements = {"T1": {**TINY["statements"]["T1"], "arguments": {"arms": ["IN"], "than": "BN"}}}
    raw = {"name": "tiny", "source": "x", "scales": {}, "statements": statements}
    return validate(Experiment, {**raw, "studies": parts}, "tiny.yaml")


def test_a_grid_is_every_combination_named_after_what_varies() -> None:
    arms = grid_arms({"norm": ["BN", "IN"], "batch_size": [1, 4], "learning_rate": 0.1})
    assert [arm["name"] for arm, _ in arms] == [
        "BN, batch 1", "BN, batch 4", "IN, batch 1", "IN, batch 4",
    ]  # fmt: skip
    assert arms[1][0] == {
        "name": "BN, batch 4", "norm": "BN", "batch_size": 4, "learning_rate": 0.1,
    }  # fmt: skip
    assert arms[1][1] == {"norm": "BN", "batch_size": 4, "learning_rate": 0.1}


def test_the_rate_is_in_proportion_to_the_batch() -> None:
    grid = {"norm": "BN", "batch_size": [1, 16], "learning_rate": 0.4, "reference_batch": 16}
    assert [arm["learning_rate"] for arm, _ in grid_arms(grid)] == [0.025, 0.4]


def test_bundles_and_keys_of_the_training() -> None:
    solvers = [
        {"name": "sgd", "training.optimizer": "sgd", "learning_rate": 0.4},
        {"name": "adam", "training.optimizer": "adam", "learning_rate": 0.01},
    ]
    schedules = ["cosine", "constant"]
    grid = {"norm": "SN", "batch_size": 2, "solver": solvers, "training.schedule": schedules}
    arms = grid_arms(grid)
    assert [arm["name"] for arm, _ in arms][1:3] == ["SN, sgd, constant", "SN, adam, cosine"]
    assert arms[1][0]["training"] == {"optimizer": "sgd", "schedule": "constant"}
    assert (arms[2][1]["solver"], arms[2][1]["schedule"]) == ("adam", "cosine")
    assert arms[2][0]["learning_rate"] == 0.01


def test_an_unknown_key_of_a_grid_is_told() -> None:
    with pytest.raises(ConfigError, match=r"grid.batchsize: must be a key of an arm .*, got 4"):
        grid_arms({"norm": "BN", "batchsize": 4})


def test_the_best_rate_of_each_norm_and_fold_a_failure_being_the_worst() -> None:
    rows = [
        ("IN", "1", 0.5, 0.7), ("IN", "1", 0.1, 0.8), ("IN", "2", 0.5, 0.9), ("IN", "2", 0.1, 0.8),
        ("none", "1", 0.5, None), ("none", "1", 0.1, 0.2),
    ]  # fmt: skip
    assert best_rates(rates(rows)) == {("IN", "1"): 0.1, ("IN", "2"): 0.5, ("none", "1"): 0.1}


def test_chosen_rates_make_one_study_a_fold() -> None:
    first = Part(
        grid=({"norm": "IN", "learning_rate": [0.5, 0.1], "batch_size": 4},), folds=["1", "2"]
    )
    final = Part(
        task={"data": "phantom", "validation": "test"},
        rates_from="first",
        grid=({"norm": ["IN"], "batch_size": 4},),
        folds=["1", "2"],
        seeds=2,
    )
    measured = {"first": rates([("IN", "1", 0.1, 0.8), ("IN", "2", 0.5, 0.9)])}
    plans = plan_part(experiment(first=first, final=final), "final", "toy", measured, {})
    assert [plan.fold for plan in plans] == ["1", "2"]
    assert [plan.study["task"]["test_folds"] for plan in plans] == [["1"], ["2"]]
    assert [plan.study["space"]["arms"][0]["learning_rate"] for plan in plans] == [0.1, 0.5]
    assert len({plan.study["name"] for plan in plans}) == 2
    for plan in plans:
        assert validate(StudyConfig, plan.study, "made").search.trials == 2
    with pytest.raises(ConfigError, match="no learning rate was tried for IN"):
        plan_part(experiment(first=first, final=final), "final", "toy", {"first": rates([])}, {})


def test_a_runs_name_follows_what_is_trained_and_nothing_else() -> None:
    part = Part(
        task={"data": "phantom"}, grid=({"norm": "IN", "learning_rate": 0.1, "batch_size": 4},)
    )
    more = part.model_copy(update={"seeds": 3})

    def name(part: Part, source: str = "x") -> str:
        made = experiment(main=part).model_copy(update={"source": source})
        return str(plan_part(made, "main", "toy", {}, {})[0].study["name"])

    assert name(part) == name(part, source="another")
    assert name(part) != name(more)


def test_arms_that_were_found_are_added() -> None:
    part = Part(task={"data": "phantom"}, found={"best": {"part": "search", "take": "best"}})
    search = Part(task={"data": "phantom"}, space={"norm": {"choices": ["BN"]}})
    arm = {"norm": {"enc1": "BN"}, "learning_rate": 0.1, "batch_size": 2}
    [plan] = plan_part(experiment(search=search, final=part), "final", "toy", {}, {"best": [arm]})
    assert plan.study["space"]["arms"] == [{**arm, "name": "best"}]
    assert plan.factors == {"best": {"norm": "best", "learning_rate": 0.1, "batch_size": 2}}


def test_two_arms_of_one_name_are_refused() -> None:
    grid = {"norm": "IN", "learning_rate": 0.1, "batch_size": 4}
    with pytest.raises(ConfigError, match="needs a name of its own, got 'IN' twice"):
        plan_part(experiment(main=Part(grid=(grid, grid))), "main", "toy", {}, {})
