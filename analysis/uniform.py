"""Which trials of a search can be tested, and tests of many cells of a figure at once.

A sampler that learns repeats what did well, so its trials are neither independent nor exchangeable:
where no choice matters, shuffling their scores still calls a sixth of a figure's cells different.
Tests here look only at trials that were drawn uniformly, whatever others scored. Among these the
choices of a slot that does not matter are as good as shuffled, whether trials were pruned or not.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd

from normsearch.analysis import StudyLike

#: With fewer trials that were drawn uniformly nothing is tested.
LEAST_UNIFORM = 20
#: Chance of any mark at all in a figure of choices that do not matter.
LEVEL = 0.05

Array = npt.NDArray[np.float64]


def drawn_uniformly(study: StudyLike, table: pd.DataFrame) -> pd.Series:
    """Return which of these trials were drawn uniformly, or are a whole grid.

    Args:
        study: of the trials. One that did not record how its trials were drawn counts if its
            sampler is ``random`` and it was given no points.
        table: rows of `StudyLike.trials`.
    """
    drawn = table["drawn"] if "drawn" in table else pd.Series(None, table.index, object)
    if not table.empty and drawn.isna().all():
        search = study.config.get("search") or {}
        random = search.get("sampler") == "random" and not search.get("points")
        return pd.Series(random, table.index) & table["baseline"].isna()
    grid = drawn == "grid"
    return (drawn == "uniform") | (grid & _whole(table[grid], study))


def _whole(table: pd.DataFrame, study: StudyLike) -> bool:
    """Whether the trials are all combinations of their choices, each once."""
    names = [*(f"norm.{slot}" for slot in study.slots), "learning_rate", "batch_size"]
    chosen = table[[name for name in names if name in table]]
    size = math.prod(max(chosen[name].nunique(), 1) for name in chosen)
    return len(table) == size == len(chosen.drop_duplicates())


def family_p(observed: Array, shuffled: Array) -> Array:
    """Return p-values of many statistics at once, adjusted for their number.

    Westfall and Young's single step: of each statistic's distance from its mean over shuffles, in
    its standard deviations, the largest of a shuffle is what a distance is compared with. So any
    p-value at all lies below .05 in at most 5% of studies where nothing matters.

    Args:
        observed: (statistics,).
        shuffled: (shuffles, statistics), of shuffled data.
    """
    every = np.vstack([observed, shuffled])
    spread = every.std(axis=0)
    away = np.abs(every - every.mean(axis=0))
    distance = np.divide(away, spread, out=np.zeros_like(away), where=spread > 0)
    largest = distance.max(axis=1)
    found: Array = (largest[:, None] >= distance[0] - 1e-9).mean(axis=0)
    return found


def said_of_draws(uniform: int, trials: int) -> str:
    """Return why a figure is not tested, "" where it is."""
    if uniform >= LEAST_UNIFORM:
        return ""
    if uniform == trials:
        return f"Descriptive: {trials} trials are too few to test."
    return (
        f"Descriptive: trials were chosen adaptively ({uniform} of {trials} drawn uniformly; a "
        f"test takes {LEAST_UNIFORM}), so nothing here is evidence of an effect."
    )
