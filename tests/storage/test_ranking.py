"""The order of configurations: by score, and after a round of a race by all their trainings."""

from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from normsearch.storage.ranking import by_posterior, candidates, entered, rank, trainings

NORMS = ("none", "BN", "IN", "GN", "SN", "LN", "WN", "BIN")


def trial(
    number: int, norm: str, score: float | None, *, over: float = -1.0, **more: Any
) -> FrozenTrial:
    """Return a trial; None: it failed. `over`: how far it is above a constraint."""
    values = {"learning_rate": 0.1, **({"seed": more["seed"]} if "seed" in more else {})}
    attributes = {"norm_map": {"slot": norm}, "values": values, **more}
    given: dict[str, Any] = {
        "params": {"norm.slot": norm},
        "distributions": {"norm.slot": CategoricalDistribution(NORMS)},
        "user_attrs": attributes,
        "constraints": {"seam": over},
    }
    if score is None:
        made = create_trial(state=TrialState.FAIL, **given)
    else:
        made = create_trial(value=score, intermediate_values={9: score}, **given)
    made.number = number
    return made


def again(number: int, of: int, score: float | None, one: int, entrants: int) -> FrozenTrial:
    place = {"race": 12, "race_size": 4, "round": one, "entrants": entrants, "seed": one}
    return trial(number, NORMS[of], score, replicate_of=of, **place)


SCORES = (0.50, 0.52, 0.51, 0.49, 0.70, 0.69, 0.53, 0.50)
SEARCH = [trial(number, NORMS[number], score) for number, score in enumerate(SCORES)]


def test_without_a_race_the_score_decides() -> None:
    assert rank(SEARCH, "maximize") == [4, 5, 6, 1, 2, 0, 7, 3]
    assert rank(SEARCH, "minimize") == [3, 0, 7, 2, 1, 6, 5, 4]


def test_an_unfinished_round_decides_nothing() -> None:
    part = [*SEARCH, again(8, 4, 0.71, 1, entrants=2)]
    assert entered(part) == set()
    assert rank(part, "maximize") == rank(SEARCH, "maximize")


def test_a_lucky_score_loses_against_good_trainings() -> None:
    raced = [*SEARCH, again(8, 4, 0.55, 1, 2), again(9, 5, 0.68, 1, 2)]
    assert entered(raced) == {4, 5}
    assert rank(raced, "maximize")[:2] == [5, 4]
    assert set(rank(raced, "maximize")) == set(range(8))  # replicates are no configurations


def test_a_survivor_that_falls_is_outvoted() -> None:
    two = [again(8, 4, 0.66, 1, 2), again(9, 5, 0.68, 1, 2), again(10, 5, 0.40, 2, 1)]
    assert rank([*SEARCH, *two[:2]], "maximize")[:2] == [5, 4]
    assert rank([*SEARCH, *two], "maximize")[:2] == [4, 5]


def test_what_was_not_raced_is_never_the_best() -> None:
    low = [*SEARCH, again(8, 0, 0.30, 1, 2), again(9, 1, 0.31, 1, 2)]
    assert rank(low, "maximize")[0] in {0, 1}


def test_behind_the_recommended_one_the_posterior_decides_alone() -> None:
    low = [*SEARCH, again(8, 0, 0.30, 1, 2), again(9, 1, 0.31, 1, 2)]
    first, *others = rank(low, "maximize")
    by_model = by_posterior(candidates(low), low, "maximize")
    assert others == [number for number in by_model if number != first]
    assert others[:2] == [4, 5]  # never raced, with the highest scores


def test_single_norms_and_mixtures_are_both_led_by_one_that_was_raced() -> None:
    kinds = [trial(n, NORMS[n], score) for n, score in enumerate(SCORES)]
    for number in (0, 4, 5):
        kinds[number].user_attrs["single_norm"] = NORMS[number]
    order = rank([*kinds, again(8, 0, 0.30, 1, 2), again(9, 6, 0.55, 1, 2)], "maximize")
    assert order[:2] == [6, 0]  # the single norms 4 and 5 scored higher, and were not raced
    assert order[2:4] == [4, 5]


def test_the_newest_race_decides() -> None:
    later = again(10, 6, 0.53, 1, 1)
    later.user_attrs["race"] = 30
    raced = [*SEARCH, again(8, 4, 0.69, 1, 2), again(9, 5, 0.68, 1, 2), later]
    assert rank(raced, "maximize")[0] == 6
    later.state = TrialState.RUNNING
    assert rank(raced, "maximize")[0] in (4, 5)


def test_a_failed_replicate_counts_as_the_worst_score() -> None:
    raced = [*SEARCH, again(8, 4, None, 1, 2), again(9, 5, 0.60, 1, 2)]
    assert rank(raced, "maximize")[:2] == [5, 4]
    assert [one.number for one in trainings(raced, 4)] == [4, 8]


def test_what_exceeds_a_constraint_is_no_candidate() -> None:
    broken = [*SEARCH[:4], trial(4, NORMS[4], 0.70, over=0.1), *SEARCH[5:]]
    assert [one.number for one in candidates(broken)] == [0, 1, 2, 3, 5, 6, 7]
    raced = [*broken, again(8, 5, 0.68, 1, 1)]
    assert 4 not in rank(raced, "maximize")


def test_a_configuration_is_one_candidate_by_its_first_eligible_trial() -> None:
    twice = [trial(0, "BN", None), trial(1, "BN", 0.5), trial(2, "IN", 0.4), trial(3, "BN", 0.5)]
    assert [one.number for one in candidates(twice)] == [1, 2]


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_minimizing_is_the_mirror_image(direction: str) -> None:
    sign = 1 if direction == "maximize" else -1
    search = [trial(n, NORMS[n], sign * score) for n, score in enumerate(SCORES)]
    raced = [*search, again(8, 4, sign * 0.55, 1, 2), again(9, 5, sign * 0.68, 1, 2)]
    assert rank(raced, direction)[:2] == [5, 4]  # type: ignore[arg-type]
