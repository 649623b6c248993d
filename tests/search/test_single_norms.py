"""Tuning of single norms: the share of the trials, the norms, and their settings."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from normsearch.config import TrialConfig
from normsearch.search.coordinator import Coordinator
from normsearch.search.local_executor import run_local
from normsearch.storage.trial_states import share_of_single_norms
from tests.made_up_search import EVALUATIONS, record

Maker = Callable[..., Coordinator]

SPACE = {
    "norm": {"choices": ["none", "BN", "IN", "GN-2"]},
    "learning_rate": {"low": 0.01, "high": 1.0, "default": 0.02},
    "batch_size": {"choices": [1, 2, 4, 8], "default": 8},
}
#: A norm's best learning rate: all norms are worth the same there, and differ at the default.
BEST_RATE = {"none": 0.02, "BN": 0.5, "IN": 0.1, "GN-2": 0.2}


def worth(config: TrialConfig) -> float:
    """A score that falls with the distance from the best rate of the norms (their mean)."""
    rates = [math.log(BEST_RATE[norm]) for norm in config.norm_map.values()]
    away = math.log(config.learning_rate) - sum(rates) / len(rates)
    return 0.9 - 0.05 * away**2 - 0.01 * abs(math.log2(config.batch_size / 2))


def trainer(config: TrialConfig, data: Any, folder: Path, token: str) -> Iterator[dict[str, Any]]:
    for evaluation in range(1, EVALUATIONS + 1):
        yield {**record(config, evaluation), "score": worth(config) * evaluation / EVALUATIONS}


def stored(folder: Path) -> list[FrozenTrial]:
    storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    return optuna.load_study(study_name="made-up", storage=storage).trials


def tuned(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    return [
        trial
        for trial in trials
        if "single_norm" in trial.user_attrs and "baseline" not in trial.user_attrs
    ]


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.25, 5), (0.5, 10), (1.0, 20)])
def test_the_share_of_the_trials_after_the_defaults(
    share: float, expected: int, study: Maker, tmp_path: Path
) -> None:
    run_local(study(24, {"single_norms": share, "sampler": "random"}, SPACE), None, trainer)
    trials = stored(tmp_path / "run")
    assert len(trials) == 24
    assert len(tuned(trials)) == expected
    assert share_of_single_norms(trials) == (expected, 20 - expected)


def test_the_better_norms_are_tried_more_and_each_setting_once(
    study: Maker, tmp_path: Path
) -> None:
    run_local(study(34, {"pruner": "none"}, SPACE), None, trainer)
    trials = tuned(stored(tmp_path / "run"))
    counts = Counter(trial.user_attrs["single_norm"] for trial in trials)
    assert sum(counts.values()) == 15
    assert max(counts.values()) - min(counts.get(norm, 0) for norm in BEST_RATE) >= 2
    settings = [
        (t.user_attrs["single_norm"], t.params["learning_rate"], t.params["batch_size"])
        for t in trials
    ]
    assert len(set(settings)) == len(settings)


def test_single_norms_come_near_their_own_best_setting(study: Maker, tmp_path: Path) -> None:
    run_local(study(60, {"pruner": "none"}, SPACE), None, trainer)
    best: dict[str, float] = {}
    for trial in stored(tmp_path / "run"):
        if norm := trial.user_attrs.get("single_norm"):
            best[norm] = max(best.get(norm, 0.0), trial.value or 0.0)
    assert best.keys() == BEST_RATE.keys()
    assert max(best.values()) > 0.88  # 0.9 is the most there is
    for norm in ("BN", "GN-2"):  # far below their best at the default
        at_default = 0.9 - 0.05 * math.log(0.02 / BEST_RATE[norm]) ** 2 - 0.02
        assert best[norm] > at_default + 0.1


def test_single_norms_are_tried_at_the_setting_of_the_best_mixture(
    study: Maker, tmp_path: Path
) -> None:
    run_local(study(30, {"pruner": "none"}, SPACE), None, trainer)
    trials = stored(tmp_path / "run")
    mixtures = [
        (trial.params["learning_rate"], trial.params["batch_size"])
        for trial in trials
        if "single_norm" not in trial.user_attrs
    ]
    singles = [(t.params["learning_rate"], t.params["batch_size"]) for t in tuned(trials)]
    assert len(set(singles) & set(mixtures)) >= 2


def test_defaults_are_never_pruned_and_tuned_ones_may_be(study: Maker, tmp_path: Path) -> None:
    run_local(study(40, {"pruner": {"name": "successive_halving"}}, SPACE), None, trainer)
    trials = stored(tmp_path / "run")
    defaults = [trial for trial in trials if "baseline" in trial.user_attrs]
    assert {trial.state for trial in defaults} == {TrialState.COMPLETE}
    assert TrialState.PRUNED in {trial.state for trial in tuned(trials)}


@pytest.mark.parametrize(
    ("search", "space"),
    [
        ({"baselines": False}, SPACE),
        ({"sampler": "grid"}, {**SPACE, "learning_rate": [0.1, 0.2]}),
        ({}, {**SPACE, "norm": {"per": "network", "choices": ["BN", "IN"]}}),
        ({}, {**SPACE, "learning_rate": 0.1, "batch_size": 2}),  # there is nothing to tune
    ],
)
def test_where_single_norms_are_not_tuned(
    search: dict[str, Any], space: dict[str, Any], study: Maker, tmp_path: Path
) -> None:
    coordinator = study(12, search, space)
    assert coordinator._freshness._tuning.next(coordinator._trials()) is None
    run_local(coordinator, None, trainer)
    assert len(stored(tmp_path / "run")) >= 12


def test_a_finite_space_is_tried_without_repetition(study: Maker, tmp_path: Path) -> None:
    space = {**SPACE, "learning_rate": [0.1, 0.2], "batch_size": [2]}
    run_local(study(20, {"pruner": "none", "single_norms": 1}, space), None, trainer)
    trials = stored(tmp_path / "run")
    assert len(tuned(trials)) == 4  # the other rate of each norm
    assert not any("duplicate_of" in trial.user_attrs for trial in tuned(trials))


def test_a_restart_keeps_the_share(study: Maker, tmp_path: Path) -> None:
    run_local(study(10, None, SPACE), None, trainer)
    run_local(study(16, None, SPACE), None, trainer)
    assert share_of_single_norms(stored(tmp_path / "run")) == (6, 6)
