"""What the framework costs a trial that does nothing, beside stock Ray Tune in the same run."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from normsearch.config import StudyConfig, TrialConfig
from normsearch.networks import build_network, list_norms
from normsearch.search.coordinator import Coordinator
from normsearch.search.jobs import Event
from normsearch.space.layered import Space

TITLE = "Framework cost of a trial that does nothing, two slots"
NORMS = ["none", "BN", "IN", "LN", "GN-8", "SN"]


def nothing(config: TrialConfig, data: Any, folder: Path, token: str) -> Iterator[dict[str, Any]]:
    """Yield one evaluation at once."""
    record = {"evaluation": 1, "samples": 1, "steps": 1, "seconds": 0.0, "loss": 0.0, "score": 0.5}
    yield {**record, "peak_memory": 0, "cases": {}, "parameters": 0, "learnt": {}}


def coordinator(folder: Path, trials: int, **arguments: Any) -> Coordinator:
    """Return a study of `trials` trials over the 22 slots of the paper's U-Net, in `folder`."""
    config = StudyConfig.model_validate(
        {
            "name": "bench",
            "task": {"data": "none"},
            "training": {"samples": 1, "evaluations": 1},
            "space": {
                "norm": {"choices": NORMS},
                "learning_rate": {"low": 0.001, "high": 0.1},
                "batch_size": [1, 2],
            },
            "search": {"trials": trials},
        }
    )
    space = Space(config.space, list_norms(build_network("unet2d")), "bench: ")
    return Coordinator(folder, config, space, **arguments)


def run_bridge(trials: int) -> None:
    """Print seconds a trial of normsearch's executor, between the first and the last trial."""
    from normsearch.config import Resources
    from normsearch.search.ray_executor import run_ray

    ends: list[float] = []

    def listen(event: Event) -> None:
        if event.kind == "finished":
            ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        study = coordinator(Path(folder), trials, listener=listen)
        run_ray(study, None, nothing, resources=Resources(), workers=2)
    print((ends[-1] - ends[0]) / (len(ends) - 1))


def run_stock(trials: int) -> None:
    """Print seconds a trial of Ray Tune + OptunaSearch + ASHA, as its documentation sets it up."""
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    class Ends(tune.Callback):
        at: list[float] = []  # noqa: RUF012  # one list for one run

        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            self.at.append(time.perf_counter())

    def nothing_at_all(config: dict[str, Any]) -> None:
        tune.report({"score": 0.5})

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    space: dict[str, Any] = {f"norm{slot}": tune.choice(NORMS) for slot in range(22)}
    space |= {"lr": tune.loguniform(0.001, 0.1), "batch": tune.choice([1, 2])}
    tuner = tune.Tuner(
        nothing_at_all,
        param_space=space,
        tune_config=tune.TuneConfig(
            metric="score",
            mode="max",
            num_samples=trials,
            max_concurrent_trials=2,
            search_alg=OptunaSearch(),
            scheduler=ASHAScheduler(),
        ),
        run_config=tune.RunConfig(
            storage_path=tempfile.mkdtemp(), verbose=0, callbacks=[callback := Ends()]
        ),
    )
    tuner.fit()
    print((callback.at[-1] - callback.at[0]) / (len(callback.at) - 1))


def measure(trials: int = 40, stock_trials: int = 10) -> pd.DataFrame:
    """Run both, each in a process of its own, and return seconds a trial and the ratio."""
    ours, stock = _in_process("run_bridge", trials), _in_process("run_stock", stock_trials)
    rows = [("normsearch", trials, ours), ("stock OptunaSearch + ASHA", stock_trials, stock)]
    table = pd.DataFrame(rows, columns=["executor", "trials", "seconds a trial"])
    table["ratio to normsearch"] = table["seconds a trial"] / ours
    return table.round(3)


def _in_process(function: str, trials: int) -> float:
    code = f"from tests.benchmarks import framework; framework.{function}({trials})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return float(done.stdout.split()[-1])
