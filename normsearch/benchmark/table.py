"""A recorded search space: 1,296 norm maps of a small U-Net with their learning curves.

Every combination of six norms in the four stages of a U-Net was trained once on sunnybrook, so that
a search method can be replayed in seconds (`normsearch.benchmark.simulated_executor`).
``tests/benchmarks/record_table.py`` recorded it; `Table.provenance` has the settings.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from normsearch.config import SpaceConfig
from normsearch.errors import DataError
from normsearch.files.json_file import parse_json
from normsearch.networks import build_network, list_norms
from normsearch.space.layered import Space

STAGES = ("level1", "level2", "level3", "level4")
NORMS = ("none", "BN", "GN-2", "IN", "LN", "SN")
FIRST_CHANNELS, DEPTH = 4, 3
_FILE = "table.csv.gz"


@dataclass(frozen=True, eq=False)
class Table:
    """Learning curves by norm map.

    Attributes:
        choices: for each row a tuple of norm specs, one per stage.
        score: float64, (rows, evaluations), Dice, 0 to 1; NaN after a training failed.
        seconds: float64, (rows, evaluations), CPU seconds since the training began; NaN likewise.
        samples: samples seen at each evaluation point.
        provenance: settings, versions and date of the recording.
    """

    choices: tuple[tuple[str, ...], ...]
    score: npt.NDArray[np.float64]
    seconds: npt.NDArray[np.float64]
    samples: tuple[int, ...]
    provenance: Mapping[str, Any]

    @cached_property
    def row(self) -> dict[tuple[str, ...], int]:
        """The row of each choice."""
        return {choice: number for number, choice in enumerate(self.choices)}

    @cached_property
    def final(self) -> npt.NDArray[np.float64]:
        """The score at the full budget, (rows,); 0 if the training failed."""
        return np.nan_to_num(self.score[:, -1])


def load_table(path: Path | None = None) -> Table:
    """Read the table at `path`, or the one that ships with the package.

    Raises:
        DataError: the file is not a valid table.
    """
    source = path or files("normsearch.benchmark").joinpath(_FILE)
    try:
        first, _, rest = gzip.decompress(source.read_bytes()).decode().partition("\n")
        provenance = parse_json(first)
        frame = pd.read_csv(io.StringIO(rest), dtype=dict.fromkeys(STAGES, str), na_filter=True,
                            keep_default_na=False, na_values=[""])  # fmt: skip
        return Table(
            tuple(frame[list(STAGES)].itertuples(index=False, name=None)),
            frame.filter(like="score").to_numpy(np.float64),
            frame.filter(like="seconds").to_numpy(np.float64),
            tuple(provenance["samples"]),
            provenance,
        )
    except (OSError, EOFError, zlib.error, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{source}: must be a table of recorded trainings: {error}") from error


def save_table(table: Table, path: Path) -> None:
    """Write `table` as one line of JSON and CSV, gzipped; equal tables give equal bytes."""
    frame = pd.DataFrame(table.choices, columns=list(STAGES))
    for name, curves in (("score", table.score), ("seconds", table.seconds)):
        for point, column in enumerate(curves.T, start=1):
            frame[f"{name}{point}"] = column
    provenance = {**table.provenance, "samples": table.samples}
    text = json.dumps(provenance) + "\n" + frame.to_csv(index=False, lineterminator="\n")
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def table_space() -> Space:
    """Return the space of the shipped table: one of six norms for each stage."""
    config = SpaceConfig.model_validate(
        {
            "norm": {"per": "stage", "choices": NORMS},
            "learning_rate": 0.3,
            "batch_size": 8,
        }
    )
    network = build_network("unet2d", first_channels=FIRST_CHANNELS, depth=DEPTH)
    return Space(config, list_norms(network), "the recorded table: ")
