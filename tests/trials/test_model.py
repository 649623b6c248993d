"""A trained trial as a folder of its own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.export.passes import move_to_device_pass

import normsearch
from normsearch.config import NetworkConfig, TaskConfig, TrainingConfig, TrialConfig
from normsearch.data import Case, Split
from normsearch.errors import CheckpointError, ConfigError, StudyError
from normsearch.networks import list_norms
from normsearch.norms import NORMS, NormSpec
from normsearch.trials.model import TrainedModel, export_model, load_model
from normsearch.trials.model_card import ModelConfig
from normsearch.trials.training import train_trial
from normsearch.trials.trial_network import build_trial_network

NETWORK = NetworkConfig(first_channels=16, depth=1)
SLOTS = [slot.name for slot in list_norms(build_trial_network(NETWORK, 1))]
MIXED = dict(zip(SLOTS, ["SN", "WS+GN-2", "WN", "ILN", "BIN", "BN"], strict=False))


def case(name: str) -> Case:
    image = np.random.default_rng(len(name)).random((4, 1, 16, 16), dtype=np.float32)
    return Case(name, name, "", image, (image[:, 0] > 0.7).astype(np.uint8), (1.0, 1.0, 1.0))


def trained(folder: Path, norm_map: dict[str, str]) -> ModelConfig:
    trial = TrialConfig(
        study="s",
        number=2,
        task=TaskConfig(data="made-up"),
        network=NETWORK,
        training=TrainingConfig(samples=8, evaluations=1, statistics_samples=4),
        norm_map={**dict.fromkeys(SLOTS, "none"), **norm_map},
        learning_rate=0.01,
        batch_size=2,
        sample_shape=(1, 16, 16),
        versions={"torch": "2"},
    )
    data = Split(train=(case("a"),), validation=(case("bb"),), test=())
    (record,) = train_trial(trial, data, folder)
    return ModelConfig(trial=trial, metric="Dice", score=record["score"])


def test_a_model_computes_the_same_by_every_way_to_load_it(tmp_path: Path) -> None:
    config = trained(tmp_path / "trial", MIXED)
    files, no_program = export_model(tmp_path / "model", tmp_path / "trial", config)
    names = ["weights.pt", "model.json", "model.py", "program.pt2"]
    assert [file.name for file in files] == names
    assert no_program == ""
    loaded = normsearch.load_model(tmp_path / "model")
    assert loaded.config == config
    assert not loaded.network.training
    x = torch.randn(3, 1, 16, 16)
    expected = loaded.network(x)
    module = importlib.util.spec_from_file_location("card", tmp_path / "model" / "model.py")
    assert module is not None
    assert module.loader is not None
    card = importlib.util.module_from_spec(module)
    module.loader.exec_module(card)
    assert torch.equal(card.load()(x), expected)
    program = torch.export.load(tmp_path / "model" / "program.pt2").module()
    torch.testing.assert_close(program(x), expected, rtol=1e-4, atol=1e-4)
    assert config.trial.norm_map == card.NORM_MAP
    assert f"Validation Dice: {config.score:.3f}" in (card.__doc__ or "")


@pytest.mark.usefixtures("no_program")
def test_a_model_is_loaded_without_ray_and_optuna(tmp_path: Path) -> None:
    export_model(tmp_path / "model", tmp_path, trained(tmp_path, MIXED))
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['ray', 'optuna', 'sqlalchemy']));"
        "sys.path.insert(0, sys.argv[1]); import model, normsearch;"
        "model.load(); normsearch.load_model(sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "model")], check=True, timeout=120)


def test_the_precision_of_the_training_is_that_of_predictions_on_the_same_device() -> None:
    training = TrainingConfig(samples=8, evaluations=1, amp="bfloat16")
    trial = TrialConfig(
        study="s", number=0, network=NETWORK, training=training, norm_map={"*": "BN"},
        learning_rate=0.01, batch_size=2, device="cuda",
    )  # fmt: skip
    model = TrainedModel(torch.nn.Identity(), ModelConfig(trial=trial, metric="Dice", score=None))
    assert [model.precision(device) for device in ("cpu", "cuda")] == ["off", "bfloat16"]


ALL = [
    *("none", "BN", "SyncBN", "BRN", "LN", "IN", "GN-2", "WN", "MBN", "WN+MBN", "BIN", "SN"),
    *("ILN", "ILN(regroup=none)", "ILN(gate=clip)", "ILN(gate=softmax)", "SSN", "BGN-2"),
    *("GBGN-2x2", "WS+GN-2", "BCN-2", "BKN", "LRN", "slabGN-2", "IN-axisnone"),
    *("FRN", "EvoNorm-S0-2", "EvoNorm-B0", "MABN", "IBN", "IN(track=true)", "LN2d", "RMSGN-2"),
    *("RMS2d", "GRN", "DyT", "Derf"),
]


def test_every_kind_is_tried_below() -> None:
    assert {NormSpec.parse(text).kind for text in ALL} == set(NORMS)


#: A norm each slot of a network, as exports take seconds; a BKN looks at the BKN before it.
EACH = [norm for known in ALL for norm in [known] * (2 if known == "BKN" else 1)]
TOGETHER = [EACH[at : at + len(SLOTS)] for at in range(0, len(EACH), len(SLOTS))]


@pytest.mark.parametrize("norms", TOGETHER, ids=",".join)
def test_every_norm_leaves_as_a_program(tmp_path: Path, norms: list[str]) -> None:
    config = trained(tmp_path, dict(zip(SLOTS, norms, strict=False)))
    _, no_program = export_model(tmp_path / "model", tmp_path, config)
    assert no_program == ""
    x = torch.randn(3, 1, 16, 16)
    program = torch.export.load(tmp_path / "model" / "program.pt2").module()
    expected = load_model(tmp_path / "model").network(x)
    torch.testing.assert_close(program(x), expected, rtol=1e-4, atol=1e-4)
    moved = move_to_device_pass(torch.export.load(tmp_path / "model" / "program.pt2"), "meta")
    assert moved.module()(x.to("meta")).device.type == "meta"  # nothing is left on the CPU


@pytest.mark.usefixtures("no_program")
def test_what_cannot_be_exported(tmp_path: Path) -> None:
    config = trained(tmp_path / "trial", {})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    with pytest.raises(StudyError, match=r"full: must be a new or an empty folder"):
        export_model(tmp_path / "full", tmp_path / "trial", config)
    with pytest.raises(StudyError, match=r"must hold a checkpoint.pt, which only completed"):
        export_model(tmp_path / "new", tmp_path / "pruned", config)
    other = config.trial.model_copy(update={"network": NetworkConfig(first_channels=32, depth=1)})
    with pytest.raises(CheckpointError, match="must hold this network's weights"):
        export_model(
            tmp_path / "new", tmp_path / "trial", config.model_copy(update={"trial": other})
        )
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("no_program")
def test_what_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model.json: must be an existing file"):
        load_model(tmp_path)
    export_model(tmp_path / "model", tmp_path, trained(tmp_path, {}))
    weights = tmp_path / "model" / "weights.pt"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(CheckpointError, match=r"weights.pt: must be a whole checkpoint"):
        load_model(tmp_path / "model")
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"must hold weights.pt"):
        load_model(tmp_path / "model")


@pytest.mark.usefixtures("no_program")
@pytest.mark.parametrize(
    "text", ['a"""\nraise SystemExit\n"""', r"C:\\Users\nx \N{no} \\", 'ends in "', "\x00\x1b😀"]
)
def test_a_card_holds_texts_as_texts(tmp_path: Path, text: str) -> None:
    config = trained(tmp_path / "trial", {})
    task = config.trial.task.model_copy(update={"data": text})
    trial = config.trial.model_copy(update={"task": task, "versions": {text: text}})
    export_model(tmp_path / "model", tmp_path / "trial", config.model_copy(update={"trial": trial}))
    names: dict[str, Any] = {"__file__": str(tmp_path / "model" / "model.py")}
    source = (tmp_path / "model" / "model.py").read_text(encoding="utf-8")
    exec(compile(source, "model.py", "exec"), names)
    assert f"Data: {text}, a sample" in names["__doc__"]
    assert "Return the trained network" in names["load"].__doc__
