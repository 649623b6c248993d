"""What a search saves and loses that ends by `search.stop.gain`, on the recorded table.

    python -m tests.benchmarks.stop_gain --searches 60

Each search has 4 virtual workers and as many samples as `FULL` full trainings, without a race. The
rule is asked after each finished trial, as in `normsearch run`; where it would have ended the
search, the trials that had begun by then are its result. Both are judged by the training seeds that
the search was not served.
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import numpy as np
import pandas as pd

from normsearch.benchmark.replicates import Replicates
from normsearch.benchmark.simulated_executor import OptunaMethod, Outcome, replay
from normsearch.benchmark.table import Table, load_table, table_space
from normsearch.config import SearchConfig
from normsearch.config.budget import StopConfig
from normsearch.samplers.expected_gain import expected_gain
from normsearch.storage.trial_states import completed, is_repeat

TITLE = "search.stop.gain: full trainings spent, and regret (Dice) by seeds that were not served"
GAINS = (0.005, 0.003, 0.002, 0.001)
FULL, WORKERS, FIRST_SEED = 50, 4, 3000
AFTER = StopConfig(gain=1e-3).after


class Watched(OptunaMethod):
    """A search that notes how many trials had begun where each of `GAINS` would have ended it."""

    def __init__(self, *about: Any) -> None:
        super().__init__(*about)
        self.begun: dict[float, int] = {}

    def finish(self, number: int, outcome: Outcome, step: int, score: float) -> bool:
        """Finish the trial, then ask the rule."""
        counts = super().finish(number, outcome, step, score)
        trials = self.study.get_trials(deepcopy=False)
        own = [trial for trial in trials if not is_repeat(trial)]
        enough = sum(trial.state.is_finished() for trial in own) >= AFTER
        if enough and len(self.begun) < len(GAINS):
            gain = expected_gain(own)
            for limit in GAINS:
                if gain is not None and gain < limit:
                    self.begun.setdefault(limit, sum(bool(trial.params) for trial in trials))
        return counts


def measure(searches: int = 50, table: Table | None = None) -> pd.DataFrame:
    """Return one row a threshold: trainings and regret, and both less those of going on.

    The table is sunnybrook's, with all its seeds, if None.
    """
    table, rows = table or load_table(), []
    for seed in range(FIRST_SEED, FIRST_SEED + searches):
        method = Watched(table_space(), SearchConfig(seed=seed), table.samples)
        replay(table, method, workers=WORKERS, samples=FULL * table.samples[-1], seed=seed)
        rows += [(math.nan, *_result(table, method, seed, None))]
        rows += [(gain, *_result(table, method, seed, method.begun.get(gain))) for gain in GAINS]
    frame = pd.DataFrame(rows, columns=["gain", "trainings", "regret"])
    whole = frame[frame["gain"].isna()]
    found = [("to the end", whole["trainings"].mean(), whole["regret"].mean(), 0.0, "")]
    for gain in GAINS:
        own = frame[frame["gain"] == gain]
        lost = own["regret"].to_numpy() - whole["regret"].to_numpy()
        half = 1.96 * lost.std(ddof=1) / np.sqrt(len(lost))
        saved = whole["trainings"].mean() - own["trainings"].mean()
        told = f"{lost.mean():.4f} ± {half:.4f}"
        found.append((f"{gain:g}", own["trainings"].mean(), own["regret"].mean(), saved, told))
    columns = ["stop.gain", "trainings", "regret", "saved", "regret less that of going on"]
    return pd.DataFrame(found, columns=columns).round({"trainings": 1, "saved": 1, "regret": 4})


def _result(table: Table, method: Watched, seed: int, begun: int | None) -> tuple[float, float]:
    """Return full trainings spent and regret of the first `begun` trials, of all if None."""
    trials = method.study.get_trials(deepcopy=False)[:begun]
    judges, spent = Replicates(table, seed), 0
    started = [trial for trial in trials if "norm_map" in trial.user_attrs]
    served = [trial for trial in started if not is_repeat(trial)]
    for trial in served:
        judges.draw(_row(table, method, trial.user_attrs["norm_map"]))
        spent += table.samples[max(trial.intermediate_values, default=1) - 1]
    best = max(completed(served), key=lambda trial: trial.value or 0.0)
    regret = judges.regret(_row(table, method, best.user_attrs["norm_map"]))
    return spent / table.samples[-1], regret


def _row(table: Table, method: Watched, norm_map: dict[str, str]) -> int:
    return table.row[tuple(norm_map[slot] for slot in method.slots)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--searches", type=int, default=50)
    print(f"{TITLE}\n{measure(parser.parse_args().searches).to_string(index=False)}")
