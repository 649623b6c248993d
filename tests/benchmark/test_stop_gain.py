"""What a search that ends early is said to save and to lose."""

import numpy as np
import pytest
from optuna.trial import FrozenTrial, TrialState

from normsearch.benchmark.simulated_executor import replay
from normsearch.benchmark.table import load_table, table_space
from normsearch.config import SearchConfig
from normsearch.storage.trial_states import is_repeat
from tests.benchmarks import stop_gain


def test_a_search_is_cut_where_the_gain_falls_below_the_threshold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def falling(trials: list[FrozenTrial]) -> float:
        asked.append(sum(trial.state.is_finished() for trial in trials))
        return 0.1 / asked[-1]  # below 0.005, the largest threshold, after 20

    monkeypatch.setattr(stop_gain, "expected_gain", falling)
    table = load_table()
    search = SearchConfig(seed=1, sampler="random", pruner="none")
    method = stop_gain.Watched(table_space(), search, table.samples)
    done = replay(table, method, workers=4, trials=40, seed=1)
    assert asked[:3] == [20, 21, 22]
    assert list(method.begun) == [0.005, 0.003]
    trials = method.study.get_trials(deepcopy=False)
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    spent, regret = stop_gain._result(table, method, 1, None)
    assert spent == 40 == sum(not is_repeat(trial) for trial in trials)
    assert regret == pytest.approx(done.regret[-1])
    early, lost = stop_gain._result(table, method, 1, method.begun[0.005])
    assert early == 24  # 21 had finished, and three were running
    values = [trial.value or 0 for trial in trials]
    assert np.argmax(values) < method.begun[0.005] or lost != regret
