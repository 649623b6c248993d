"""A run of two arms and two seeds, made up."""

from __future__ import annotations

import pandas as pd


class FakeRecord:
    """As much of a StudyRecord as is measured; training `failed` diverged."""

    name = "fake"
    slots = ("first", "second")

    def __init__(self, failed: int | None = None) -> None:
        self.failed = failed

    def trials(self) -> pd.DataFrame:
        rows = [
            {"number": n, "state": "FAIL" if n == self.failed else "COMPLETE", "arm": arm,
             "seed": seed, "fold": None, "score": None if n == self.failed else 0.75,
             "seconds": 1.0, "samples": 16, "steps": 8, "parameters": 10}
            for n, (arm, seed) in enumerate(
                [("BN, 2", 5), ("BN, 2", 6), ("IN, 2", 5), ("IN, 2", 6)])
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def history(self) -> pd.DataFrame:
        rows = [(n, e, 1.0 / e) for n in range(4) for e in (1, 2)]
        return pd.DataFrame(rows, columns=["number", "evaluation", "loss"])

    def cases(self) -> pd.DataFrame:
        done = [n for n in range(4) if n != self.failed]
        rows = [(n, case, score) for n in done for case, score in (("a", 0.7), ("b", 0.8))]
        return pd.DataFrame(rows, columns=["number", "case", "score"])

    def learnt_history(self, number: int) -> pd.DataFrame:
        rows = [
            (e, 8 * e, "second", "gate", branch, weight)
            for e, weights in ((1, (0.6, 0.4)), (2, (0.9, 0.1)))
            for branch, weight in zip(("IN", "LN"), weights, strict=True)
        ]
        columns = ["evaluation", "samples", "slot", "statistic", "branch", "weight"]
        return pd.DataFrame(rows, columns=columns)
