"""A thousand virtual workers and the driver's real work: does the driver keep them busy?

    python -m tests.benchmarks.search_scale --workers 1000 --trials 10000

A trial chooses norms for the 22 slots of the paper's U-Net, a learning rate and a batch size; its
curve is that of a row of the recorded table which the choice's hash picks, stretched so that a
full training lasts `MINUTES` on average. The clock counts the driver's own CPU time.
"""

from __future__ import annotations

import argparse
import time
import zlib

import numpy as np
import pandas as pd

from normsearch.benchmark.simulated_executor import OptunaMethod, replay
from normsearch.benchmark.table import Table, load_table
from normsearch.config import SearchConfig, SpaceConfig
from normsearch.networks import build_network, list_norms
from normsearch.space.layered import Space

TITLE = "Virtual workers: their utilisation, and CPU time of the driver"
NORMS = ["none", "BN", "IN", "LN", "GN-4", "GN-8", "SN"]
MINUTES = 10.0


def unet_space() -> Space:
    """Return the space of the 22-slot U-Net: 7 norms a slot, learning rate, batch size."""
    config = {
        "norm": {"per": "layer", "choices": NORMS},
        "learning_rate": {"low": 0.003, "high": 0.3},
        "batch_size": [1, 2, 4, 8],
    }
    slots = list_norms(build_network("unet2d"))
    return Space(SpaceConfig.model_validate(config), slots, "scale: ")


class Hashed(OptunaMethod):
    """Trials of any space, each on a row of the table."""

    def __init__(self, table: Table, space: Space, search: SearchConfig) -> None:
        super().__init__(space, search, table.samples)
        self._rows = table.choices

    def ask(self) -> tuple[int, tuple[str, ...]] | None:
        """Return a new trial's number and the choice of its row."""
        asked = super().ask()
        if asked is None:
            return None
        number, norms = asked
        rate = self.coordinator.chosen(number)["learning_rate"]
        return number, self._rows[zlib.crc32(f"{norms} {rate}".encode()) % len(self._rows)]


def measure(
    workers: int = 100, trials: int = 600, samplers: tuple[str, ...] = ("gp", "random")
) -> pd.DataFrame:
    """Return one row a sampler: utilisation, virtual hours, the driver's CPU time."""
    table, space, rows = load_table(seeds=(0,)), unet_space(), []
    slowdown = MINUTES * 60 / float(np.nanmean(table.seconds[:, :, -1]))
    for sampler in samplers:
        method = Hashed(table, space, SearchConfig(sampler=sampler))
        done = replay(
            table, method, workers=workers, trials=trials, slowdown=slowdown,
            clock=time.process_time,
        )  # fmt: skip
        cost = 1000 * done.driver_seconds / trials
        hours = done.seconds / 3600
        rows.append((sampler, workers, trials, done.utilisation, hours, done.driver_seconds, cost))
    columns = ["sampler", "workers", "trials", "utilisation", "virtual hours", "driver CPU s"]
    return pd.DataFrame(rows, columns=[*columns, "driver CPU ms a trial"]).round(3)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--samplers", nargs="+", default=["gp", "tpe", "random"])
    given = parser.parse_args()
    table = measure(given.workers, given.trials, tuple(given.samplers))
    print(f"{TITLE}\n{table.to_string(index=False)}")
