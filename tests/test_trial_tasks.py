"""What a task and its training say reaches the trial: classes, volumes, images, precision."""

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from normsearch.config import NetworkConfig, TaskConfig, TrainingConfig, TrialConfig
from normsearch.data import Case, Split
from normsearch.errors import ConfigError, NetworkError
from normsearch.networks import list_norms
from normsearch.training import load_checkpoint
from normsearch.trials.task import split_task
from normsearch.trials.training import train_trial
from normsearch.trials.trial_network import build_trial_network


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def volume(seed: int) -> Case:
    """8 x 8 x 8 voxels of noise with a bright and a brighter cube, classes 1 and 2."""
    generator = np.random.default_rng(seed)
    label = np.zeros((8, 8, 8), np.uint8)
    z, y, x = generator.integers(0, 4, 3)
    label[z : z + 4, y : y + 4, x : x + 2] = 1
    label[z : z + 4, y : y + 4, x + 2 : x + 4] = 2
    image = (generator.normal(size=label.shape) + 4.0 * label).astype(np.float32)[:, None]
    return Case(str(seed), str(seed), "", image, label, (1.0, 1.0, 1.0))


def picture(seed: int) -> Case:
    """12 x 12 pixels of noise, brighter in the half that the class names."""
    generator = np.random.default_rng(seed)
    label = np.array([seed % 2], np.uint8)
    image = generator.normal(size=(1, 1, 12, 12)).astype(np.float32)
    image[..., 6 * label[0] : 6 * label[0] + 6] += 3
    return Case(str(seed), str(seed), "", image, label, (math.nan,) * 3)


VOLUMES = Split(tuple(map(volume, range(6))), tuple(map(volume, range(6, 9))), ())
PICTURES = Split(tuple(map(picture, range(20))), tuple(map(picture, range(20, 30))), ())


def trial(kind: str, **training: Any) -> TrialConfig:
    if kind == "volumes":
        task = TaskConfig(data="made-up", sample="volume", classes=(1, 2))
        network = NetworkConfig(name="res_unet3d", first_channels=4, depth=1)
    else:
        task = TaskConfig(data="made-up", layout="idx", classes=(0, 1))
        network = NetworkConfig(name="classifier", first_channels=4, depth=2)
    slots = list_norms(build_trial_network(network, 1))
    given = {"samples": 60, "evaluations": 2, "optimizer": "adam", **training}
    return TrialConfig(
        study="s",
        number=0,
        task=task,
        network=network,
        training=TrainingConfig(**given),
        norm_map={slot.name: "IN" for slot in slots},
        learning_rate=0.02,
        batch_size=2,
    )


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "cases.csv").read_text().splitlines()))


def test_volumes_of_several_classes(tmp_path: Path) -> None:
    *_, last = train_trial(trial("volumes", samples=120), VOLUMES, tmp_path)
    assert last["score"] > 0.7
    found = rows(tmp_path)
    names = [f"{name}_{one}" for one in (1, 2) for name in ("dice", "tp", "fp", "fn")]
    assert list(found[0]) == ["case", "evaluation", "score", *names]
    assert [row["case"] for row in found] == ["6", "7", "8"]
    for row in found:
        for one in (1, 2):
            tp, fp, fn = (int(row[f"{name}_{one}"]) for name in ("tp", "fp", "fn"))
            assert tp + fn == 32  # voxels of the class
            assert float(row[f"dice_{one}"]) == 2 * tp / (2 * tp + fp + fn)
        mean = (float(row["dice_1"]) + float(row["dice_2"])) / 2
        assert float(row["score"]) == pytest.approx(mean, abs=1e-15)


def test_whole_images(tmp_path: Path) -> None:
    assert trial("pictures").metric == "accuracy"
    *_, last = train_trial(trial("pictures", samples=120), PICTURES, tmp_path)
    found = rows(tmp_path)
    right = [row["predicted"] == row["true"] for row in found]
    assert last["score"] == sum(right) / 10 >= 0.9
    assert [float(row["score"]) for row in found] == [float(one) for one in right]


@pytest.mark.parametrize("kind", ["volumes", "pictures"])
def test_two_runs_of_one_seed_agree_to_the_last_bit(kind: str, tmp_path: Path) -> None:
    data = VOLUMES if kind == "volumes" else PICTURES
    found = []
    for number in (1, 2):
        torch.manual_seed(number)  # whatever the process did before
        records = train_trial(trial(kind), data, tmp_path / str(number))
        found.append([(record["score"], record["loss"], record["cases"]) for record in records])
    assert found[0] == found[1]
    states = [load_checkpoint(tmp_path / str(number) / "checkpoint.pt") for number in (1, 2)]
    assert states[0] is not None
    assert states[1] is not None
    for name, value in states[0]["network"].items():
        assert torch.equal(value, states[1]["network"][name]), name


@pytest.mark.parametrize(
    "changed",
    [
        {"loss": "cross_entropy"},
        {"optimizer": "adamw", "weight_decay": 0.5},
        {"schedule": "step", "step_points": (0.2,), "step_factor": 0.01},
        {"schedule": "polynomial"},
        {"amp": "bfloat16"},
        {"accumulate": 3},
        {"data_seed": 1},
    ],
)
def test_what_training_says_makes_a_difference(changed: dict[str, Any], tmp_path: Path) -> None:
    losses = [
        [record["loss"] for record in train_trial(trial("volumes", **given), VOLUMES, tmp_path / n)]
        for n, given in (("as it is", {}), ("changed", changed))
    ]
    assert losses[0] != losses[1]
    assert all(map(math.isfinite, losses[1]))


def test_accumulated_batches_count_as_samples(tmp_path: Path) -> None:
    records = list(train_trial(trial("volumes", accumulate=4), VOLUMES, tmp_path))
    assert [(record["samples"], record["steps"]) for record in records] == [(32, 4), (64, 8)]


def test_checkpointing_changes_nothing_but_memory(tmp_path: Path) -> None:
    scores = [
        [record["loss"] for record in train_trial(trial("volumes", **given), VOLUMES, tmp_path / n)]
        for n, given in (("plain", {}), ("saving", {"checkpointing": True}))
    ]
    assert scores[0] == scores[1]


def test_checkpointing_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(
        NetworkError, match="checkpointing: Classifier must have an attribute `checkpointing`"
    ):
        next(train_trial(trial("pictures", checkpointing=True), PICTURES, tmp_path))


def test_a_loss_of_another_task(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"training\.loss: must be auto or one of cross_entropy"):
        next(train_trial(trial("pictures", loss="bce_dice"), PICTURES, tmp_path))


def test_validation_on_the_training_cases() -> None:
    task = TaskConfig(data="made-up", validation="training")
    split = split_task(task, list(VOLUMES.train))
    assert split.train == split.validation == VOLUMES.train
    with pytest.raises(ValueError, match="must be left out if validation is training"):
        TaskConfig(data="made-up", validation="training", validation_folds=("1",))
