"""How contrasts make a verdict."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from normsearch.findings.verdicts import Contrast, all_above, by_t


def contrast(name: str, estimate: float, p: float) -> Contrast:
    return Contrast(name, estimate, estimate - 0.1, estimate + 0.1, p)


def verdict(*contrasts: Contrast) -> tuple[str, float, str]:
    found = all_above(contrasts, quantity="difference", interval="95%")
    return found.outcome, found.estimate, found.words


def test_by_t_is_scipys_test_and_interval() -> None:
    values = np.random.default_rng(0).normal(0.3, 1, 7)
    found, expected = by_t("x", values), stats.ttest_1samp(values, 0)
    interval = expected.confidence_interval(0.95)
    assert (found.estimate, found.p) == pytest.approx((values.mean(), expected.pvalue))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_by_t_of_one_value_or_of_equal_ones() -> None:
    assert math.isnan(by_t("x", [0.3]).p)
    assert math.isnan(by_t("x", [0.3]).low)
    for values in ([0.3, 0.3], [0.1 + 0.2, 0.3], [0.3] * 6, [0.0, 0.0]):
        same = by_t("x", values)
        assert np.isnan([same.low, same.high]).all()
        sign = stats.binomtest(len(values) if values[0] else 0, len(values)).pvalue
        assert same.p == (pytest.approx(sign) if values[0] else 1.0)


def test_contrasts_that_must_all_hold_need_no_adjustment() -> None:
    good = contrast("a", 0.2, 0.03), contrast("b", 0.1, 0.04)
    assert verdict(*good) == ("reproduced", 0.1, "Holds: a, b.")


def test_one_that_contradicts_is_adjusted_for_all_of_them() -> None:
    # .03 adjusted for two: .06
    found = verdict(contrast("a", -0.2, 0.03), contrast("b", 0.1, 0.4))
    assert found == ("not distinguishable", -0.2, "Not clear: a, b.")
    part = verdict(contrast("a", 0.2, 0.03), contrast("b", 0.1, 0.4))
    assert part == ("not distinguishable", 0.1, "Not clear: a, b.")


def test_one_clear_opposite_contradicts() -> None:
    found = verdict(contrast("a", 0.2, 0.001), contrast("b", -0.1, 0.001))
    assert found == ("contradicted", -0.1, "Holds: a; the opposite holds: b.")


def test_what_was_not_tested_is_not_clear() -> None:
    found = verdict(contrast("a", 0.2, 0.001), contrast("b", 0.5, math.nan))
    assert found == ("not distinguishable", 0.2, "Holds: a; not clear: b.")
