"""Which trials are tested, and that one figure in twenty at most marks what does not matter."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from normsearch.analysis.cooccurrence import compute as cooccurrence
from normsearch.analysis.layer_preference import compute as layer_preference
from normsearch.analysis.uniform import drawn_uniformly, family_p, said_of_draws
from tests.analysis.fake_study import FakeStudy, tiny
from tests.benchmarks.null_searches import search

SLOTS = ["a.norm", "b.norm"]
STUDIES = 30


def study(drawn: list[str | None], **config: object) -> FakeStudy:
    rows = [{"drawn": how, "score": 0.5, "norm.a.norm": "BN", "norm.b.norm": "BN"} for how in drawn]
    return tiny(rows, SLOTS, config=config)


def test_only_trials_that_were_drawn_uniformly_count() -> None:
    found = study(["uniform", "adaptive", "given", "uniform", "grid", "grid"])
    expected = [True, False, False, True, False, False]
    assert drawn_uniformly(found, found.trials()).tolist() == expected


def test_a_whole_grid_counts_and_a_part_of_one_does_not() -> None:
    rows = [{"drawn": "grid", "norm.a.norm": a, "norm.b.norm": b, "score": 0.5}
            for a in ("BN", "IN") for b in ("BN", "IN", "LN")]  # fmt: skip
    whole, part = tiny(rows, SLOTS), tiny(rows[:-1], SLOTS)
    assert drawn_uniformly(whole, whole.trials()).all()
    assert not drawn_uniformly(part, part.trials()).any()


@pytest.mark.parametrize(
    ("search", "counts"),
    [
        ({"sampler": "random"}, True),
        ({"sampler": "random", "points": [{"norm": "BN"}]}, False),
        ({"sampler": "gp"}, False),
        ({}, False),
    ],
)
def test_of_an_older_record_those_of_random_search_count(
    search: dict[str, object], counts: bool
) -> None:
    found = study([None, None], search=search)
    assert drawn_uniformly(found, found.trials()).tolist() == [counts, counts]


def test_p_values_are_adjusted_for_all_statistics_at_once() -> None:
    random = np.random.default_rng(0)
    shuffled = random.normal(0, [1.0, 10.0, 0.0], (999, 3))
    p = family_p(np.array([4.5, 20.0, 0.0]), shuffled)
    alone = 2 * stats.norm.sf(2.0)
    assert p[0] < 0.01
    assert p[1] == pytest.approx(1 - (1 - alone) ** 2, abs=0.03)  # the larger of two that vary
    assert p[2] == 1


def test_what_is_not_tested_is_called_descriptive() -> None:
    assert said_of_draws(20, 30) == ""
    assert said_of_draws(12, 12) == "Descriptive: 12 trials are too few to test."
    assert said_of_draws(5, 80).startswith("Descriptive: trials were chosen adaptively (5 of 80")


@pytest.mark.parametrize(("sampler", "startup", "trials"), [("random", None, 60), ("gp", 25, 40)])
def test_where_no_slot_matters_one_figure_in_twenty_has_a_dot(
    sampler: str, startup: int | None, trials: int
) -> None:
    found = [search(sampler, trials, seed, startup=startup) for seed in range(STUDIES)]
    most = stats.binom.ppf(0.99, STUDIES, 0.05)
    for compute in (layer_preference, cooccurrence):
        tables = [compute(one) for one in found]
        assert all((table["uniform"] >= 20).all() for table in tables)
        assert sum(table["beyond_noise"].any() for table in tables) <= most


def test_of_an_adaptive_search_nothing_is_marked() -> None:
    found = search("gp", 60, 0)
    assert found.trials()["drawn"].value_counts()["adaptive"] > 40
    for compute in (layer_preference, cooccurrence):
        table: pd.DataFrame = compute(found)
        assert not table["beyond_noise"].any()
        assert (table["uniform"] < 20).all()
