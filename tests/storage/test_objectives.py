"""Several objectives: no pruning, and a Pareto front; with one, the others are recorded."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from normsearch.config import SearchConfig, StudyConfig, TrainingConfig, TrialConfig
from normsearch.config.reading import validate
from normsearch.config.search import ConstraintsConfig
from normsearch.errors import ConfigError, StudyError
from normsearch.search.checks import check_storage
from normsearch.search.coordinator import Coordinator
from normsearch.search.jobs import Event
from normsearch.search.local_executor import run_local
from normsearch.search.outcome import best_of, none_eligible
from normsearch.storage.objectives import directions
from normsearch.storage.records import StudyRecord
from normsearch.storage.run_folder import write_study
from tests.made_up_search import record

Maker = Callable[..., Coordinator]
COSTS = {"none": 1.0, "BN": 2.0, "IN": 3.0, "GN-2": 4.0}


def costly(config: TrialConfig, data: Any, folder: Path, token: str) -> Iterator[dict[str, Any]]:
    """Scores and seconds by the norms; BN costs more than none and scores less."""
    cost = sum(COSTS[spec] for spec in config.norm_map.values()) / len(config.norm_map)
    for evaluation in range(1, 10):
        made = record(config, evaluation)
        yield {**made, "score": 0.3 if cost == 2 else cost / 10 + 0.4, "seconds": cost}


def test_directions() -> None:
    search = SearchConfig(objectives=("seconds", "score", "memory"), pruner="none")
    study = StudyConfig.model_validate({
        "name": "s", "trainer": "m:train", "space": {"function": "m:ask"}, "search": search,
    })  # fmt: skip
    assert directions(study) == ["minimize", "maximize", "minimize"]
    training = TrainingConfig.model_validate(
        {"metric": {"name": "m:hd95", "direction": "minimize"}}
    )
    lower = study.model_copy(update={"training": training})
    assert directions(lower) == ["minimize", "minimize", "minimize"]


@pytest.mark.parametrize("sampler", ["tpe", "genetic", "random"])
def test_the_front_of_score_and_seconds(study: Maker, tmp_path: Path, sampler: str) -> None:
    search = {"objectives": ["seconds", "score"], "pruner": "none", "sampler": sampler}
    coordinator = study(trials=6, search=search)
    run_local(coordinator, None, costly)
    write_study(tmp_path / "run", coordinator.config)
    found = StudyRecord(tmp_path / "run")
    trials = found.trials().set_index("number")
    assert list(trials["state"]) == ["COMPLETE"] * 6
    front = found.pareto_front()
    baselines = trials["baseline"].dropna()
    assert {0, 2, 3} <= set(front)  # none, IN, GN-2
    assert 1 not in front
    assert dict(baselines) == {0: "none", 1: "BN", 2: "IN", 3: "GN-2"}
    best = found.best
    assert best is not None
    assert trials.loc[best, "score"] == trials["score"].max()
    assert coordinator.states()[best][1:] == ("COMPLETE", trials["score"].max())


def test_with_one_objective_pruned_trials_keep_the_others(study: Maker, tmp_path: Path) -> None:
    coordinator = study(trials=12)
    run_local(coordinator, None, costly)
    write_study(tmp_path / "run", coordinator.config)
    trials = StudyRecord(tmp_path / "run").trials()
    pruned = trials[trials["state"] == "PRUNED"]
    assert len(pruned)
    assert pruned[["seconds", "peak_memory_bytes", "parameters"]].notna().all(axis=None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"objectives": ["score", "seconds"]},
            r"pruner: must be none with several objectives \(score, seconds\), .*"
            r"got successive_halving; .*recorded anyway\.$",
        ),
        (
            {"objectives": ["score", "memory"], "pruner": "none", "sampler": "evolution"},
            r"sampler: must support several objectives .*, got evolution",
        ),
        ({"objectives": ["score", "secnds"]}, r"got 'secnds'\. Did you mean 'seconds'\?$"),
        ({"objectives": ["seconds"]}, "objectives: must hold score, .*, got seconds"),
        ({"objectives": ["score", "score"]}, "no name twice, got score, score"),
    ],
)
def test_what_does_not_go_together(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(SearchConfig, given, "s.yaml")


def test_a_score_that_is_missing_is_a_failure(study: Maker, tmp_path: Path) -> None:
    coordinator = study(trials=1, search={"objectives": ["score", "memory"], "pruner": "none"})
    job = coordinator.next_job()
    assert job is not None
    coordinator.report(0, {**record(job.config, 9), "score": float("nan")})
    coordinator.finish(0, TrialState.COMPLETE)
    assert coordinator.states()[0][1] == "FAIL"


def seamed(config: TrialConfig, data: Any, folder: Path, token: str) -> Iterator[dict[str, Any]]:
    """The higher a score, the larger the seam: .05 with none, .1 with BN, .15 with IN, ..."""
    for made in costly(config, data, folder, token):
        end = {"seam": made["seconds"] / 20} if made["evaluation"] == 9 else {}
        yield {**made, "score": made["seconds"] / 10, **end}


PATCHES = {"task": {"data": "none", "sample": "patch", "size": [8, 8]}}


def test_a_trial_that_exceeds_a_constraint_is_never_the_best(study: Maker, tmp_path: Path) -> None:
    search = {"constraints": {"seam": 0.1}, "pruner": "none"}
    told: list[Event] = []
    coordinator = study(trials=12, search=search, listener=told.append, **PATCHES)
    run_local(coordinator, None, seamed)
    over = {event.number for event in told if event.record.get("exceeded") == ["seam"]}
    write_study(tmp_path / "run", coordinator.config)
    for skim in (False, True):
        found = StudyRecord(tmp_path / "run", skim=skim)
        trials = found.trials().set_index("number")
        assert list(trials["state"]) == ["COMPLETE"] * 12
        assert found.best is not None
        keep = trials[trials["seam"] <= 0.1]
        assert trials.loc[found.best, "score"] == keep["score"].max() < trials["score"].max()
    found = StudyRecord(tmp_path / "run")
    assert set(found.ranked()) == set(keep.index)
    assert keep["score"][found.ranked()].is_monotonic_decreasing
    assert set(found.best_single_norms()) == {"none", "BN"}
    assert set(found.pareto_front()) <= set(keep.index)
    assert over == set(trials.index) - set(keep.index)
    assert {n for n, _, score in coordinator.states() if score == score} == set(keep.index)
    best = best_of(found)
    assert best is not None
    assert best["seam"] == trials.loc[found.best, "seam"]


def test_where_no_trial_keeps_a_constraint_the_lowest_is_named(
    study: Maker, tmp_path: Path
) -> None:
    search = {"constraints": {"seam": 0.01}, "pruner": "none"}
    coordinator = study(trials=4, search=search, **PATCHES)
    run_local(coordinator, None, seamed)
    write_study(tmp_path / "run", coordinator.config)
    found = StudyRecord(tmp_path / "run")
    assert (found.best, best_of(found)) == (None, None)
    told = none_eligible(found)
    assert told.endswith("seam must be at most 0.01, and the lowest is 0.0500, of trial 0")


def test_the_seam_as_an_objective(study: Maker, tmp_path: Path) -> None:
    search = {"objectives": ["score", "seam"], "pruner": "none"}
    coordinator = study(trials=5, search=search, **PATCHES)
    run_local(coordinator, None, seamed)
    write_study(tmp_path / "run", coordinator.config)
    assert directions(coordinator.config) == ["maximize", "minimize"]
    found = StudyRecord(tmp_path / "run")
    assert {0, 1, 2, 3} <= set(found.pareto_front())  # each more score for more seam


def test_a_trial_without_an_objective_fails(study: Maker) -> None:
    search = {"objectives": ["score", "seam"], "pruner": "none"}
    coordinator = study(trials=1, search=search, **PATCHES)
    run_local(coordinator, None, costly)
    assert coordinator.states()[0][1] == "FAIL"


def test_constraints_of_a_run_stay(study: Maker, tmp_path: Path) -> None:
    given = {"pruner": "none", "constraints": {"seam": 0.1}}
    begun = study(trials=1, search=given, **PATCHES).config
    write_study(tmp_path / "run", begun)
    check_storage(begun, tmp_path / "run", None)
    other = begun.model_copy(
        update={"search": begun.search.model_copy(update={"constraints": ConstraintsConfig()})}
    )
    with pytest.raises(
        StudyError, match=r"constraints must stay .* start of the run \(seam 0\.1\)"
    ):
        check_storage(other, tmp_path / "run", None)
