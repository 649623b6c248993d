"""Replays on made-up tables whose outcome is known by hand."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from normsearch.benchmark.simulated_executor import (
    Method,
    OptunaMethod,
    Outcome,
    RacingMethod,
    Replay,
    replay,
)
from normsearch.benchmark.table import DEPTH, FIRST_CHANNELS, NORMS, Table, table_space
from normsearch.config import NetworkConfig, SearchConfig, StudyConfig, TrialConfig
from normsearch.networks import build_network, list_norms
from normsearch.search.coordinator import Coordinator
from normsearch.search.local_executor import run_local

POINTS = 4
SAMPLES = tuple(range(10, 10 * POINTS + 1, 10))


def table_of(scores: list[list[float]], seconds: list[float]) -> Table:
    """Rows "0", "1", ...; each evaluation of row i takes seconds[i] and 10 samples."""
    score = np.array(scores)
    spent = np.outer(seconds, np.arange(1, score.shape[1] + 1))
    samples = tuple(10 * np.arange(1, score.shape[1] + 1))
    choices = tuple((str(i),) for i in range(len(score)))
    return Table(choices, score[None], spent[None], samples, (0,), {})


class Listed(Method):
    """Gives out rows in order, stops those below a limit, notes what it is told."""

    def __init__(self, rows: list[int], limit: float = 0.0) -> None:
        self.rows, self.limit = iter(enumerate(rows)), limit
        self.told: list[tuple[Any, ...]] = []
        self.scores: list[tuple[int, float]] = []

    def ask(self) -> tuple[int, tuple[str, ...]] | None:
        number, row = next(self.rows, (None, None))
        return None if number is None else (number, (str(row),))

    def report(self, number: int, step: int, score: float) -> bool:
        self.told.append((number, step, score))
        return score < self.limit

    def finish(self, number: int, outcome: Outcome, step: int, score: float) -> bool:
        self.told.append((number, outcome, step))
        self.scores.append((number, score))
        return outcome == "complete"


THREE = table_of([[0.1, 0.5], [0.2, 0.9], [0.3, 0.7]], [1.0, 2.0, 4.0])


def test_one_worker_trains_one_after_another() -> None:
    method = Listed([0, 2, 1])
    done = replay(THREE, method, trials=3)
    assert done.seconds == 2 * (1 + 4 + 2)
    assert done.spent == [20, 40, 60]
    assert done.regret == pytest.approx([0.4, 0.2, 0.0])
    assert done.outcomes == {"complete": 3}
    assert done.utilisation == 1.0
    assert method.told[:3] == [(0, 1, 0.1), (0, "complete", 2), (1, 1, 0.3)]


def test_two_workers_share_the_clock() -> None:
    # Worker A: row 2 from 0 to 8. Worker B: row 0 from 0 to 2, then row 1 from 2 to 6.
    method = Listed([2, 0, 1])
    done = replay(THREE, method, workers=2, trials=3)
    assert done.seconds == 8
    assert [told[0] for told in method.told if told[1] == "complete"] == [1, 2, 0]
    # When row 0 ended, at 2, it alone had reached points; at 6 row 2 had reached one, at 4.
    assert done.spent == [20, 50, 60]
    assert done.utilisation == 1.0


def test_a_stopped_trial_costs_what_it_used() -> None:
    done = replay(THREE, Listed([0, 1, 2], limit=0.25), trials=3)
    assert done.outcomes == {"stopped": 2, "complete": 1}
    assert done.spent == [10, 20, 40]
    assert done.seconds == 1 + 2 + 8
    assert done.regret == pytest.approx([np.inf, np.inf, 0.2])


def test_a_failed_trial_ends_where_its_scores_end() -> None:
    table = table_of([[0.1, np.nan, np.nan], [0.1, 0.2, 0.3]], [1.0, 1.0])
    done = replay(table, Listed([0, 1]), trials=2)
    assert done.outcomes == {"failed": 1, "complete": 1}
    assert done.spent == [20, 50]
    assert done.regret == pytest.approx([np.inf, 0.0])


def test_a_budget_of_samples_ends_the_asking() -> None:
    method = Listed([0] * 9)
    done = replay(THREE, method, samples=50)
    assert done.spent == [20, 40, 60]
    assert done.at(19) != done.at(19)  # NaN: nothing was complete
    assert done.at(20) == done.at(59) == pytest.approx(0.4)
    with pytest.raises(ValueError, match="needs a budget, samples or trials; got neither"):
        replay(THREE, method)


def test_a_slow_driver_lets_workers_wait() -> None:
    # Each of the four calls (two asks, two finishes) takes one second: 2 + 2 of training.
    ticks = itertools.count()

    table = table_of([[0.5]], [2.0])
    done = replay(table, Listed([0, 0]), trials=2, clock=lambda: float(next(ticks)))
    assert done.driver_seconds == 4
    assert done.seconds == 4 + 2 * 2
    # The second trial is given out at 1 (ask) + 2 (training) + 1 (finish) + 1 (ask).
    assert Replay().utilisation == 0.0
    assert done.utilisation == pytest.approx(2 / 5)


def test_slowdown_stretches_the_clock() -> None:
    assert replay(THREE, Listed([0]), trials=1, slowdown=60.0).seconds == 120.0


def seeded(scores: list[list[float]]) -> Table:
    """A table of one evaluation point: a list of rows' scores for each seed."""
    score = np.array(scores)[:, :, None]
    choices = tuple((str(row),) for row in range(score.shape[1]))
    seeds = tuple(range(len(scores)))
    return Table(choices, score, np.ones_like(score), (10,), seeds, {})


def test_a_recommendation_is_judged_by_the_seeds_that_were_not_served() -> None:
    table = seeded([[0.1, 0.5], [0.2, 0.9], [0.6, 0.4]])
    for seed in range(10):
        method = Listed([0, 0])
        done = replay(table, method, trials=2, seed=seed)
        first, second = (trained for _, trained in method.scores)
        assert first != second
        left = [score for score in (0.1, 0.2, 0.6) if score != first]
        kept = next(score for score in left if score != second)
        assert done.regret == pytest.approx([0.6 - np.mean(left), 0.6 - kept])
        assert replay(table, Listed([0, 0]), trials=2, seed=seed) == done


def test_one_seed_is_kept_for_judging() -> None:
    method = Listed([0] * 5)
    done = replay(seeded([[0.1], [0.2], [0.6]]), method, trials=5, seed=3)
    scores = [score for _, score in method.scores]
    assert scores == [scores[0], scores[1], scores[0], scores[1], scores[0]]
    kept = ({0.1, 0.2, 0.6} - set(scores)).pop()
    assert done.regret[1:] == pytest.approx([0.3 - kept] * 4)


class Knowing(Listed):
    """Recommends a row that it has not trained."""

    def recommended(self) -> tuple[str, ...] | None:
        return ("1",) if self.told else None


def test_a_method_may_say_what_it_recommends() -> None:
    table = seeded([[0.7, 0.5], [0.8, 0.9]])
    assert replay(table, Knowing([0]), trials=1).regret == pytest.approx([0.75 - 0.7])


def made_up_table() -> Table:
    """Scores that rise to a height which the choice decides; one choice in 7 fails half way."""
    rng = np.random.default_rng(0)
    choices = tuple(itertools.product(NORMS, repeat=4))
    height = rng.random((len(choices), 1))
    score = height * np.linspace(0.2, 1, POINTS)
    score[::7, POINTS // 2 :] = np.nan
    seconds = rng.uniform(1, 2, (len(choices), 1)) * np.arange(1, POINTS + 1)
    return Table(choices, score[None], seconds[None], SAMPLES, (0,), {})


def searched(seed: int = 0, workers: int = 3, **search: Any) -> tuple[OptunaMethod, Replay]:
    method = OptunaMethod(table_space(), SearchConfig(seed=seed, **search), SAMPLES)
    return method, replay(made_up_table(), method, workers=workers, samples=1200)


@pytest.mark.parametrize("sampler", ["gp", "tpe", "evonms", "random"])
def test_the_seed_decides_everything(sampler: str) -> None:
    one, other = searched(1, sampler=sampler)[1], searched(1, sampler=sampler)[1]
    assert one == other != searched(2, sampler=sampler)[1]


def test_a_race_trains_again_and_recommends_by_all_trainings() -> None:
    table = made_up_table()
    luck = np.random.default_rng(0).normal(0, 0.1, (6, *table.score.shape[1:]))
    several = replace(
        table,
        score=table.score + luck,
        seconds=np.repeat(table.seconds, 6, axis=0),
        seeds=tuple(range(6)),
    )
    search = SearchConfig(trials=20, race=0.4, pruner="none")  # type: ignore[arg-type]
    method = RacingMethod(table_space(), search, SAMPLES)
    done = replay(several, method, workers=3, trials=100)
    assert len(done.spent) == 20
    again = [trial.user_attrs.get("replicate_of") for trial in method.study.trials]
    assert again[:12] == [None] * 12
    assert len(set(again[12:])) == 4
    raced = [tuple(method.study.trials[n].params.values())[:4] for n in set(again[12:])]
    assert method.recommended() in raced
    first = [trial.value for trial in method.study.trials[:12]]
    assert [trial.value for trial in method.study.trials[12:]] != [first[n] for n in again[12:]]


def test_no_choice_is_trained_twice_and_every_trial_is_told() -> None:
    method, done = searched(sampler="evonms", workers=8)
    trials = method.study.trials
    trained = [
        tuple(trial.params.values()) for trial in trials if "duplicate_of" not in trial.user_attrs
    ]
    assert len(set(trained)) == len(trained) == len(done.spent) < len(trials)
    assert sum(done.outcomes.values()) == len(trained)


def trained_from(table: Table) -> Any:
    """Return a trainer that reads the table, as `Coordinator` wants one."""

    def trainer(
        config: TrialConfig, data: Any, folder: Path, token: str
    ) -> Iterator[dict[str, Any]]:
        slots = ("enc1.conv1", "enc2.conv1", "enc3.conv1", "bottom.conv1")
        row = table.row[tuple(config.norm_map[f"{slot}.norm"] for slot in slots)]
        for step in range(1, POINTS + 1):
            yield {
                "evaluation": step,
                "score": float(table.score[0, row, step - 1]),
                "seconds": 0.0,
            }

    return trainer


def test_a_replay_is_what_a_run_does(tmp_path: Path) -> None:
    """The same trials in the same order with the same ends as the real coordinator."""
    table = made_up_table()
    table.score[np.isnan(table.score)] = 0.0  # a real training fails otherwise than the table
    space = table_space()
    slots = list_norms(build_network("unet2d", first_channels=FIRST_CHANNELS, depth=DEPTH))
    assert slots == list(space.slots)
    config = StudyConfig(
        name="replayed",
        task={"data": "none"},  # type: ignore[arg-type]
        network=NetworkConfig(first_channels=FIRST_CHANNELS, depth=DEPTH),
        training={"samples": 40, "evaluations": POINTS},  # type: ignore[arg-type]
        space=space.config,
        search=SearchConfig(trials=40, seed=5),
    )
    coordinator = Coordinator(tmp_path, config, space)
    run_local(coordinator, None, trained_from(table))

    method = OptunaMethod(space, config.search, SAMPLES)
    replay(table, method, trials=40)
    real, replayed = coordinator._study.trials, method.study.trials
    assert [(t.state, t.params) for t in real] == [(t.state, t.params) for t in replayed]
    assert len({trial.state for trial in real}) == 2  # some were pruned, some complete
