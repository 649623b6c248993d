"""What finished runs measured, as the judges read it."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from normsearch.errors import StudyError
from normsearch.findings.measurements import measure, per_seed, select

FACTORS = {"a": {"norm": "GN-4", "batch_size": 2}, "b": {"norm": "IN", "batch_size": 2}}


class Record:
    """Stands in for a StudyRecord: arm b of seed 1 diverged."""

    slots = ("enc1", "enc2")

    def trials(self) -> pd.DataFrame:
        rows = [
            (number, "FAIL" if (arm, seed) == ("b", 1) else "COMPLETE", arm, seed)
            for number, (seed, arm) in enumerate([(0, "a"), (0, "b"), (1, "a"), (1, "b")])
        ]
        table = pd.DataFrame(rows, columns=["number", "state", "arm", "seed"])
        score = [0.8, 0.9, 0.7, None]
        return table.assign(fold=None, score=score, seconds=1.0, parameters=10)

    def history(self) -> pd.DataFrame:
        rows = [(n, e, 8 * e, 1.0 * e, 0.5 / e, 0.5) for n in range(3) for e in (1, 2)]
        columns = ["number", "evaluation", "samples", "seconds", "loss", "score"]
        return pd.DataFrame(rows, columns=columns)

    def cases(self) -> pd.DataFrame:
        rows = [(n, case, 0.8) for n in range(3) for case in ("x", "y")]
        return pd.DataFrame(rows, columns=["number", "case", "score"])

    def learnt_history(self, number: int) -> pd.DataFrame:
        rows = [(e, 8 * e, slot, "gate", "IN", 0.5 + e / 10) for e in (1, 2) for slot in self.slots]
        columns = ["evaluation", "samples", "slot", "statistic", "branch", "weight"]
        return pd.DataFrame(rows if number == 1 else [], columns=columns)


def test_tables_have_labels_factors_and_the_last_values() -> None:
    found = measure([(Record(), FACTORS, None)])
    assert list(found.trials["groups"]) == [4, math.inf, 4, math.inf]
    assert list(found.trials["batch_size"]) == [2, 2, 2, 2]
    assert found.trials["loss"].tolist()[:3] == [0.25, 0.25, 0.25]
    assert found.diverged == 1
    assert len(found.curves) == 6
    assert found.learnt["weight"].tolist() == pytest.approx([0.7, 0.7])
    assert found.learnt["depth"].tolist() == [0, 1]
    assert set(found.learnt["norm"]) == {"IN"}


def test_a_diverged_training_scores_0_on_every_case() -> None:
    cases = measure([(Record(), FACTORS, None)]).cases
    failed = cases[(cases["arm"] == "b") & (cases["seed"] == 1)]
    assert failed["case"].tolist() == ["x", "y"]
    assert failed["score"].tolist() == [0.0, 0.0]
    assert set(failed["norm"]) == {"IN"}
    assert len(cases) == 8


def test_runs_of_several_folds_become_one_table() -> None:
    found = measure([(Record(), FACTORS, "1"), (Record(), FACTORS, "2")])
    assert len(found.trials) == 8
    assert set(found.cases["fold"]) == {"1", "2"}
    assert len(found.cases) == 16
    assert found.trials["number"].tolist() == list(range(8))
    assert found.curves["number"].nunique() == 6


def test_select_and_per_seed() -> None:
    trials = measure([(Record(), FACTORS, None)]).trials
    table = per_seed(select(trials, {"norm": ["GN-4"]}), "score", ["norm"])
    assert table["GN-4"].tolist() == [0.8, 0.7]
    with pytest.raises(StudyError, match="must leave a training"):
        select(trials, {"norm": "BN"})
