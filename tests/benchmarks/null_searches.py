"""Searches in a world where no slot matters, and whether their figures mark any choice."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from normsearch.analysis import cooccurrence, importance, layer_preference
from normsearch.benchmark.simulated_executor import OptunaMethod, replay
from normsearch.benchmark.table import Table, load_table, table_space
from normsearch.config import SearchConfig
from normsearch.space.layered import Space
from normsearch.storage.trial_states import outcome

WORKERS, PRUNER = 4, "successive_halving"


@dataclass
class Simulated:
    """A simulated search as figures see a study record."""

    method: OptunaMethod
    slots: list[str]
    name: str = "simulated"
    metric: str = "Dice"
    case_metric: str = "Dice"
    direction: str = "maximize"
    folder: Path = Path("simulated")
    best: int | None = None
    config: dict[str, Any] = field(default_factory=dict)

    def trials(self) -> pd.DataFrame:
        """One row a trial, as `StudyRecord.trials` has it."""
        return pd.DataFrame([
            {
                "number": trial.number,
                "state": outcome(trial),
                "score": trial.value if outcome(trial) == "COMPLETE" else None,
                "last_score": trial.intermediate_values.get(trial.last_step or 0),
                "baseline": trial.user_attrs.get("baseline"),
                "single_norm": trial.user_attrs.get("single_norm"),
                "drawn": trial.user_attrs.get("drawn"),
                **{f"norm.{slot}": n for slot, n in trial.user_attrs["norm_map"].items()},
            }
            for trial in self.method.study.trials
            if "norm_map" in trial.user_attrs
        ])  # fmt: skip

    def history(self) -> pd.DataFrame:
        """One row an evaluation: number, evaluation, score."""
        rows = [
            (trial.number, step, value)
            for trial in self.method.study.trials
            for step, value in trial.intermediate_values.items()
        ]
        return pd.DataFrame(rows, columns=["number", "evaluation", "score"])

    def norm_map(self, number: int) -> dict[str, str]:
        """Slot -> norm of one trial."""
        found: dict[str, str] = self.method.study.trials[number].user_attrs["norm_map"]
        return found

    def learnt(self, number: int) -> dict[str, Any]:
        """Nothing is learnt here."""
        return {}

    def learnt_history(self, number: int) -> pd.DataFrame:
        """Nothing is learnt here."""
        return pd.DataFrame()

    def cases(self) -> pd.DataFrame:
        """There are no cases here."""
        return pd.DataFrame()


@cache
def _recorded() -> tuple[Table, Space]:
    """The recorded table of one training a norm map, and its space."""
    return load_table(seeds=(0,)), table_space()


def noise_table(seed: int) -> Table:
    """Return the recorded table with scores that no norm touches, noisy as trainings are."""
    table, _ = _recorded()
    random = np.random.default_rng(seed)
    shape = table.score.shape[1:]
    points = np.arange(1, shape[1] + 1)
    final = random.normal(0.8, 0.02, (len(table.choices), 1))
    curves = final * (1 - 0.5 * np.exp(-0.6 * points)) + random.normal(0, 0.01, shape)
    curves[:, -1] = final[:, 0]
    seconds = np.broadcast_to(points.astype(float), curves.shape)
    seconds = seconds * random.uniform(0.9, 1.1, (len(table.choices), 1))
    return Table(table.choices, curves[None], seconds[None], table.samples, (0,), table.provenance)


def search(
    sampler: str,
    trials: int,
    seed: int,
    *,
    startup: int | None = None,
    pruner: str = "successive_halving",
) -> Simulated:
    """Run a search on `noise_table`; `startup` is the sampler's own."""
    table, space = noise_table(seed), _recorded()[1]
    config = SearchConfig.model_validate({
        "trials": trials, "sampler": sampler, "seed": seed, "pruner": {"name": pruner},
        "sampler_arguments": {} if startup is None else {"startup": startup},
    })  # fmt: skip
    method = OptunaMethod(space, config, table.samples)
    replay(table, method, workers=WORKERS, trials=trials)
    return Simulated(method, [unit.slots[0].name for unit in space.units])


def marked(
    sampler: str,
    trials: int,
    seed: int,
    *,
    startup: int | None = None,
    pruner: str = "successive_halving",
) -> dict[str, bool]:
    """Return for each figure of a search whether it marks any slot's choice."""
    study = search(sampler, trials, seed, startup=startup, pruner=pruner)
    return {
        "layer_preference": bool(layer_preference.compute(study)["beyond_noise"].any()),
        "cooccurrence": bool(cooccurrence.compute(study)["beyond_noise"].any()),
        "importance": bool(importance.compute(study, shuffles=19)["beyond_noise"].any()),
    }
