"""Logging to TensorBoard, MLflow and W&B, and the error if a package is missing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from normsearch.errors import StudyError
from normsearch.search.callbacks import build_callbacks
from normsearch.search.coordinator import Coordinator
from normsearch.search.local_executor import run_local
from tests.made_up_search import EVALUATIONS, trainer

Maker = Callable[..., Coordinator]


class Calls:
    """A stand-in for a client: it answers every call with itself and remembers it."""

    info = SimpleNamespace(run_id="r", experiment_id="e")
    experiment_id = "e"

    def __init__(self) -> None:
        self.seen: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self.seen.append((name, arguments, named))
            return self

        return call

    def of(self, name: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        return [(arguments, named) for kind, arguments, named in self.seen if kind == name]


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_missing_extra_is_one_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("tensorboardX", "mlflow", "wandb"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(StudyError, match=rf"callbacks: {name} needs .*'normsearch\[{name}\]'"):
        build_callbacks([name], tmp_path, "s")


def test_tensorboard_files_hold_the_scores_by_samples(study: Maker, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    (logger,) = build_callbacks(["tensorboard"], tmp_path, "s")
    run_local(study(trials=5, listener=logger), None, trainer)

    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard" / "0000"))
    events.Reload()
    assert [point.step for point in events.Scalars("score")] == [
        10 * evaluation for evaluation in range(1, EVALUATIONS + 1)
    ]
    assert len(list((tmp_path / "tensorboard").iterdir())) == 5


def test_mlflow_is_told_each_trial_as_a_run(
    study: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Calls()
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(MlflowClient=lambda: client))
    (logger,) = build_callbacks(["mlflow"], tmp_path, "s")
    run_local(study(trials=5, listener=logger), None, trainer)
    assert [named["run_name"] for _, named in client.of("create_run")] == [
        f"{number:04d}" for number in range(5)
    ]
    assert ("r", "norm.enc1.conv1.norm", "none") in [a for a, _ in client.of("log_param")]
    scores = [named["step"] for a, named in client.of("log_metric") if a[1] == "score"]
    assert scores[:EVALUATIONS] == [10 * (i + 1) for i in range(EVALUATIONS)]
    assert [named["status"] for _, named in client.of("set_terminated")] == ["FINISHED"] * 5


def test_wandb_is_told_each_trial_as_a_run(
    study: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Calls()
    monkeypatch.setitem(sys.modules, "wandb", client)
    (logger,) = build_callbacks(["wandb"], tmp_path, "s")
    run_local(study(trials=5, listener=logger), None, trainer)
    first = client.of("init")[0][1]
    assert first["project"] == "s"
    assert first["config"]["norm.enc1.conv1.norm"] == "none"
    assert client.of("log")[0][1]["step"] == 10
    assert [named["exit_code"] for _, named in client.of("finish")] == [0] * 5
