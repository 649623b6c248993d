"""Training on patches: scores as MONAI's windows give them, resumed exactly, with any workers."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.inferers.utils import sliding_window_inference
from torch import Tensor

from normsearch.config import NetworkConfig, TaskConfig, TrainingConfig, TrialConfig
from normsearch.data import Case, Split, spread_cases
from normsearch.errors import TrainingError
from normsearch.networks import list_norms
from normsearch.storage.run_folder import read_case_table
from normsearch.training import load_checkpoint, seam, window_logits
from normsearch.trials.model import rebuild
from normsearch.trials.training import train_trial, training_loader, validation_cases
from normsearch.trials.trial_network import build_trial_network

SIZES = {"slices": (8, 16), "volumes": (4, 8, 16)}
AUGMENTATION = {"flip": ["x"], "scale": [0.8, 1.2], "rotation": [-30, 30, 5]}


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    assert loading() == []


def loading() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("normsearch-loader")]


def make_case(seed: int) -> Case:
    """Noise of a size of its own, at least that of a patch, with a bright and a brighter block."""
    generator = np.random.default_rng(seed)
    sides = (int(generator.integers(6, 9)), *generator.integers(18, 26, 2).tolist())
    label = np.zeros(sides, np.uint8)
    z, y, x = (int(generator.integers(0, side - 5)) for side in sides)
    label[z : z + 4, y : y + 5, x : x + 5] = 1
    label[z : z + 4, y : y + 5, x + 3 : x + 5] = 2
    image = (generator.normal(size=sides) + 3.0 * label).astype(np.float32)[:, None]
    image.setflags(write=False)
    return Case(f"c{seed}", f"s{seed}", "", image, label, (2.0, 1.0, 1.0))


CASES = [make_case(seed) for seed in range(7)]
DATA = Split(tuple(CASES[:3]), tuple(CASES[3:]), ())


def trial(kind: str, *, workers: int = 0, training: Any = (), **task: Any) -> TrialConfig:
    name = {"slices": "unet2d", "volumes": "res_unet3d"}[kind]
    network = NetworkConfig(name=name, first_channels=2, depth=1)
    given = {"samples": 24, "evaluations": 3, "statistics_samples": 4, **dict(training)}
    return TrialConfig(
        study="s",
        number=0,
        task=TaskConfig.model_validate(
            {"data": "made-up", "sample": "patch", "size": SIZES[kind], "classes": (1, 2), **task}
        ),
        network=network,
        training=TrainingConfig(**given),
        norm_map={slot.name: "BN" for slot in list_norms(build_trial_network(network, 1))},
        learning_rate=0.05,
        batch_size=2,
        loader_workers=workers,
        sample_shape=(1, *SIZES[kind]),
    )


def untimed(records: list[dict[str, Any]]) -> list[str]:
    return [json.dumps({**record, "seconds": 0, "peak_memory": 0}) for record in records]


def dice(predicted: Tensor, truth: Tensor) -> float:
    scores = []
    for number in (1, 2):
        one, other = predicted == number, truth == number
        if one.any() or other.any():
            scores.append(2 * (one & other).sum().item() / (one.sum() + other.sum()).item())
    return float(np.mean(scores))


@pytest.mark.parametrize("kind", SIZES)
def test_scores_are_those_of_monais_sliding_window(kind: str, tmp_path: Path) -> None:
    config = trial(kind)
    *_, last = train_trial(config, DATA, tmp_path)
    state = load_checkpoint(tmp_path / "checkpoint.pt")
    assert state is not None
    network = rebuild(config, state["network"], tmp_path)
    ours = validation_cases(config.task, DATA.validation, SIZES[kind])
    for case in DATA.validation:
        image = torch.from_numpy(case.image.copy())
        volume = image.transpose(0, 1)[None] if kind == "volumes" else image
        with torch.no_grad():
            expected: Any = sliding_window_inference(
                volume, SIZES[kind], 4, network, overlap=0.5, mode="gaussian"
            )
            own = ours[case.id]
            found = window_logits(network, own.samples, own.window, "cpu")
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
        predicted = expected.argmax(1)[0] if kind == "volumes" else expected.argmax(1)
        truth = torch.from_numpy(case.label)
        assert last["cases"][case.id] == pytest.approx(dice(predicted, truth), abs=1e-6)


@pytest.mark.parametrize("kind", SIZES)
def test_patches_are_learnt(kind: str, tmp_path: Path) -> None:
    longer = {"samples": 1600, "evaluations": 1, "optimizer": "adam"}
    config = trial(kind, training=longer).model_copy(update={"batch_size": 8})
    *_, last = train_trial(config, DATA, tmp_path)
    assert last["score"] > 0.6


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("workers", [0, 2])
def test_an_interrupted_trial_goes_on_bit_for_bit(kind: str, workers: int, tmp_path: Path) -> None:
    config = trial(kind, workers=workers, augmentation=AUGMENTATION, validation_cases=2)
    whole = untimed(list(train_trial(config, DATA, tmp_path / "whole")))
    for steps in (1, 2):
        records = train_trial(config, DATA, tmp_path / str(steps))
        for _ in range(steps):
            next(records)
        records.close()  # type: ignore[attr-defined]
        again = untimed(list(train_trial(config, DATA, tmp_path / str(steps))))
        assert again[-1] == whole[-1]
        states = [
            load_checkpoint(tmp_path / one / "checkpoint.pt") for one in ("whole", str(steps))
        ]
        for name, value in states[0]["network"].items():  # type: ignore[index]
            assert torch.equal(value, states[1]["network"][name]), name  # type: ignore[index]


@pytest.mark.parametrize("kind", SIZES)
def test_any_number_of_workers_gives_the_same_scores(kind: str, tmp_path: Path) -> None:
    found = [
        untimed(
            list(
                train_trial(
                    trial(kind, workers=workers, augmentation=AUGMENTATION),
                    DATA,
                    tmp_path / str(workers),
                )
            )
        )
        for workers in (0, 1, 3)
    ]
    assert found[0] == found[1] == found[2]


def test_workers_change_nothing_for_slices_either(tmp_path: Path) -> None:
    found = []
    for workers in (0, 3):
        config = trial("slices", workers=workers)
        task = TaskConfig(data="made-up", classes=(1, 2), size=(16, 16), fit="pad")
        config = config.model_copy(update={"task": task, "sample_shape": (1, 16, 16)})
        square = [
            Case(one.id, one.subject, "", one.image[:, :, :16, :16], one.label[:, :16, :16],
                 one.spacing) for one in CASES
        ]  # fmt: skip
        split = Split(tuple(square[:3]), tuple(square[3:]), ())
        found.append(untimed(list(train_trial(config, split, tmp_path / str(workers)))))
    assert found[0] == found[1]


def test_a_pruned_trial_leaves_no_thread(tmp_path: Path) -> None:
    records = train_trial(trial("slices", workers=3), DATA, tmp_path)
    next(records)
    assert loading()
    del records
    assert loading() == []


def broken(logits: Tensor, truth: Tensor) -> Tensor:
    """A user's loss that is not finite."""
    return logits.sum() * float("nan")


def test_a_training_that_ends_in_an_error_leaves_no_thread(tmp_path: Path) -> None:
    config = trial("slices", workers=3, training={"loss": f"{__name__}:broken"})
    with pytest.raises(TrainingError, match="not finite"):
        list(train_trial(config, DATA, tmp_path))
    assert loading() == []


def fails(image: Tensor, label: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A user's transform that works for a while."""
    if random.random() < 0.1:
        raise KeyError("my transform")
    return image, label


def test_an_error_of_a_transform_reaches_the_user_as_without_workers(tmp_path: Path) -> None:
    ends = []
    for workers in (0, 1, 3):
        given = {"transforms": [f"{__name__}:fails"]}
        config = trial("slices", workers=workers, augmentation=given)
        with pytest.raises(KeyError, match="my transform") as caught:
            list(train_trial(config, DATA, tmp_path / str(workers)))
        ends.append((type(caught.value), caught.value.args))
        assert loading() == []
    assert ends[0] == ends[1] == ends[2]


def test_evaluations_on_the_way_score_some_cases(tmp_path: Path) -> None:
    config = trial("slices", validation_cases=2)
    records = list(train_trial(config, DATA, tmp_path))
    every = {case.id for case in DATA.validation}
    on_the_way = [set(record["cases"]) for record in records[:-1]]
    assert len(on_the_way[0]) == 2
    assert on_the_way[0] == on_the_way[1] < set(records[-1]["cases"]) == every
    rows = (tmp_path / "cases.csv").read_text().splitlines()
    assert {row.split(",")[0] for row in rows[1:]} == every  # what a confirmation reads
    whole = list(train_trial(trial("slices"), DATA, tmp_path / "all"))
    seams = [trained[-1].pop("seam") for trained in (records, whole)]
    assert seams[0] != seams[1]  # that of two cases, and of all
    assert untimed(records)[-1] == untimed(whole)[-1]
    for record, other in zip(records, whole, strict=True):
        assert record["cases"].items() <= other["cases"].items()


@pytest.mark.parametrize("kind", SIZES)
def test_the_seam_is_measured_at_the_end(kind: str, tmp_path: Path) -> None:
    tile = {"slices": (8, 8), "volumes": (4, 8, 8)}[kind]
    config = trial(kind, size=tile, validation_cases=3)
    config = config.model_copy(update={"sample_shape": (1, *tile)})
    *before, last = train_trial(config, DATA, tmp_path)
    assert all("seam" not in record for record in before)
    state = load_checkpoint(tmp_path / "checkpoint.pt")
    assert state is not None
    network = rebuild(config, state["network"], tmp_path).eval()
    chosen = spread_cases(DATA.validation, 3)
    found = read_case_table(tmp_path / "cases.csv").set_index("case")["seam"]
    assert set(found.dropna().index) == {case.id for case in chosen}
    for case in chosen:
        image = torch.from_numpy(case.image.copy())
        volume = image.transpose(0, 1)[None] if kind == "volumes" else image
        expected = seam(network, volume, tile)
        assert found[case.id] == pytest.approx(expected, abs=1e-6)
        assert 0 < expected < 1
    assert last["seam"] == pytest.approx(found.mean(), abs=1e-12)
    again = list(train_trial(config, DATA, tmp_path))  # all from the checkpoint
    assert again[-1]["seam"] == last["seam"]


def test_the_loader_of_a_trial_cuts_its_patches() -> None:
    config = trial("volumes", foreground_share=1.0)
    images, labels = training_loader(config, DATA.train).batch(0)
    assert (images.shape, labels.shape) == ((2, 1, *SIZES["volumes"]), (2, *SIZES["volumes"]))
    assert all((label > 0).any() for label in labels)
