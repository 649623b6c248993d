import itertools
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from optuna.trial import TrialState

from normsearch.benchmark.simulated_executor import Outcome, replay
from normsearch.benchmark.table import NORMS, Table, table_space
from normsearch.config import SearchConfig
from normsearch.errors import DataError
from tests.benchmarks.rivals.equal_terms import SINGLE_NORMS, Choice, EqualTerms
from tests.benchmarks.rivals.raced import RacedRival, RacingByMeans
from tests.benchmarks.rivals.runs import Runs, Search
from tests.benchmarks.rivals.summary import summarize

MIXED: Choice = ("BN", "IN", "LN", "SN")


class Fixed:
    """Asks for given choices in turn, stops everything, and keeps what it hears."""

    def __init__(self, *choices: Choice) -> None:
        self.choices, self.heard = list(choices), list[tuple[int, Outcome, int, float]]()
        self.asked = 0

    def ask(self) -> tuple[int, Choice, int]:
        self.asked += 1
        return self.asked - 1, self.choices[min(self.asked, len(self.choices)) - 1], 3

    def report(self, number: int, step: int, score: float) -> bool:
        return True

    def finish(self, number: int, outcome: Outcome, step: int, score: float) -> None:
        self.heard.append((number, outcome, step, score))


def test_single_norms_are_trained_to_the_end_and_repeats_are_free() -> None:
    rival = Fixed(SINGLE_NORMS[1], MIXED, MIXED, SINGLE_NORMS[1])
    method = EqualTerms(rival, 3)
    number, choice = method.ask() or (-1, ())
    assert choice == SINGLE_NORMS[1]
    assert not method.report(number, 1, 0.5)  # though the rival would stop it
    assert method.finish(number, "complete", 3, 0.7)
    number, choice = method.ask() or (-1, ())
    assert choice == MIXED
    assert method.report(number, 1, 0.4)
    assert not method.finish(number, "stopped", 1, 0.4)
    drawn, choice = method.ask() or (0, ())  # what the rival asks for now is known
    assert drawn < 0
    assert choice not in (MIXED, SINGLE_NORMS[1])
    assert rival.heard[:3] == [
        (0, "complete", 3, 0.7),
        (1, "stopped", 1, 0.4),
        (2, "stopped", 1, 0.4),
    ]


SAMPLES = (10, 20, 30)
ENDS = {TrialState.COMPLETE: ("complete", 3), TrialState.PRUNED: ("stopped", 2)}


def noisy_table() -> Table:
    """Scores of all choices with six seeds."""
    choices = tuple(itertools.product(NORMS, repeat=4))
    rng = np.random.default_rng(0)
    heights = 0.5 + 0.2 * rng.random(len(choices)) + 0.05 * rng.random((6, len(choices)))
    score = heights[..., None] * np.linspace(0.5, 1, len(SAMPLES))
    return Table(choices, score, np.ones_like(score).cumsum(axis=2), SAMPLES, tuple(range(6)), {})


class Drawn(Fixed):
    """Asks for choices at random and stops every other one at its second point."""

    def report(self, number: int, step: int, score: float) -> bool:
        return step == 2 and number % 2 == 1


def test_a_rival_gets_the_race_within_its_budget() -> None:
    budget = 12 * SAMPLES[-1]
    rng = np.random.default_rng(1)
    rival = Drawn(*SINGLE_NORMS, *(tuple(map(str, rng.choice(NORMS, 4))) for _ in range(20)))
    search = SearchConfig(samples=budget, race=0.25, pruner="none", baselines=False)  # type: ignore[arg-type]
    method = RacedRival(search, SAMPLES, EqualTerms(rival, len(SAMPLES)))
    done = replay(noisy_table(), method, workers=3, trials=100)
    trials = [trial for trial in method.study.trials if trial.state.is_finished()]
    own = [trial for trial in trials if "replicate_of" not in trial.user_attrs]
    again = [trial.user_attrs["replicate_of"] for trial in trials if trial not in own]
    assert budget - 2 * SAMPLES[-1] < done.spent[-1] <= budget
    assert len(again) == 3
    assert {trials[number].state for number in again} == {TrialState.COMPLETE}
    assert {number: (outcome, step) for number, outcome, step, _ in rival.heard} == {
        trial.user_attrs["rival"]: ENDS[trial.state] for trial in own
    }
    assert any(outcome == "stopped" for _, outcome, _, _ in rival.heard)
    raced = [tuple(trials[number].params.values())[:4] for number in again]
    assert method.recommended() in raced
    assert np.isfinite(done.regret[-1])


def test_a_race_by_means_recommends_by_the_scores_alone() -> None:
    search = SearchConfig(samples=12 * SAMPLES[-1], race=0.25, sampler="random", pruner="none")  # type: ignore[arg-type]
    method = RacingByMeans(table_space(), search, SAMPLES)
    replay(noisy_table(), method, workers=3, trials=100)
    trials = method.study.trials
    scores = defaultdict[int, list[float]](list)
    for trial in trials:
        scores[trial.user_attrs.get("replicate_of", trial.number)].append(trial.value or 0.0)
    best = max(
        (number for number, known in scores.items() if len(known) > 1),
        key=lambda number: np.mean(scores[number]),
    )
    assert method.recommended() == tuple(trials[best].params.values())[:4]


def search(seed: int) -> Mapping[int, float]:
    return {10: 0.1 * seed, 20: 0.0}


def test_runs_go_on_after_a_cut(tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs.csv")
    runs.extend({"a": Search(search, (10, 20))}, range(2))
    whole = runs.path.read_text()
    runs.path.write_text(whole[:-2])
    runs.extend({"a": Search(search, (10, 20))}, range(2))
    assert runs.path.read_text() == whole
    runs.path.write_text("method,seed\na,1\n")
    with pytest.raises(DataError, match=r"runs\.csv: must be a CSV file with the columns"):
        runs.read()


def test_differences_are_paired_by_seed() -> None:
    random = np.random.default_rng(0)
    luck = random.normal(0, 1, 30)
    parts = [
        pd.DataFrame({"method": name, "seed": range(30), "trainings": 10, "regret": luck + more})
        for name, more in (("ours", 0.0), ("theirs", 0.01))
    ]
    found = summarize(pd.concat(parts), "ours").set_index("method").loc["theirs"]
    assert found["difference_low"] == pytest.approx(0.01)
    assert found["mean_high"] - found["mean_low"] > 0.5
