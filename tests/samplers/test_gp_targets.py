"""What the process of gp is fitted to: lines from early to final values, clipping, units."""

import math
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from normsearch.samplers.gp_sampler import GaussianProcessSampler
from normsearch.samplers.gp_targets import Finished, History, clipped, standardized
from tests.samplers.test_gp_sampler import NORMS, WORTH, height


def test_a_pruned_trials_value_is_read_off_a_line() -> None:
    # Final values are 0.1 + 1.5 x early, exactly; what failed is as bad as the worst.
    complete = [Finished((float(i),), {1: i / 10, 2: 0.1 + 0.15 * i}, 0.1 + 0.15 * i)
                for i in range(1, 6)]  # fmt: skip
    pruned, failed = Finished((6.0,), {1: 0.6}, None), Finished((7.0,), {}, None)
    history = History([*complete, pruned, failed])
    targets, noise = history.expected_finals()
    assert len(history) == len(history.rows) == len(history.tried) == 7
    assert targets[5] == pytest.approx(0.1 + 1.5 * 0.6, abs=1e-3)  # the slope is held back a little
    assert targets[6] == targets[:6].min()
    assert noise[:5].tolist() == [0.0] * 5
    assert noise[5] < 1e-4


def test_scatter_about_the_line_is_noise() -> None:
    rng = np.random.default_rng(0)
    early = rng.random(400)
    final = 0.5 * early + rng.normal(0, 0.1, size=400)
    known = [Finished((0.0,), {1: x, 2: y}, y) for x, y in zip(early, final, strict=True)]
    _, noise = History([*known, Finished((1.0,), {1: 0.5}, None)]).expected_finals()
    assert noise[-1] == pytest.approx(0.01, rel=0.15)


def test_without_a_line_the_noise_is_the_variance_of_the_scores() -> None:
    known = [Finished((float(i),), {}, 10.0 * i) for i in range(6)]
    targets, noise = History([*known, Finished((9.0,), {1: 30.0}, None)]).expected_finals()
    assert targets[-1] == 30.0
    assert noise[-1] == pytest.approx(np.arange(0, 60, 10).var())


def test_what_is_far_from_the_rest_is_clipped() -> None:
    plain = np.arange(11.0)  # quartiles 2.5, 5, 7.5; 90% quantile 9
    np.testing.assert_array_equal(clipped(plain), plain)
    for low, high in ((-1e6, 1e6), (-1e150, 1e150), (-11, 18)):
        found = clipped(np.array([low, *plain[1:-1], high]))
        np.testing.assert_array_equal(found, [max(low, -10), *plain[1:-1], min(high, 17)])


def test_the_few_that_are_not_all_the_same_are_kept_apart() -> None:
    values = np.array([0.0] * 19 + [0.5, 0.8])
    np.testing.assert_array_equal(clipped(values), values)
    np.testing.assert_array_equal(clipped(np.zeros(5)), np.zeros(5))


def test_targets_are_standardized_with_their_noise() -> None:
    targets, noise = standardized(np.array([1.0, 3.0, 5.0]), np.array([0.0, 4.0, 8.0]))
    np.testing.assert_allclose(targets, np.array([-2, 0, 2]) / math.sqrt(8 / 3), atol=1e-9)
    np.testing.assert_allclose(noise, np.array([0, 4, 8]) / (8 / 3), atol=1e-9)
    same, _ = standardized(np.full(4, 7.0), np.zeros(4))
    assert same.tolist() == [0.0] * 4


def suggested(
    direction: str, *, factor: float = 1.0, shift: float = 0.0, odd: float | None = None
) -> list[dict[str, Any]]:
    """Return the parameters of 40 trials, half of which stop early; `odd` replaces one score."""
    sign = 1 if direction == "maximize" else -1
    study = optuna.create_study(direction=direction, sampler=GaussianProcessSampler(seed=3))
    for number in range(40):
        trial = study.ask()
        value = sign * height(trial)
        trial.report(factor * value / 2 + shift, 1)
        if number % 2:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            given = factor * value + shift
            study.tell(trial, sign * odd if number == 4 and odd is not None else given)
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_unit_and_the_origin_of_the_scores_make_no_difference(direction: str) -> None:
    plain = suggested(direction)
    assert suggested(direction, factor=1e-3) == plain
    assert suggested(direction, factor=1e3) == plain
    assert suggested(direction, shift=100.0) == plain


@pytest.mark.parametrize("odd", [math.inf, -math.inf, 1e300, 1e6, -1e300])
def test_one_wrong_score_does_not_end_the_search(odd: float) -> None:
    """Of the last 10 suggestions most hold the norms that are best, as without the wrong score."""
    found = suggested("maximize", odd=odd)
    assert found == suggested("minimize", odd=odd)
    worth = np.mean([_worth(params) for params in found[30:]])
    first = np.mean([_worth(params) for params in found[:8]])
    assert worth > first + 1.0


def _worth(params: dict[str, Any]) -> float:
    return float(sum(WORTH[i, NORMS.index(params[f"slot{i}"])] for i in range(6)))
