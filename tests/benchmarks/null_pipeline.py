"""How often does a whole study say what is not so? Searches and confirmations in made-up worlds.

    python -m tests.benchmarks.null_pipeline --studies 500 --worlds null null-own mixture
    python -m tests.benchmarks.null_pipeline --studies 500 --worlds null --race 0.25 --design looks

Trainings are made up (see `tests.benchmarks.worlds`). All else is what a user runs: the coordinator
with its sampler, pruner and journal in a run's folder, `plan_confirmation`, the trainings of its
arms through the coordinator again, confirmation.json and the report's first sentence. Trials run
one after another, as with `--local`. What each study said is appended to
FOLDER/null_pipeline_runs.csv, and studies that are in it already are not run again.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from scipy import stats

from normsearch.analysis.evidence import compared
from normsearch.benchmark.table import DEPTH, FIRST_CHANNELS, NORMS
from normsearch.config import StudyConfig
from normsearch.config.reading import validate
from normsearch.confirmation.execution import scheduled
from normsearch.confirmation.export import write_confirmation
from normsearch.confirmation.plan import plan_confirmation
from normsearch.confirmation.plan_arms import Design
from normsearch.confirmation.summary_text import sentences
from normsearch.networks import NormSlot, build_network, list_norms
from normsearch.search.checks import build_space
from normsearch.search.coordinator import Coordinator
from normsearch.search.local_executor import run_local
from normsearch.storage.records import StudyRecord
from normsearch.storage.run_folder import create_run
from tests.benchmarks.null_claims import NO_POWER, said, stated_power
from tests.benchmarks.worlds import KINDS, Trainer, World

TITLE = "Studies in made-up worlds: share that says so, with exact 95% intervals"
FOLDER = Path("build/benchmarks")
RUNS = "null_pipeline_runs.csv"
SEEDS, CASES, TRIALS = 5, (15, 45), 40
_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # half of a study is file access
_KEY = ("world", "cases", "seed", "trials", "race", "design")


def run_study(
    world: str,
    seed: int,
    cases: int,
    trials: int = TRIALS,
    norms: tuple[str, ...] = NORMS,
    *,
    race: float = 0.0,
    design: Design = "fixed",
) -> dict[str, Any]:
    """Search and confirm in a new world of the kind `world`; return what was said of its arms.

    Args:
        world: one of `KINDS`.
        seed: of the world and of the search.
        cases: test cases of the confirmation.
        trials: of the search.
        norms: what each of the network's four stages may choose.
        race: the share of the trials that is the search's race.
        design: of the confirmation; in looks, no power is stated.
    """
    began = time.process_time()
    made_up, slots = World(KINDS[world], norms, seed), _slots()
    trainer = Trainer(made_up, cases)
    with tempfile.TemporaryDirectory(dir=_MEMORY) as folder:
        search = _run(Path(folder), _config(seed, trials, norms, race), trainer)
        seeds = SEEDS if design == "fixed" else None
        arms = plan_confirmation(search, seeds=seeds, design=design).config
        record = _run(Path(folder), arms, trainer)
        found = write_confirmation(record)
        texts = {"sentence": sentences(found)[0], "lead": str(compared(record)["lead"])}
        stated = stated_power(record.cases(), found, arms, made_up, slots) if seeds else NO_POWER
        row = {
            **dict(zip(_KEY, (world, cases, seed, trials, race, design), strict=True)),
            **said(found, arms, texts, made_up),
            **stated,
            **_searched(search),
            "trainings": found.trainings[0],
        }
    took = round(time.process_time() - began, 2)
    return {**row, "seconds": took, "words": texts["sentence"]}


def _config(seed: int, trials: int, norms: tuple[str, ...], race: float) -> StudyConfig:
    raw: dict[str, Any] = {
        "name": "made-up",
        "task": {"data": "none", "test_folds": ["3"], "validation_folds": ["2"]},
        "network": {"first_channels": FIRST_CHANNELS, "depth": DEPTH},
        "training": {"samples": 1200, "evaluations": 9},
        "space": {
            "norm": {"per": "stage", "choices": list(norms)},
            "learning_rate": {"low": 0.01, "high": 0.3, "default": 0.05},
            "batch_size": {"choices": [1, 2, 4, 8], "default": 4},
        },
        "search": {"trials": trials, "seed": seed, "race": race},
    }
    return validate(StudyConfig, raw, "null")


def _run(folder: Path, config: StudyConfig, trainer: Trainer) -> StudyRecord:
    place = folder / config.name
    create_run(place, config, {})
    space = build_space(config.space, _slots(), "null: ")
    space = scheduled(space, config, place, None, lambda event: None)
    run_local(Coordinator(place, config, space), None, trainer)
    return StudyRecord(place)


@cache
def _slots() -> list[NormSlot]:
    return list_norms(build_network("unet2d", first_channels=FIRST_CHANNELS, depth=DEPTH))


def _searched(record: StudyRecord) -> dict[str, Any]:
    """What the search alone shows: trials that completed, and whether a mixture leads."""
    table = record.trials()
    complete = table[table["state"] == "COMPLETE"]
    single = complete["single_norm"].notna()
    best = [float(complete.loc[rows, "score"].max()) for rows in (single, ~single)]
    return {"complete": len(complete), "single": int(single.sum()), "search_gap": best[1] - best[0]}


def run_studies(
    folder: Path,
    worlds: Iterable[str],
    seeds: Iterable[int],
    *,
    cases: Iterable[int] = CASES,
    trials: int = TRIALS,
    race: float = 0.0,
    design: Design = "fixed",
    processes: int = 1,
) -> pd.DataFrame:
    """Return one row a study, see `run_study`; those in FOLDER's file already are read from it."""
    path = folder / RUNS
    wanted = set(itertools.product(worlds, cases, seeds, [trials], [race], [design]))
    folder.mkdir(parents=True, exist_ok=True)
    for row in _rows(sorted(wanted - set(_keys(_read(path)))), processes):
        pd.DataFrame([row]).to_csv(path, mode="a", header=not path.exists(), index=False)
    rows = _read(path)
    return rows[[key in wanted for key in _keys(rows)]]


def _read(path: Path) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame(columns=list(_KEY))
    return pd.read_csv(path, keep_default_na=False, na_values=[""])  # a world is called null


def _keys(rows: pd.DataFrame) -> list[tuple[Any, ...]]:
    return list(rows[list(_KEY)].itertuples(index=False, name=None))


def _rows(keys: Sequence[tuple[Any, ...]], processes: int) -> Iterator[dict[str, Any]]:
    if processes == 1:
        yield from map(_study, keys)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_study, keys)


def _study(key: tuple[str, int, int, int]) -> dict[str, Any]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    world, cases, seed, trials, race, design = key
    return run_study(world, seed, cases, trials, race=race, design=design)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row a world and number of cases: what share of studies says what is not so.

    Columns: world, cases, studies; as share [95% interval] (Clopper and Pearson): mixture (a
    mixture that is not is called better than the best single norm), single (one single norm is
    called better or worse than another), either, first sentence, report (they say either, by the
    words alone); found (of the studies with a truly better mixture among the arms, those that call
    the first such arm better), stated and stated own (the power that these studies state, see
    `stated_power`: means, with those of their range); trainings of the confirmation and CPU seconds
    of a study, both on average.
    """
    found = []
    for (world, cases), part in rows.groupby(["world", "cases"], sort=False):
        mixture, single = part["mixture_better"] > 0, part["single_differs"] > 0
        true = part[part["true"]]
        found.append(
            {
                "world": world,
                "cases": cases,
                "studies": len(part),
                "mixture": share(mixture),
                "single": share(single),
                "either": share(mixture | single),
                "first sentence": share(part["sentence_mixture"] | part["sentence_single"]),
                "report": share(part["lead_mixture"] | part["lead_single"]),
                "found": share(true["true_found"]) if len(true) else "",
                "stated": _range(true),
                "stated own": f"{true['stated_own'].mean():.3f}" if _range(true) else "",
                "trainings": round(float(part["trainings"].mean()), 1),
                "seconds": round(float(part["seconds"].mean()), 2),
            }
        )
    return pd.DataFrame(found)


def _range(true: pd.DataFrame) -> str:
    if true["stated"].isna().all():
        return ""
    power, low, high = true[["stated", "stated_low", "stated_high"]].mean()
    return f"{power:.3f} ({low:.3f} to {high:.3f})"


def share(of: pd.Series[bool]) -> str:
    """Return how many of how many are true, their share and its exact 95% interval.

    >>> share(pd.Series([True, False, False, False]))
    '1/4 = 0.250 [0.006, 0.806]'
    """
    count, all_of = int(of.sum()), len(of)
    low, high = stats.binomtest(count, all_of).proportion_ci(0.95, method="exact")
    return f"{count}/{all_of} = {count / all_of:.3f} [{low:.3f}, {high:.3f}]"


def measure(
    studies: int = 4,
    worlds: Iterable[str] = tuple(KINDS),
    folder: Path | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Return what `summary` does of `studies` studies in each world; rows are kept in `folder`."""
    if folder is None:
        with tempfile.TemporaryDirectory() as made:
            return summary(run_studies(Path(made), worlds, range(studies), **options))
    found = summary(run_studies(folder, worlds, range(studies), **options))
    found.to_csv(folder / "null_pipeline.csv", index=False)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--worlds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--cases", nargs="+", type=int, default=list(CASES))
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--race", type=float, default=0.0)
    parser.add_argument("--design", choices=("fixed", "looks"), default="fixed")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    given = parser.parse_args()
    table = measure(
        given.studies, given.worlds, given.folder,
        cases=given.cases, trials=given.trials, race=given.race, design=given.design,
        processes=given.processes,
    )  # fmt: skip
    print(f"{TITLE}\n{table.to_string(index=False)}")
