"""Recorded search spaces: 1,296 norm maps of a small U-Net with their learning curves.

Every combination of six norms in the four stages of a U-Net was trained, so that a search method
can be replayed in seconds (`normsearch.benchmark.simulated_executor`). A file holds one training
seed of one data set. ``tests/benchmarks/record_table.py`` records; `Table.provenance` has the
settings.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from normsearch.config import SpaceConfig
from normsearch.errors import ConfigError, DataError, short
from normsearch.files.json_file import parse_json
from normsearch.networks import build_network, list_norms
from normsearch.space.layered import Space

STAGES = ("level1", "level2", "level3", "level4")
NORMS = ("none", "BN", "GN-2", "IN", "LN", "SN")
FIRST_CHANNELS, DEPTH = 4, 3
_FIRST = "table.csv.gz"  # sunnybrook, seed 0; the others are named by `file_name`
_NAME = re.compile(r"([a-z]+)_seed([0-9]+)\.csv\.gz")


@dataclass(frozen=True, eq=False)
class Table:
    """Learning curves by norm map and training seed.

    Attributes:
        choices: for each row a tuple of norm specs, one per stage.
        score: float64, (seeds, rows, evaluations), Dice, 0 to 1; NaN after a training failed.
        seconds: float64, (seeds, rows, evaluations), CPU seconds since the training began; NaN
            likewise.
        samples: samples seen at each evaluation point.
        seeds: the trainings' seeds, ascending.
        provenance: settings, versions and date of the recording of the first seed.
    """

    choices: tuple[tuple[str, ...], ...]
    score: npt.NDArray[np.float64]
    seconds: npt.NDArray[np.float64]
    samples: tuple[int, ...]
    seeds: tuple[int, ...]
    provenance: Mapping[str, Any]

    @cached_property
    def row(self) -> dict[tuple[str, ...], int]:
        """The row of each choice."""
        return {choice: number for number, choice in enumerate(self.choices)}

    @cached_property
    def finals(self) -> npt.NDArray[np.float64]:
        """The score at the full budget, (seeds, rows); 0 if the training failed."""
        return np.nan_to_num(self.score[:, :, -1])

    @cached_property
    def final(self) -> npt.NDArray[np.float64]:
        """The mean over seeds of the score at the full budget, (rows,)."""
        return np.asarray(self.finals.mean(axis=0))


def file_name(data_set: str, seed: int) -> str:
    """Return the name of the shipped file of one data set and training seed."""
    return _FIRST if (data_set, seed) == ("sunnybrook", 0) else f"{data_set}_seed{seed}.csv.gz"


def shipped_seeds() -> dict[str, tuple[int, ...]]:
    """Return the training seeds of the tables that ship with the package, by data set."""
    found = {"sunnybrook": [0]}
    for file in files("normsearch.benchmark").iterdir():
        if match := _NAME.fullmatch(file.name):
            found.setdefault(match[1], []).append(int(match[2]))
    return {data_set: tuple(sorted(seeds)) for data_set, seeds in found.items()}


def load_table(
    *paths: str | Path, data_set: str | None = None, seeds: Collection[int] | None = None
) -> Table:
    """Read the files at `paths`, or the shipped table of a data set, as one table.

    Args:
        paths: files of the same norm maps, each of another seed.
        data_set: of the shipped table, if no path is given; ``sunnybrook`` if None.
        seeds: the training seeds to read of the shipped table; all if None.

    Raises:
        ConfigError: a path is no path, or `data_set` or `seeds` are given beside one.
        DataError: a file is not a valid table, the files do not belong together, or no table of
            that data set or seed ships with the package.
    """
    for path in paths:
        if not isinstance(path, str | Path):
            raise ConfigError(
                f"load_table: paths must be files of recorded trainings, got {short(path)}; the "
                "shipped tables are chosen by data_set and seeds"
            )
    if paths and (data_set is not None or seeds is not None):
        raise ConfigError(
            "load_table: data_set and seeds choose a shipped table and must be left out where "
            f"paths are given, got {short(data_set)} and {short(seeds)}"
        )
    sources: Sequence[Path | Traversable] = [*map(Path, paths)] or _shipped(
        "sunnybrook" if data_set is None else data_set, seeds
    )
    tables = [(str(source), _read(source)) for source in sources]
    return _joined(sorted(tables, key=lambda pair: pair[1].seeds))


def save_table(table: Table, path: Path) -> None:
    """Write a table of one seed as one line of JSON and CSV, gzipped; equal tables, equal bytes.

    Raises:
        ValueError: the table has several seeds.
    """
    if len(table.seeds) != 1:
        raise ValueError(f"save_table: table must have one seed, got {list(table.seeds)}")
    frame = pd.DataFrame(table.choices, columns=list(STAGES))
    for name, curves in (("score", table.score[0]), ("seconds", table.seconds[0])):
        for point, column in enumerate(curves.T, start=1):
            frame[f"{name}{point}"] = column
    provenance = {**table.provenance, "samples": table.samples, "seed": table.seeds[0]}
    text = json.dumps(provenance) + "\n" + frame.to_csv(index=False, lineterminator="\n")
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def table_space() -> Space:
    """Return the space of the shipped tables: one of six norms for each stage."""
    config = SpaceConfig.model_validate(
        {
            "norm": {"per": "stage", "choices": NORMS},
            "learning_rate": 0.3,
            "batch_size": 8,
        }
    )
    network = build_network("unet2d", first_channels=FIRST_CHANNELS, depth=DEPTH)
    return Space(config, list_norms(network), "the recorded table: ")


def _shipped(data_set: str, seeds: Collection[int] | None) -> list[Traversable]:
    known = shipped_seeds()
    if not isinstance(data_set, str) or data_set not in known:
        told = short(data_set)
        raise DataError(f"data_set: must be one of {', '.join(sorted(known))}, got {told}")
    wanted = known[data_set] if seeds is None else seeds
    several = isinstance(wanted, Collection) and len(wanted) > 0
    if not several or not all(_is_whole(one) and one in known[data_set] for one in wanted):
        raise DataError(
            f"seeds: must be among {list(known[data_set])}, the seeds of {data_set} that ship with "
            f"this version, and at least one, got {short(seeds)}"
        )
    folder = files("normsearch.benchmark")
    return [folder.joinpath(file_name(data_set, seed)) for seed in sorted(set(wanted))]


def _is_whole(value: object) -> bool:
    return isinstance(value, (int, Integral)) and not isinstance(value, bool)


def check_whole_number(name: str, value: object, least: int) -> None:
    """Raise ConfigError unless an argument is a whole number of `least` or more."""
    if not (_is_whole(value) and value >= least):  # type: ignore[operator]
        raise ConfigError(f"{name}: must be a whole number of {least} or more, got {short(value)}")


def check_table(where: str, table: object) -> None:
    """Raise ConfigError unless an argument `table` of `where` is a `Table`."""
    if not isinstance(table, Table):
        raise ConfigError(
            f"{where}: table must be a Table, as load_table() returns, got {short(table)}"
        )


def _read(source: Path | Traversable) -> Table:
    """Read one file."""
    try:
        first, _, rest = gzip.decompress(source.read_bytes()).decode().partition("\n")
        provenance = parse_json(first)
        frame = pd.read_csv(io.StringIO(rest), dtype=dict.fromkeys(STAGES, str), na_filter=True,
                            keep_default_na=False, na_values=[""])  # fmt: skip
        return Table(
            tuple(frame[list(STAGES)].itertuples(index=False, name=None)),
            frame.filter(like="score").to_numpy(np.float64)[None],
            frame.filter(like="seconds").to_numpy(np.float64)[None],
            tuple(provenance["samples"]),
            (int(provenance["seed"]),),
            provenance,
        )
    except (OSError, EOFError, zlib.error, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{source}: must be a table of recorded trainings: {error}") from error


def _joined(tables: Sequence[tuple[str, Table]]) -> Table:
    """Return one table of several seeds; each must hold the same trainings with another seed."""
    (first_name, first), *others = tables
    names = {first.seeds: first_name}
    for name, table in others:
        if table.seeds in names:
            raise DataError(
                f"{name}: must hold another seed than {names[table.seeds]}, got {table.seeds[0]} "
                "in both; give each seed's file once"
            )
        names[table.seeds] = name
        for what in ("data", "choices", "samples"):
            if _settings(table)[what] != _settings(first)[what]:
                raise DataError(
                    f"{name}: must have the {what} of {first_name} to be read with it, got others; "
                    "read files of one recording together"
                )
    return Table(
        first.choices,
        np.concatenate([table.score for _, table in tables]),
        np.concatenate([table.seconds for _, table in tables]),
        first.samples,
        tuple(table.seeds[0] for _, table in tables),
        first.provenance,
    )


def _settings(table: Table) -> dict[str, object]:
    data = table.provenance.get("data")
    return {"data": data, "choices": table.choices, "samples": table.samples}
