"""Every published verdict computed again from its result file, with numpy and scipy alone."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

ROOT = Path(__file__).resolve().parents[2]
RESULTS = sorted((ROOT / "analysis" / "results").glob("*-*.json"))


def interval(contrast: dict[str, Any], comparisons: int) -> tuple[float, float]:
    values = np.array(contrast["values"], float)
    if contrast["exact"]:
        return float(values[0]), float(values[0])
    if values.ndim == 1:
        found = stats.ttest_1samp(values, 0).confidence_interval(1 - 0.05 / comparisons)
        bounds = (-1, 1) if contrast["unit"] == "rank correlation" else (-np.inf, np.inf)
        return max(float(found.low), bounds[0]), min(float(found.high), bounds[1])
    seeds, cases = values.shape
    v_seeds = values.mean(axis=1).var(ddof=1) / seeds
    v_cases = values.mean(axis=0).var(ddof=1) / cases
    welch = (v_seeds + v_cases) ** 2 / (v_seeds**2 / (seeds - 1) + v_cases**2 / (cases - 1))
    quantile = stats.t.ppf(1 - 0.05 / comparisons / 2, min(welch, 3 * (seeds - 1)))
    reach = quantile * math.sqrt(v_seeds + v_cases)
    return values.mean() - reach, values.mean() + reach


def outcome(contrast: dict[str, Any], low: float, high: float) -> str:
    margin = contrast["margin"] or 0
    inside = -margin < low and high < margin
    if contrast["claim"] == "above":
        if low > 0:
            return "reproduced"
        return "contradicted" if high < 0 else "equivalent" if inside else "not distinguishable"
    if inside:
        return "reproduced"
    outside = low > margin or high < -margin
    return "contradicted" if outside else "not distinguishable"


@pytest.mark.parametrize("path", RESULTS, ids=[path.stem for path in RESULTS])
def test_the_verdict_is_what_the_intervals_exclude(path: Path) -> None:
    result = json.loads(path.read_text())
    found = []
    for contrast in result["contrasts"]:
        low, high = interval(contrast, len(result["contrasts"]))
        assert (contrast["low"], contrast["high"]) == pytest.approx((low, high), rel=1e-4, abs=1e-6)
        found.append(outcome(contrast, low, high))
        assert contrast["outcome"] == found[-1]
    order = ("contradicted", "not distinguishable", "equivalent", "reproduced")
    assert result["verdict"] == next(one for one in order if one in found)


@pytest.mark.parametrize("path", RESULTS, ids=[path.stem for path in RESULTS])
def test_a_result_was_registered_before_it_was_found(path: Path) -> None:
    result = json.loads(path.read_text())
    page = ROOT / "studies" / "findings" / f"{result['experiment']}.py"
    assert hashlib.sha256(page.read_bytes()).hexdigest() == result["sha256"]
    if not (ROOT / ".git").exists():
        return  # a copy without its history
    registered, published = committed(page), committed(path)
    if registered and published:  # committed, and not a shallow clone
        assert registered <= published


def committed(path: Path) -> int | None:
    """The time of the last commit of a file."""
    done = subprocess.run(
        ["git", "log", "-1", "--format=%ct", "--", str(path.relative_to(ROOT))],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(done.stdout) if done.stdout.strip() else None
