"""A study record without a study: the interface of `StudyRecord` over seeded, made-up numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

NORMS = ["none", "BN", "IN", "LN", "GN-4", "GN-8", "GN-16", "BIN", "ILN", "SN"]
SLOTS = [
    *(f"enc{level}.conv{i}.norm" for level in (1, 2, 3, 4) for i in (1, 2)),
    "bottom.conv1.norm",
    "bottom.conv2.norm",
    *(f"dec{level}.{part}.norm" for level in (4, 3, 2, 1) for part in ("up", "conv1", "conv2")),
]
BUDGET = 20_000
EVALUATIONS = 10

Learnt = dict[str, dict[str, dict[str, float]]]


@dataclass
class FakeStudy:
    """Tables given by hand, served as a study record serves its own."""

    table: pd.DataFrame
    slots: list[str]
    folder: Path = Path("runs/fake")
    name: str = "fake"
    points: pd.DataFrame = field(default_factory=pd.DataFrame)
    learnt_by_trial: dict[int, Learnt] = field(default_factory=dict)
    learnt_points: dict[int, pd.DataFrame] = field(default_factory=dict)
    scores: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=["number", "arm", "seed", "case", "score"])
    )
    config: dict[str, Any] = field(default_factory=lambda: {"training": {"samples": BUDGET}})
    direction: str = "maximize"
    metric: str = "Dice"
    case_metric: str = "Dice"
    of_class: int | None = None
    bounds: tuple[float, float] = (0.0, 1.0)

    def trials(self) -> pd.DataFrame:
        """One row a trial."""
        return self.table.copy()

    def history(self) -> pd.DataFrame:
        """One row for each evaluation point of each trial."""
        return self.points.copy()

    @property
    def best(self) -> int | None:
        """Number of the best COMPLETE trial."""
        if self.table.empty:
            return None
        done = self.table[self.table["state"] == "COMPLETE"]
        return None if done.empty else int(done.loc[done["score"].idxmax(), "number"])

    def ranked(self) -> list[int]:
        """Numbers of the COMPLETE trials that may be the best, the best first."""
        done = self.table[self.table["state"] == "COMPLETE"]
        best_first = done.sort_values("score", ascending=self.direction == "minimize")
        return [int(number) for number in best_first["number"]]

    def raced(self) -> bool:
        """No race."""
        return False

    def norm_map(self, number: int) -> dict[str, str]:
        """Slot -> spec of a trial."""
        row = self.table[self.table["number"] == number].iloc[0]
        return {slot: row[f"norm.{slot}"] for slot in self.slots}

    def learnt(self, number: int) -> Learnt:
        """What adaptive norms have learnt."""
        return self.learnt_by_trial.get(number, {})

    def learnt_history(self, number: int) -> pd.DataFrame:
        """What adaptive norms had learnt at each evaluation point."""
        columns = ["evaluation", "samples", "slot", "statistic", "branch", "weight"]
        return self.learnt_points.get(number, pd.DataFrame(columns=columns))

    def cases(self) -> pd.DataFrame:
        """One row for each case of each COMPLETE trial."""
        return self.scores.copy()


def tiny(rows: list[dict[str, Any]], slots: list[str], **given: Any) -> FakeStudy:
    """A study made by hand: each row says only what matters, the rest is filled in."""
    defaults: dict[str, Any] = {
        "state": "COMPLETE", "score": np.nan, "last_score": np.nan, "baseline": None,
        "learning_rate": 1e-3, "batch_size": 2, "samples": 100, "steps": 50, "seconds": 1.0,
        "peak_memory_bytes": 1 << 30, "parameters": 1000, "resumes": 0,
    }  # fmt: skip
    for slot in slots:
        defaults[f"norm.{slot}"] = None
    filled = []
    for number, row in enumerate(rows):
        full = {"number": number, **defaults, **row}
        if full["state"] == "COMPLETE" and np.isnan(full["last_score"]):
            full["last_score"] = full["score"]
        filled.append(full)
    given.setdefault("config", {"training": {"samples": 100}})
    return FakeStudy(pd.DataFrame(filled), slots, **given)


def arms_study(rows: list[dict[str, Any]], **given: Any) -> FakeStudy:
    """A study of arms made by hand: each row needs arm and score; `norm` is its arm's norm.

    The one slot is a.norm. Seeds are counted from 0 within an arm (and fold), if they are not said.
    """
    seen: dict[tuple[Any, ...], int] = {}
    norms = {row["arm"]: row.pop("norm", row["arm"]) for row in [dict(row) for row in rows]}
    filled = []
    for row in rows:
        key = (row["arm"], row.get("fold"))
        seen[key] = seen.get(key, -1) + 1
        full = {"fold": None, "seed": seen[key], "norm.a.norm": norms[row["arm"]], **row}
        full.pop("norm", None)
        filled.append(full)
    arms = [{"name": arm, "norm": {"*": norm}} for arm, norm in norms.items()]
    config = {"training": {"samples": 100}, "task": {}, "space": {"arms": arms}}
    given["config"] = config | given.get("config", {})
    return tiny(filled, ["a.norm"], **given)


def _quality(norms: list[str], rate: float, rng: np.random.Generator) -> float:
    """A made-up final score: IN early, GN-8 late, none is bad, an optimal learning rate."""
    gain = 0.0
    for depth, norm in enumerate(norms):
        early = depth < len(norms) / 2
        gain += {"none": -0.009, "IN": 0.008 if early else -0.006, "LN": -0.002}.get(norm, 0.0)
        gain += (-0.004 if early else 0.007) if norm == "GN-8" else 0.0
    return float(0.86 + gain - 0.02 * (np.log10(rate) + 3) ** 2 + rng.normal(0, 0.008))


def _learnt(norms: list[str], rng: np.random.Generator) -> Learnt:
    """Softmax weights for the slots with SN; deeper slots lean on LN, some barely move."""
    out: Learnt = {}
    for depth, (slot, norm) in enumerate(zip(SLOTS, norms, strict=True)):
        if norm != "SN":
            continue
        out[slot] = {}
        for statistic in ("mean", "variance"):
            lean = np.array([1 - depth / 11, depth / 14, 0.4]) * (0.05 if depth % 7 == 3 else 1.0)
            weight = np.exp(lean + rng.normal(0, 0.03, 3))
            values = (weight / weight.sum()).tolist()
            out[slot][statistic] = dict(zip(("IN", "LN", "BN"), values, strict=True))
    return out


def fake_study(trials: int = 40, seed: int = 0, **given: Any) -> FakeStudy:
    """40 trials over 22 slots: 7 baselines first, about half pruned, one failed, one running."""
    rng = np.random.default_rng(seed)
    rows, points, learnt = [], [], {}
    baselines = ["BN", "IN", "LN", "GN-8", "GN-16", "SN", "none"]
    for number in range(trials):
        baseline = baselines[number] if number < len(baselines) else None
        norms = [baseline or str(rng.choice(NORMS)) for _ in SLOTS]
        if baseline is None and rng.random() < number / trials:  # a sampler that learns
            liked = ["IN" if depth < len(SLOTS) / 2 else "GN-8" for depth in range(len(SLOTS))]
            norms = [a if rng.random() < 0.4 else b for a, b in zip(liked, norms, strict=True)]
        rate = float(10 ** rng.uniform(-4, -2))
        final = _quality(norms, rate, rng)
        pruned = baseline is None and (final < 0.845 or rng.random() < 0.3)
        seen = int(rng.integers(2, 7)) if pruned else EVALUATIONS
        state = "PRUNED" if pruned else "COMPLETE"
        if number in (trials - 1, 20):
            state, seen = ("RUNNING", 3) if number == trials - 1 else ("FAIL", 1)
        curve = [
            final * (1 - 0.75 * np.exp(-0.65 * e)) + rng.normal(0, 0.006)
            for e in range(1, seen + 1)
        ]
        batch = int(rng.choice([1, 2, 4, 8]))
        for e, score in enumerate(curve, 1):
            samples = BUDGET * e // EVALUATIONS
            points.append((number, e, samples, samples // batch, 30.0 * e, 1 - score, score))
        samples = BUDGET * seen // EVALUATIONS
        rows.append({
            "number": number, "state": state,
            "score": curve[-1] if state == "COMPLETE" else np.nan, "last_score": curve[-1],
            "baseline": baseline, "learning_rate": rate, "batch_size": batch, "samples": samples,
            "steps": samples // batch, "seconds": 30.0 * seen,
            "peak_memory_bytes": int(batch * 1.3e9), "parameters": 1_940_000, "resumes": 0,
            **{f"norm.{slot}": norm for slot, norm in zip(SLOTS, norms, strict=True)},
        })  # fmt: skip
        if state == "COMPLETE":
            learnt[number] = _learnt(norms, rng)
    columns = ["number", "evaluation", "samples", "steps", "seconds", "loss", "score"]
    given.setdefault("config", {
        "name": "fake", "task": {"dataset": "phantom"}, "network": {"name": "unet", "base": 32},
        "training": {"samples": BUDGET, "evaluations": EVALUATIONS},
        "space": {"norm": {"choices": NORMS}}, "search": {"sampler": "tpe", "trials": trials},
        "versions": {"normsearch": "0.1.0", "torch": "2.13.0", "ray": "2.60.0"},
    })  # fmt: skip
    return FakeStudy(
        pd.DataFrame(rows), SLOTS, points=pd.DataFrame(points, columns=columns),
        learnt_by_trial=learnt, **given,
    )  # fmt: skip
