"""How often does a whole study say what is not so? Searches and confirmations in made-up worlds.

    python -m tests.benchmarks.null_pipeline --studies 500 --worlds null null-own mixture

Trainings are made up (see `tests.benchmarks.worlds`). All else is what a user runs: the coordinator
with its sampler, pruner and journal in a run's folder, `confirm_study`, the trainings of its arms
through the coordinator again, confirmation.json and the report's first sentence. Trials run one
after another, as with `--local`. What each study said is appended to FOLDER/null_pipeline_runs.csv,
and studies that are in it already are not run again.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from scipy import stats

from analysis.evidence import compared
from normsearch.config import Arm, ArmsConfig, StudyConfig
from normsearch.config_file import validate
from normsearch.evidence.confirm import confirm_study
from normsearch.evidence.confirmation import Confirmation
from normsearch.evidence.confirmation_files import write_confirmation
from normsearch.evidence.power import power
from normsearch.evidence.words import sentences
from normsearch.networks import build_network, list_norms
from normsearch.search.door import build_space
from normsearch.search.local import run_local
from normsearch.search.records import StudyRecord
from normsearch.search.run_folder import create_run
from normsearch.search.study import Coordinator
from normsearch.search.tabular import DEPTH, FIRST_CHANNELS, NORMS
from tests.benchmarks.worlds import GAIN, KINDS, Trainer, World

TITLE = "Studies in made-up worlds: share that says so, with exact 95% intervals"
FOLDER = Path("build/benchmarks")
RUNS = "null_pipeline_runs.csv"
SEEDS, CASES, TRIALS = 5, (15, 45), 40
_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # half of a study is file access
_KEY = ("world", "cases", "seed", "trials")


def run_study(
    world: str, seed: int, cases: int, trials: int = TRIALS, norms: tuple[str, ...] = NORMS
) -> dict[str, Any]:
    """Search and confirm in a new world of the kind `world`; return what was said of its arms.

    Args:
        world: one of `KINDS`.
        seed: of the world and of the search.
        cases: test cases of the confirmation.
        trials: of the search.
        norms: what each of the network's four stages may choose.
    """
    began = time.process_time()
    made_up = World(KINDS[world], norms, seed)
    trainer = Trainer(made_up, cases)
    with tempfile.TemporaryDirectory(dir=_MEMORY) as folder:
        search = _run(Path(folder), _config(seed, trials, norms), trainer)
        arms = confirm_study(search, seeds=SEEDS)
        record = _run(Path(folder), arms, trainer)
        found = write_confirmation(record)
        row = {
            **dict(zip(_KEY, (world, cases, seed, trials), strict=True)),
            **_said(found, arms, str(compared(record)["lead"]), made_up),
            **_searched(search),
        }
    return {**row, "seconds": round(time.process_time() - began, 2)}


def _config(seed: int, trials: int, norms: tuple[str, ...]) -> StudyConfig:
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
        "search": {"trials": trials, "seed": seed},
    }
    return validate(StudyConfig, raw, "null")


def _run(folder: Path, config: StudyConfig, trainer: Trainer) -> StudyRecord:
    slots = list_norms(build_network("unet2d", first_channels=FIRST_CHANNELS, depth=DEPTH))
    create_run(folder / config.name, config, {})
    space = build_space(config.space, slots, "null: ")
    run_local(Coordinator(folder / config.name, config, space), None, trainer)
    return StudyRecord(folder / config.name)


def _said(found: Confirmation, config: StudyConfig, lead: str, world: World) -> dict[str, Any]:
    """What the table of verdicts, the first sentence and the report's lead say of which arms."""
    arms = _arms(config)
    norms = {name: tuple(dict.fromkeys(arm.norm.values())) for name, arm in arms.items()}
    reference = norms[found.reference]
    others = [name for name in arms if len(norms[name]) == 1 and norms[name] != reference]
    mixtures = [name for name in arms if len(norms[name]) > 1]
    true = [name for name in mixtures if world.better(arms[name].norm)]
    false = [name for name in mixtures if name not in true]
    verdicts = dict(zip(found.table["arm"], found.table["verdict"], strict=True))
    row: dict[str, Any] = {
        "arms": len(arms),
        "true_arms": len(true),
        "true_found": sum(verdicts[name] == "better" for name in true),
        "mixture_better": sum(verdicts[name] == "better" for name in false),
        "mixture_worse": sum(verdicts[name] == "worse" for name in mixtures),
        "single_differs": sum(verdicts[name] in ("better", "worse") for name in others),
        "stated_power": round(_stated_power(found, world.kind.gain or GAIN), 3),
    }
    for key, text in {"sentence": sentences(found)[0], "lead": lead}.items():
        row[f"{key}_mixture"] = claims(text, arms, false, ("better",))
        row[f"{key}_single"] = claims(text, arms, others, ("better", "worse"))
    return {**row, "sentence": sentences(found)[0]}


def _arms(config: StudyConfig) -> dict[str, Arm]:
    if not isinstance(config.space, ArmsConfig):
        raise TypeError("a confirmation must have arms")
    return {arm.name: arm for arm in config.space.arms}


def claims(text: str, arms: Iterable[str], of: Iterable[str], words: Sequence[str]) -> bool:
    """Return whether a text says with one of the `words` of an arm in `of` that it differs.

    That is: a clause has such a word and such an arm's name, and no negation.

    >>> text = "Better than BN: trial 3 (+0.02, p 0.01); no difference found between BN and IN."
    >>> claims(text, ["BN", "IN", "trial 3"], ["trial 3"], ["better"])
    True
    >>> claims(text, ["BN", "IN", "trial 3"], ["IN"], ["better", "worse"])
    False
    """
    marks = {name: f"<{place}>" for place, name in enumerate(sorted(arms, key=len, reverse=True))}
    for name, mark in marks.items():  # the longest first, for one name may be part of another
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", mark, text)
    clauses = [clause.lower() for clause in re.split(r"[.;](?:\s|$)", text)]
    return any(
        any(word in clause for word in words)
        and any(marks[name] in clause for name in of)
        and not re.search(r"\b(no|not|nor|neither|cannot)\b", clause)
        for clause in clauses
    )


def _stated_power(found: Confirmation, difference: float) -> float:
    """How often a true difference would be found, by the spreads that a study saw."""
    comparison = found.comparison
    if comparison.spread is None:
        return float("nan")
    size = {"cases": found.cases, "seeds": SEEDS, "comparisons": len(comparison.table) - 1}
    return power(comparison.spread, difference, **size)


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
    processes: int = 1,
) -> pd.DataFrame:
    """Return one row a study, see `run_study`; those in FOLDER's file already are read from it."""
    path = folder / RUNS
    known = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=list(_KEY))
    done = set(known[list(_KEY)].itertuples(index=False, name=None))
    wanted = list(itertools.product(worlds, cases, seeds, [trials]))
    folder.mkdir(parents=True, exist_ok=True)
    for row in _rows([key for key in wanted if key not in done], processes):
        pd.DataFrame([row]).to_csv(path, mode="a", header=not path.exists(), index=False)
    rows = pd.read_csv(path)
    return rows[[key in set(wanted) for key in rows[list(_KEY)].itertuples(index=False, name=None)]]


def _rows(keys: Sequence[tuple[Any, ...]], processes: int) -> Iterator[dict[str, Any]]:
    if processes == 1:
        yield from map(_study, keys)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_study, keys)


def _study(key: tuple[str, int, int, int]) -> dict[str, Any]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    world, cases, seed, trials = key
    return run_study(world, seed, cases, trials)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row a world and number of cases: what share of studies says what is not so.

    Columns: world, cases, studies; as share [95% interval] (Clopper and Pearson): mixture (a
    mixture that is not is called better than the best single norm), single (one single norm is
    called better or worse than another), either, first sentence, report (they say either, by the
    words alone); found (of the studies with a truly better mixture among the arms, those that call
    one better), stated (mean and range of the power that these studies state); CPU seconds.
    """
    found = []
    for (world, cases), part in rows.groupby(["world", "cases"], sort=False):
        mixture, single = part["mixture_better"] > 0, part["single_differs"] > 0
        true = part[part["true_arms"] > 0]
        stated = true["stated_power"]
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
                "found": share(true["true_found"] > 0) if len(true) else "",
                "stated": f"{stated.mean():.3f} ({stated.min():.3f} to {stated.max():.3f})"
                if len(true)
                else "",
                "seconds": round(float(part["seconds"].mean()), 2),
            }
        )
    return pd.DataFrame(found)


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
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    given = parser.parse_args()
    table = measure(
        given.studies, given.worlds, given.folder,
        cases=given.cases, trials=given.trials, processes=given.processes,
    )  # fmt: skip
    print(f"{TITLE}\n{table.to_string(index=False)}")
