from pathlib import Path
from typing import Any

import pytest

from normsearch import Study, open_study
from normsearch.errors import ConfigError
from normsearch.trials import trial_time

FOLDS = {"test_folds": [2], "validation_folds": [1]}
SMALL: dict[str, Any] = {
    "task": {"data": "phantom", "phantom": {"size": 32, "subjects": 3}, **FOLDS},
    "network": {"name": "unet2d", "first_channels": 4, "depth": 1},
    "training": {"samples": 4, "evaluations": 1, "amp": "auto"},
    "space": {
        "norm": {"choices": ["IN"]}, "learning_rate": {"low": 0.01, "high": 0.1}, "batch_size": 2
    },
    "search": {"trials": 1},
}  # fmt: skip


def study(folder: Path, **parts: Any) -> Study:
    return Study("precision", runs_dir=folder, **{**SMALL, **parts})


@pytest.mark.parametrize(("bfloat16", "chosen"), [(0.94, "bfloat16"), (0.96, "off"), (3.0, "off")])
def test_bfloat16_must_be_faster(
    bfloat16: float, chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {"off": 1.0, "bfloat16": bfloat16}
    monkeypatch.setattr(trial_time, "_step_seconds", lambda config, split: seconds)
    prepared = study(tmp_path).prepare()
    assert prepared.config.training.amp == chosen
    (told,) = (note for note in prepared.notes if "amp" in note)
    assert told.startswith(f"training.amp: auto chose {chosen}: a training step took 1e+03 ms")


def test_a_run_keeps_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study(tmp_path).run(executor="local")  # measures for itself
    kept = open_study(tmp_path / "precision").config.training.amp
    assert kept in ("off", "bfloat16")
    monkeypatch.setattr(trial_time, "_step_seconds", None)
    resumed = study(tmp_path, search={"trials": 2}).run(executor="local", resume=True)
    assert resumed.config.training.amp == kept
    assert len(resumed.trials()) == 2


def test_a_gpu_is_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_time, "_step_seconds", None)
    prepared = study(tmp_path, search={"trials": 1, "resources": {"gpu": 1}}).prepare()
    assert prepared.config.training.amp == "bfloat16"


def test_an_arm_must_say_its_precision(tmp_path: Path) -> None:
    arm: dict[str, Any] = {"name": "A", "norm": "IN", "learning_rate": 0.1, "batch_size": 2}
    arm["training"] = {"amp": "auto"}
    with pytest.raises(ConfigError, match=r"amp must be off, bfloat16 or float16 .* got auto"):
        study(tmp_path, space={"arms": [arm], "seeds": [0]}, search={})


def test_the_steps_of_a_users_own_trainer_are_not_timed(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"training\.amp: must be off, .* loop of your own.* auto"
    ):
        study(tmp_path, trainer="my_module:train")
