"""Callbacks that log trials to TensorBoard, MLflow or Weights & Biases.

A trial that repeats another finishes without having started, and is not logged.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from normsearch.config.search import CALLBACKS
from normsearch.errors import ConfigError, StudyError, short
from normsearch.networks.importing import load, users_code
from normsearch.search.jobs import Callback, Event

_NEEDS = {"tensorboard": "tensorboardX"}  # the package of an extra, if it has another name
_SHOWN = ("score", "loss", "samples", "seconds", "peak_memory")


class TensorBoard:
    """Writes scalars by samples seen to RUN/tensorboard/NNNN; see ``tensorboard --logdir``."""

    def __init__(self, folder: Path, study: str) -> None:
        self._folder = folder / "tensorboard"
        self._make = _module("tensorboard").SummaryWriter
        self._writers: dict[int, Any] = {}

    def __call__(self, event: Event) -> None:
        """Handle an event."""
        if event.kind == "started":
            writer = self._make(str(self._folder / f"{event.number:04d}"))
            self._writers[event.number] = writer
            writer.add_text("trial", "\n".join(f"    {k}: {v}" for k, v in _choice(event).items()))
        elif event.kind == "evaluated":
            writer = self._writers[event.number]
            for name, value in _metrics(event).items():
                writer.add_scalar(name, value, event.record["samples"])
            writer.flush()
        elif event.kind == "finished" and (writer := self._writers.pop(event.number, None)):
            writer.close()


class MLflow:
    """Logs one run a trial to the experiment of the study's name, at MLFLOW_TRACKING_URI."""

    def __init__(self, folder: Path, study: str) -> None:
        client = _module("mlflow").MlflowClient()
        known = client.get_experiment_by_name(study)
        self._experiment = known.experiment_id if known else client.create_experiment(study)
        self._client, self._runs = client, dict[int, str]()

    def __call__(self, event: Event) -> None:
        """Handle an event."""
        if event.kind == "started":
            run = self._client.create_run(self._experiment, run_name=f"{event.number:04d}")
            self._runs[event.number] = run.info.run_id
            for name, value in _choice(event).items():
                self._client.log_param(run.info.run_id, name, value)
        elif event.kind == "evaluated":
            for name, value in _metrics(event).items():
                self._client.log_metric(
                    self._runs[event.number], name, value, step=event.record["samples"]
                )
        elif event.kind == "finished" and (run_id := self._runs.pop(event.number, None)):
            status = "FAILED" if event.record["state"] == "FAIL" else "FINISHED"
            self._client.set_terminated(run_id, status=status)


class WeightsAndBiases:
    """Logs one run a trial to the project of the study's name; locally if WANDB_MODE=offline."""

    def __init__(self, folder: Path, study: str) -> None:
        self._wandb, self._folder, self._study = _module("wandb"), folder, study
        self._runs: dict[int, Any] = {}

    def __call__(self, event: Event) -> None:
        """Handle an event."""
        if event.kind == "started":
            self._runs[event.number] = self._wandb.init(
                project=self._study,
                name=f"{event.number:04d}",
                dir=str(self._folder),
                config=_choice(event),
                reinit="create_new",  # several trials are open at once
            )
        elif event.kind == "evaluated":
            self._runs[event.number].log(_metrics(event), step=event.record["samples"])
        elif event.kind == "finished" and (live := self._runs.pop(event.number, None)):
            live.finish(exit_code=int(event.record["state"] == "FAIL"))


def build_callbacks(names: Iterable[str], folder: Path, study: str) -> list[Callback]:
    """Return a listener for each of `names`: of `CALLBACKS`, or ``module:name``.

    ``module:name`` is called with the run's folder and the study's name, as our classes are, and
    returns what is called with each `Event`.

    Raises:
        StudyError: what a name needs is not installed.
        ConfigError: ``module:name`` names nothing that can be called.
    """
    found = []
    for name in names:
        build, where = _listener(name), f"search.callbacks: {name}"
        with users_code(f"{where} must accept the run's folder and the study's name, and raises"):
            listener = build(folder, study)
        if not callable(listener):
            raise ConfigError(f"{where} must return a function of an event, got {short(listener)}.")
        found.append(guarded(listener, where))
    return found


def listener_of(
    functions: Iterable[Callback], names: Iterable[str], folder: Path, study: str
) -> Callback:
    """Return one listener for a user's functions and those of `build_callbacks`."""
    own = [guarded(one, "callbacks") for one in functions]
    listeners = [*own, *build_callbacks(names, folder, study)]

    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return tell


def guarded(listener: Callback, where: str) -> Callback:
    """Return a listener whose exceptions become one sentence that begins with `where`."""

    def call(event: Event) -> None:
        with users_code(f"{where} must accept each event, and raises on {event.kind!r}"):
            listener(event)

    return call


def check_callbacks(names: Iterable[str]) -> None:
    """Raise StudyError or ConfigError if a name cannot be imported, or takes other arguments."""
    for name in names:
        if name in CALLBACKS:
            _module(name)
        build = _listener(name)
        with users_code(
            f"search.callbacks: {name} must take the run's folder and the study's name"
        ):
            inspect.signature(build).bind(Path(), "")


def _listener(name: str) -> Callable[[Path, str], Callback]:
    where = "search.callbacks"
    found = load(CALLBACKS[name].path if name in CALLBACKS else name, where)
    if not callable(found):
        raise ConfigError(f"{where}: must be a class or function, got {name}, which is {found!r}.")
    build: Callable[[Path, str], Callback] = found
    return build


def _module(extra: str) -> Any:
    name = _NEEDS.get(extra, extra)
    try:
        return import_module(name)
    except ImportError as error:
        raise StudyError(
            f"search.callbacks: {extra} needs {name}, which is not installed; "
            f"pip install 'normsearch[{extra}]'."
        ) from error


def _choice(event: Event) -> dict[str, Any]:
    norms = {f"norm.{slot}": spec for slot, spec in event.record.get("norm_map", {}).items()}
    others = {name: value for name, value in event.record.items() if name != "norm_map"}
    return {**{name: value for name, value in others.items() if value is not None}, **norms}


def _metrics(event: Event) -> dict[str, float]:
    found = {name: float(event.record[name]) for name in _SHOWN}
    return {name: value for name, value in found.items() if math.isfinite(value)}
