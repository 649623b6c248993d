"""What a trained network leaves of its test cases, against the masks themselves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from normsearch.config import NetworkConfig, TaskConfig, TrainingConfig, TrialConfig
from normsearch.confirmation import held_out
from normsearch.confirmation.held_out import (
    HeldOutTrainer,
    _examples,
    _table,
    case_surfaces,
    predicted,
)
from normsearch.data import Case, Split
from normsearch.errors import TrainingError
from normsearch.labels import IGNORED
from normsearch.storage.remote_checkpoints import RemoteTrainer
from normsearch.training import dice, load_checkpoint
from normsearch.training.surface import surface_scores
from normsearch.trials.model import rebuild
from normsearch.trials.training import OwnSplit, train_trial

SPACING = (3.0, 1.0, 2.0)


def case(name: str, fold: str, classes: int = 1, slices: int = 5) -> Case:
    random = np.random.default_rng(int(name))
    label = np.zeros((slices, 16, 16), np.uint8)
    label[: slices - 1, 3:9, 4:12] = 1
    if classes > 1:
        label[: slices - 1, 10:14, 4:12] = 2
    image = (label + random.normal(0, 0.3, label.shape)).astype(np.float32)[:, None]
    return Case(name, name, fold, image, label, SPACING)


def config(classes: int = 1, **task: Any) -> TrialConfig:
    kinds = {"classes": (1, 2)} if classes > 1 else {}
    return TrialConfig(
        study="s",
        number=0,
        task=TaskConfig(data="none", test_folds=("t",), validation="test", **kinds, **task),
        network=NetworkConfig(first_channels=4, depth=1),
        training=TrainingConfig(samples=60, evaluations=2, statistics_samples=8),
        norm_map={"*": "SSN"},
        affine=False,
        learning_rate=0.1,
        batch_size=2,
        sample_shape=(1, 16, 16),
    )


def cases(classes: int = 1) -> tuple[Case, ...]:
    folds = zip("12345", ["t", "t", "t", "a", "b"], strict=True)
    return tuple(case(name, fold, classes) for name, fold in folds)


def train(folder: Path, trial: TrialConfig, data: Any, trainer: Any = train_trial) -> list[Any]:
    folder.mkdir(exist_ok=True)
    (folder / "owner").write_text("me")
    return list(HeldOutTrainer(trainer)(trial, data, folder, "me"))


@pytest.mark.parametrize("classes", [1, 2])
def test_surfaces_are_of_the_masks_that_were_scored(tmp_path: Path, classes: int) -> None:
    every, trial = cases(classes), config(classes)
    test = every[:3]
    records = train(tmp_path / "t", trial, Split(every[3:], test, ()))
    assert len(records) == 2
    state = load_checkpoint(tmp_path / "t" / "checkpoint.pt")
    assert state is not None
    network = rebuild(trial, state["network"], tmp_path)
    table = pd.read_csv(tmp_path / "t" / "surfaces.csv", dtype={"case": str})
    assert list(table.columns) == ["case", "class", "hd95", "surface_dice", "missed", "unit"]
    assert list(table["class"]) == list(range(1, classes + 1)) * 3
    for one in test:
        mask = predicted(network, one, trial)
        scored = [
            dice(*(torch_mask(array == number) for array in (mask, one.label)))
            for number in range(1, classes + 1)
        ]
        assert np.nanmean(scored) == records[-1]["cases"][one.id]
        for number, row in table[table["case"] == one.id].set_index("class").iterrows():
            expected = surface_scores(mask == number, one.label == number, SPACING)
            assert (row.hd95, row.surface_dice) == pytest.approx(expected[:2])
            assert row.missed == expected.missed
            assert row.unit == "mm"


def torch_mask(array: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(array)


def test_examples_are_the_best_the_median_and_the_worst(tmp_path: Path) -> None:
    every = cases()
    scores = train(tmp_path / "t", config(), Split(every[3:], every[:3], ()))[-1]["cases"]
    with np.load(tmp_path / "t" / "examples.npz") as found:
        assert list(found["case"]) == sorted(scores, key=lambda name: -scores[name])
        assert list(found["score"]) == sorted(scores.values(), reverse=True)
        assert found["image"].shape == found["truth"].shape == found["prediction"].shape
        assert found["image"].shape == (3, 16, 16)
        assert found["spacing"].tolist() == [[1.0, 2.0]] * 3
        best = next(one for one in every if one.id == found["case"][0])
        # foreground lies in slices 0 to 3 of 5: the middle one is 2
        assert np.array_equal(found["truth"][0], best.label[2])
        assert np.array_equal(found["image"][0], best.image[2, 0])


def test_each_fold_in_turn_is_split_by_the_trial(tmp_path: Path) -> None:
    train(tmp_path / "t", config(), cases(), OwnSplit(train_trial))
    table = pd.read_csv(tmp_path / "t" / "surfaces.csv", dtype={"case": str})
    assert list(table["case"]) == ["1", "2", "3"]


def test_a_trial_that_was_trained_before_the_crash_gets_its_surfaces(tmp_path: Path) -> None:
    every = cases()
    split = Split(every[3:], every[:3], ())
    train(tmp_path / "t", config(), split)
    names = ("surfaces.csv", "examples.npz")
    written = [(tmp_path / "t" / name).read_bytes() for name in names]
    for name in names:
        (tmp_path / "t" / name).unlink()
    train(tmp_path / "t", config(), split)
    assert (tmp_path / "t" / "surfaces.csv").read_bytes() == written[0]
    assert (tmp_path / "t" / "examples.npz").is_file()


def test_memory_that_does_not_suffice_for_the_test_cases_fails_the_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short_of_memory(*given: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(held_out, "measure", short_of_memory)
    records = HeldOutTrainer(OwnSplit(train_trial))(config(), cases(), tmp_path, None)
    next(records)
    with pytest.raises(TrainingError, match="batch size 2: CUDA out of memory") as info:
        next(records)
    assert info.value.kind == "memory"


def test_they_travel_with_the_checkpoint(tmp_path: Path) -> None:
    every, far = cases(), tmp_path / "far"
    far.mkdir()
    from normsearch.storage.remote_checkpoints import RemoteCheckpoints

    mirror = RemoteCheckpoints(far.as_uri(), "s")
    mirror.write_owner(0, "me")
    trainer = RemoteTrainer(HeldOutTrainer(train_trial), far.as_uri())
    list(trainer(config(), Split(every[3:], every[:3], ()), tmp_path / "here", "me"))
    mirror.settle(0, tmp_path / "here", keep=True)
    assert (tmp_path / "here" / "surfaces.csv").is_file()
    assert (tmp_path / "here" / "examples.npz").is_file()


def test_a_missed_case_is_the_worst_and_a_single_slice_lies_in_its_plane() -> None:
    whole, flat = case("1", "t"), case("2", "t", slices=1)
    nothing = np.zeros_like(whole.label)
    (missed,) = case_surfaces(nothing, whole, 1).values()
    assert missed == (pytest.approx(math.hypot(5 * 3, 16, 16 * 2)), 0.0, True)
    label = flat.label.copy()
    label[0, 3:9, 4:12] = 1
    flat = Case("2", "2", "t", flat.image, label, (math.nan, 1.0, 2.0))
    (moved,) = case_surfaces(np.roll(label, 1, 2), flat, 1).values()
    assert moved.hd95 == pytest.approx(2.0)  # one column of 2 mm; the slice's depth is not asked


def test_where_the_spacing_is_not_known_distances_are_in_pixels(tmp_path: Path) -> None:
    one = case("1", "t")
    found = {}
    for name, spacing in (("a", (1.0,) * 3), ("b", (math.nan,) * 3), ("c", (math.nan, 0.5, 0.5))):
        moved = Case(name, name, "t", one.image, one.label, spacing)
        found[name] = case_surfaces(np.roll(one.label, 1, 2), moved, 1)
    assert found["a"] == found["b"] == found["c"]
    unknown = Case("1", "1", "t", one.image, one.label, (math.nan,) * 3)
    table = _table(config(), (unknown,), {"1": one.label}).splitlines()
    assert table == ["case,class,hd95,surface_dice,missed,unit", "1,1,0.0,1.0,0,pixels"]


def test_what_nobody_annotated_is_empty_in_surfaces_and_pictures() -> None:
    whole = case("1", "t")
    label = whole.label.copy()
    label[:, :, 10:] = IGNORED  # the square ends at column 11
    prediction = whole.label.copy()
    prediction[:, :, 13:] = 1  # called where nobody looked
    ignoring = Case("1", "1", "t", whole.image, label, SPACING)
    (found,) = case_surfaces(prediction, ignoring, 1).values()
    assert found == (0.0, 1.0, False)
    rest = np.where(label == IGNORED, 0, label)
    (missed,) = case_surfaces(np.zeros_like(label), ignoring, 1).values()
    assert missed == surface_scores(np.zeros(label.shape, bool), rest == 1, SPACING)
    examples = _examples(config(), (ignoring,), {"1": prediction}, {"1": 1.0})
    assert np.array_equal(examples["truth"][0], rest[2])
    assert np.array_equal(examples["prediction"][0], rest[2])
