"""Regularized evolution and the one-point genetic search: parents, children, ages, fitness."""

import math
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from normsearch.samplers.evolution import AgeingEvolution, OnePointGenetic, fitness

LETTERS = CategoricalDistribution(tuple("abcdefgh"))
NAMES = [f"slot{index:02d}" for index in range(10)]


def study_of(sampler: Any, words: list[str], values: list[float]) -> optuna.Study:
    """A study whose trials are words, a letter a slot, finished in this order."""
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for word, value in zip(words, values, strict=True):
        study.add_trial(
            create_trial(
                params=dict(zip(NAMES, word, strict=True)),
                distributions=dict.fromkeys(NAMES, LETTERS),
                value=value,
                intermediate_values={3: value},
            )
        )
    return study


def child(study: optuna.Study) -> str:
    trial = study.ask(dict.fromkeys(NAMES, LETTERS))
    return "".join(trial.params[name] for name in NAMES)


def differences(one: str, two: str) -> int:
    return sum(a != b for a, b in zip(one, two, strict=True))


def test_a_child_is_the_fittest_of_all_with_one_letter_changed() -> None:
    words = ["a" * 10, "b" * 10, "c" * 10]
    study = study_of(AgeingEvolution(3, 3, seed=0), words, [0.1, 0.9, 0.5])
    for _ in range(20):
        assert differences(child(study), "b" * 10) == 1


def test_the_oldest_die_however_fit() -> None:
    words = ["a" * 10, "b" * 10, "c" * 10, "d" * 10]
    study = study_of(AgeingEvolution(2, 2, seed=0), words, [0.9, 0.8, 0.2, 0.1])
    assert differences(child(study), "c" * 10) == 1


def test_draws_are_uniform_until_the_population_is_there() -> None:
    study = study_of(AgeingEvolution(20, 5, seed=0), ["a" * 10] * 19, [0.5] * 19)
    assert min(differences(child(study), "a" * 10) for _ in range(10)) > 2


def test_ranges_mutate_too() -> None:
    rates = {"rate": FloatDistribution(0.1, 0.2)}
    study = optuna.create_study(direction="maximize", sampler=AgeingEvolution(1, 1, seed=0))
    study.add_trial(
        create_trial(
            params={"rate": 0.1}, distributions=rates, value=1, intermediate_values={1: 1.0}
        )
    )
    assert 0.1 < study.ask(rates).params["rate"] <= 0.2


def test_one_point_crossover_without_mutation() -> None:
    words = ["a" * 10, "b" * 10]
    study = study_of(OnePointGenetic(2, mutation=0, seed=1), words, [0.5, 0.5])
    children = [child(study) for _ in range(60)]
    assert {word for word in children if "ba" in word} or {w for w in children if "ab" in w}
    for word in children:
        assert "ab" not in word or "ba" not in word  # cut once at most


def test_mutation_is_of_one_letter_in_ten() -> None:
    study = study_of(OnePointGenetic(2, mutation=0.1, seed=1), ["a" * 10] * 2, [0.5, 0.5])
    mean = sum(differences(child(study), "a" * 10) for _ in range(300)) / 300
    assert mean == pytest.approx(1, abs=0.25)  # 4.5 standard errors


def test_parents_are_of_the_last_whole_generation() -> None:
    words = ["a" * 10] * 3 + ["b" * 10] * 3 + ["c" * 10] * 2
    study = study_of(OnePointGenetic(3, mutation=0, seed=0), words, [0.9] * 3 + [0.1] * 5)
    assert {child(study) for _ in range(10)} == {"b" * 10}


def test_fitness_ranks_as_tpe_does() -> None:
    study = optuna.create_study(direction="maximize")

    def trial(values: dict[int, float], state: TrialState = TrialState.PRUNED) -> Any:
        value = values[max(values)] if state == TrialState.COMPLETE else None
        return create_trial(state=state, value=value, intermediate_values=values)

    ranked = [
        trial({1: 0.1, 9: 0.6}, TrialState.COMPLETE),
        trial({9: 0.5}, TrialState.COMPLETE),
        trial({3: 0.9}),
        trial({3: math.nan}),
        trial({1: 0.99}),
        create_trial(state=TrialState.PRUNED, constraints={"memory": 1.0}),
    ]
    assert sorted(ranked, key=lambda t: fitness(study, t), reverse=True) == ranked
