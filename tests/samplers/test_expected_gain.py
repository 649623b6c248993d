"""What a further training is expected to gain: of the trials alone, less the more is known."""

import numpy as np
import pytest
from optuna.trial import FrozenTrial
from scipy.stats import norm

from normsearch.samplers.expected_gain import expected_gain, expected_improvement
from tests.samplers.test_fitted import drawn, numbered


def test_expected_improvement_is_the_mean_of_what_is_above() -> None:
    grid = np.linspace(-8, 8, 40001)
    for above, deviation in ((-1.0, 0.5), (0.0, 1.0), (0.3, 2.0)):
        values = np.maximum(0, above + deviation * grid) * norm.pdf(grid)
        mean = float(values.sum() * (grid[1] - grid[0]))
        found = expected_improvement(np.array([above]), np.array([deviation]))
        assert found == pytest.approx(mean, abs=1e-6)


def test_the_gain_is_of_the_unit_and_direction_of_the_scores() -> None:
    rows = drawn(15)
    gain = expected_gain(numbered(rows))
    assert gain is not None
    assert gain == expected_gain(numbered(rows))
    scaled = [(norms, -100 * score) for norms, score in rows if score is not None]
    assert expected_gain(numbered(list(scaled)), -1) == pytest.approx(100 * gain)


def test_replicates_and_further_trainings_leave_less_to_gain() -> None:
    rows = drawn(10)
    often = [(norms, 0.5 + 0.001 * turn) for turn in range(4) for norms, _ in rows]
    few, many = expected_gain(numbered(rows)), expected_gain(numbered(list(often)))
    assert few is not None
    assert many is not None
    assert 0 < many < few / 3


def test_nothing_is_known_of_trials_without_a_score() -> None:
    failed: list[FrozenTrial] = numbered([(norms, None) for norms, _ in drawn(5)])
    assert expected_gain(failed) is None
    assert expected_gain([]) is None
