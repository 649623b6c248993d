"""Every number that a study, a trial or a model may say is tried with what nobody means."""

import contextlib
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from normsearch import limits
from normsearch.config import Model, StudyConfig, TrialConfig, plain
from normsearch.config.reading import validate
from normsearch.data import Volume, write_volume
from normsearch.errors import ConfigError, NormError, NormsearchError
from normsearch.norms import NormSpec
from normsearch.search.preparation import prepare
from normsearch.trials.model_card import ModelConfig
from tests.config.test_study import FULL

Path_ = tuple[str | int, ...]
ODD = (-1, 0, 1e300, float("nan"), float("inf"), 10**15, 10**40, "", [], None)
HUGE = (1e300, 10**15, 10**40)

ARMS: dict[str, Any] = {
    "name": "arms",
    "task": {"data": "phantom", "test_folds": ["1"]},
    "space": {
        "arms": [
            {"name": "a", "norm": "BN", "learning_rate": 0.1, "batch_size": 2,
             "weight_decay": 0.1, "gate_learning_rate_factor": 2.0},
        ],
        "seeds": [0, 1], "trainings": 2,
        "origin": {"study": "s", "top": 3, "trials": {"a": 1}, "scores": {"a": 0.5},
                   "untuned": {"a": 2}},
    },
}  # fmt: skip
WHOLE = {
    **FULL,
    "sample_shape": [1, 8, 8, 8],
    "geometry": {"oriented": True, "least": [1.0, 1.0, 1.0], "median": [1.0, 1.0, 1.0],
                 "greatest": [2.0, 2.0, 2.0], "unknown": [0, 0, 1]},
}  # fmt: skip
TASK = {
    "data": "phantom", "spacing": [2.0, 0.5], "intensity": "ct",
    "foreground_intensities": [
        {"percentile_00_5": -50.5, "percentile_99_5": 240.0, "mean": 80.0, "std": 40.0}
    ],
}  # fmt: skip
TRIAL: dict[str, Any] = {
    "study": "s", "number": 3, "task": TASK, "network": {}, "training": {},
    "norm_map": {"*": "BN"}, "learning_rate": 0.1, "batch_size": 2, "gpu_share": 0.5,
    "threads": 2, "loader_workers": 1, "sample_shape": [1, 8, 8],
}  # fmt: skip
PATCHES: dict[str, Any] = {
    **{key: value for key, value in ARMS.items() if key != "task"},
    "task": {"data": "phantom", "sample": "patch", "size": [8, 16, 16], "foreground_share": 0.5,
             "memory": 2.0, "test_folds": ["1"],
             "augmentation": [{"name": "blur", "range": [0.5, 1.0], "probability": 0.2,
                               "per_channel": 0.5}]},
}  # fmt: skip
MODELS: dict[str, tuple[type[Model], dict[str, Any]]] = {
    "study": (StudyConfig, WHOLE),
    "arms": (StudyConfig, ARMS),
    "patches": (StudyConfig, PATCHES),
    "trial": (TrialConfig, TRIAL),
    "model": (ModelConfig, {"trial": TRIAL, "metric": "Dice", "score": 0.5}),
}
# What is measured, not chosen: any finite number.
MEASURED = ("geometry", "scores", "score")


def numbers(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """The place of each number below a value."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from numbers(item, (*path, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from numbers(item, (*path, index))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path


def full(kind: str) -> dict[str, Any]:
    """A model's plain values, what it leaves out filled in with its defaults."""
    model, raw = MODELS[kind]
    return {
        **plain(model.model_validate(raw)),
    }


def changed(raw: dict[str, Any], path: Path_, value: object) -> dict[str, Any]:
    found: Any = copy.deepcopy(raw)
    place = found
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    result: dict[str, Any] = found
    return result


PLACES = [(kind, place) for kind in MODELS for place in numbers(full(kind))]
IDS = [".".join(map(str, (kind, *place))) for kind, place in PLACES]


def outcome(kind: str, raw: dict[str, Any]) -> Model | None:
    try:
        return validate(MODELS[kind][0], raw, "FILE")
    except ConfigError:
        return None


@pytest.mark.parametrize(("kind", "place"), PLACES, ids=IDS)
def test_an_odd_value_is_taken_or_refused_in_a_sentence(kind: str, place: Path_) -> None:
    raw = full(kind)
    for value in ODD:
        outcome(kind, changed(raw, place, value))
    if not set(MEASURED) & {str(part) for part in place}:
        taken = [value for value in HUGE if outcome(kind, changed(raw, place, value))]
        assert taken == [], "it has no upper limit"
    refused = [v for v in (float("nan"), float("inf")) if outcome(kind, changed(raw, place, v))]
    assert refused == []


def test_all_numbers_of_the_models_are_walked() -> None:
    walked = {str(place[-1]) for _, place in PLACES} | {str(p[-2]) for _, p in PLACES if len(p) > 1}
    fields = set()
    for model, _ in MODELS.values():
        schema = json.loads(json.dumps(model.model_json_schema()))
        for one in [schema, *schema["$defs"].values()]:
            fields |= {
                name
                for name, field in one.get("properties", {}).items()
                if '"integer"' in json.dumps(field) or '"number"' in json.dumps(field)
            }
    assert (
        fields
        - walked
        - {"format", "groups", "low", "high", "default", "choices", "classes", "output", "sides"}
        - {"seam"}  # of patches: tests/trials/test_validation_cost.py
        == set()
    )


@pytest.mark.parametrize("seed", [-1, limits.SEED + 1, 1.5, "x"])
@pytest.mark.parametrize(
    "place",
    [p for p in IDS if p.endswith("seed") and p.startswith("study.")],
)
def test_a_seed_is_a_seed_everywhere(place: str, seed: object) -> None:
    kind, *parts = place.split(".")
    raw = full(kind)
    assert outcome(kind, changed(raw, tuple(parts), seed)) is None
    assert outcome(kind, changed(raw, tuple(parts), limits.SEED)) is not None


@pytest.mark.parametrize(
    "name", ["../x", "/abs", "a/b", "a\0", "a\nb", "", ".x", "x" * 81, "a\x1b"]
)
@pytest.mark.parametrize("kind", ["study", "trial"])
def test_a_name_that_is_no_name(kind: str, name: str) -> None:
    key = {"study": "name", "trial": "study"}[kind]
    with pytest.raises(ConfigError, match=f"FILE: {key}: must (be a run's name|not be an empty)"):
        validate(MODELS[kind][0], {**MODELS[kind][1], key: name}, "FILE")


def test_the_longest_name_can_be_confirmed() -> None:
    name = "x" * 80
    assert limits.check_run_name(name) == name
    assert limits.check_run_name(f"{name}-confirm")
    with pytest.raises(ValueError, match="1 to 80 letters"):
        limits.check_run_name(f"{name}y-confirm")


@pytest.mark.parametrize("text", ["GN-999999999", f"GN-{'9' * 5000}", "GBGN-999999999x2",
                                  "ILN(regroup=999999999)", "WS+GN-999999999"])  # fmt: skip
def test_a_norm_of_too_many_groups(text: str) -> None:
    with pytest.raises(NormError, match=r"65536|200 characters"):
        NormSpec.parse(text)


@pytest.mark.parametrize("gpu", [1.5, 1e-300, 65])
def test_a_share_of_gpus_that_ray_does_not_give(gpu: float) -> None:
    assert outcome("study", changed(full("study"), ("search", "resources", "gpu"), gpu)) is None


@pytest.mark.parametrize("seeds", [0, -1, 10**15, 10**40, 10_001])
def test_seeds_that_nobody_trains(seeds: int) -> None:
    raw = {**ARMS, "space": {**ARMS["space"], "seeds": seeds}}
    with pytest.raises(ConfigError, match=r"seeds: must be a number of seeds from 1 to 10000, got"):
        validate(StudyConfig, raw, "FILE")


def test_a_phantom_that_takes_a_day() -> None:
    with pytest.raises(ConfigError, match="subjects must be at most 8 if size is 512, got 9"):
        validate(StudyConfig, changed(full("study"), ("task", "phantom"),
                                      {"size": 512, "subjects": 9}), "FILE")  # fmt: skip


TINY: dict[str, Any] = {
    "name": "tiny",
    "task": {
        "data": "squares",
        "augmentation": {"rotation": [-60, 60, 2], "scale": [0.9, 1.1]},
        "intensity": [-300, 700.5],
    },
    "network": {"first_channels": 2, "depth": 1},
    "training": {"samples": 16, "evaluations": 2},
    "space": {"norm": {"choices": ["BN", "GN"], "groups": [2]}, "learning_rate": 0.1,
              "batch_size": 2},
    "search": {"trials": 2, "sampler": "random", "time_limit": 100.0, "workers": 1},
}  # fmt: skip


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    for index in range(4):
        label = np.zeros((2, 8, 8), np.uint8)
        label[:, 2:6, 2:6] = 1
        for kind, array in (("images", label.astype(np.int16)), ("labels", label)):
            write_volume(root / "squares" / kind / f"s{index}.nrrd", Volume(array, (2.0, 1.0, 1.0)))
    return root


def extremes(place: Path_) -> list[object]:
    """The least and the greatest of some values that a place of the tiny study takes."""
    ladder = [0, 1, *(2**power for power in range(1, 40)), limits.SEED, 1e-12, 1e-6, 0.5, 1e3]
    whole = plain(StudyConfig.model_validate(TINY))
    taken = [value for value in sorted(ladder) if outcome("study", changed(whole, place, value))]
    return [taken[0], taken[-1]] if taken else []


TRIED = list(numbers(plain(StudyConfig.model_validate(TINY))))


@pytest.mark.parametrize("place", TRIED, ids=[".".join(map(str, place)) for place in TRIED])
def test_what_is_taken_passes_every_check_or_is_refused_in_a_sentence(
    place: Path_, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NORMSEARCH_CACHE", str(tmp_path))
    whole = plain(StudyConfig.model_validate(TINY))
    for value in extremes(place):
        config = StudyConfig.model_validate(changed(whole, place, value))
        with contextlib.suppress(NormsearchError):
            prepare(config, "space.", squares, "FILE", trusted=True)


@pytest.mark.parametrize(
    ("network", "told"),
    [
        ({"first_channels": 4096, "depth": 8}, "must fit into the"),
        ({"arguments": {"first_channels": 10**15}}, "refuses its settings|must fit into"),
        ({"arguments": {"depth": 60}}, "refuses its settings|must fit into"),
        ({"name": "torch.nn:Conv2d", "arguments": {"kernel_size": 10**6}}, "memory|must"),
    ],
    ids=["channels", "argument", "depth", "foreign"],
)
def test_a_network_that_no_memory_holds(
    network: dict[str, Any], told: str, squares: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("NORMSEARCH_CACHE", str(tmp_path))
    config = StudyConfig.model_validate({**TINY, "network": network})
    with pytest.raises(NormsearchError, match=told):
        prepare(config, "space.", squares, "FILE", trusted=True)
