import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from normsearch.config import (
    BatchSizeSpace,
    LearningRateSpace,
    NormSpace,
    SearchConfig,
    SpaceConfig,
    StudyConfig,
    TaskConfig,
    TrainingConfig,
    TrialConfig,
    plain,
)
from normsearch.config.reading import read_recorded_study, read_trial, validate
from normsearch.errors import ConfigError
from normsearch.storage.run_folder import write_study

NORM = {"choices": ["BN", "IN"]}
STUDY: dict[str, Any] = {
    "name": "small",
    "task": {"data": "phantom"},
    "space": {"norm": NORM, "learning_rate": 0.1, "batch_size": [2, 4]},
}
FULL: dict[str, Any] = {
    "name": "all-keys_1.0",
    "task": {
        "data": "/data/lv",
        "phantom": {"size": 32, "subjects": 4, "seed": 3},
        "layout": "folders",
        "sample": "slab",
        "depth": 8,
        "overlap": 2,
        "size": [64, 48],
        "plane": "coronal",
        "fit": "pad",
        "spacing": [3.0, 0.7, 0.7],
        "intensity": [-300, 700.5],
        "foreground": [1, 3],
        "segments": ["bone", "disc"],
        "ignore": [9],
        "augmentation": {
            "rotation": [-60, 60, 2],
            "flip": ["z", "x"],
            "scale": [0.9, 1.1],
            "transforms": ["m:noise"],
        },
        "test_folds": [5, "b"],
        "validation": "held_out",
        "validation_folds": [4],
        "validation_fraction": 0.3,
        "split_seed": 9,
        "validation_cases": 3,
        "folds": 4,
    },
    "network": {
        "name": "unet2d",
        "first_channels": 8,
        "depth": 3,
        "activation": "silu",
        "seed": 2,
        "arguments": {"norm": "IN"},
    },
    "training": {
        "budget": "steps",
        "steps": 500,
        "samples": 1000,
        "evaluations": 5,
        "metric": {
            "name": "m:hd95",
            "direction": "minimize",
            "label": "HD95 (mm)",
            "range": [0, 500.5],
            "tolerance": 1.0,
        },
        "loss": "bce_dice",
        "class_weights": [1, 4.5],
        "deep_supervision": False,
        "optimizer": "adam",
        "momentum": 0.8,
        "weight_decay": 1e-05,
        "schedule": "step",
        "step_points": [0.25, 0.75],
        "step_factor": 0.1,
        "warmup": 0.05,
        "gradient_clipping": 12,
        "ema": 0.99,
        "amp": "bfloat16",
        "accumulate": 2,
        "checkpointing": True,
        "channels_last": True,
        "compile": False,
        "cuda_graphs": False,
        "gate_learning_rate_factor": 2,
        "recompute_statistics": True,
        "statistics_samples": 64,
        "data_seed": 4,
        "augmentation_seed": 6,
    },
    "space": {
        "norm": {
            "per": "stage",
            "choices": ["none", "GN", "ILN(gate=clip)"],
            "by_slot": {"enc*": ["IN", "none"]},
            "groups": [2, 8],
        },
        "learning_rate": {"low": 1e-05, "high": 0.1, "log": True, "default": 0.001},
        "batch_size": {"choices": [1, 8], "default": 8},
        "weight_decay": {"low": 0, "high": 0.1, "log": False, "default": 0.01},
        "gate_learning_rate_factor": {"low": 1, "high": 100, "log": True, "default": 10},
        "affine": {"choices": [True, False]},
        "activation": {"choices": ["relu", "silu"]},
        "gradient_clipping": {"low": 0.1, "high": 100, "log": True, "default": 1},
    },
    "search": {
        "trials": 7,
        "hours": 1.5,
        "samples": 10**7,
        "stop": {"gain": 0.002, "after": 3},
        "confirm": 0.25,
        "method": "supernet",
        "sampler": "optuna.samplers:QMCSampler",
        "sampler_arguments": {"scramble": True},
        "objectives": ["score"],
        "seed": 1,
        "pruner": {
            "name": "patient",
            "arguments": {},
            "min_resource": 3,
            "reduction_factor": 4,
            "startup_trials": 3,
            "warmup": 2,
            "patience": 3,
            "min_delta": 0.1,
            "wrapped": {"name": "median"},
        },
        "baselines": False,
        "single_norms": 0.25,
        "race": 0.4,
        "papers": True,
        "warm_start": "other",
        "warm_start_top": 3,
        "points": [{"norm": {"*": "BN", "enc1.*": "IN"}, "learning_rate": 0.1, "affine": True}],
        "supernet": {
            "weights": "sparsest_max",
            "samples": 500,
            "learning_rate": 0.2,
            "batch_size": 4,
        },
        "resources": {"cpu": 2, "gpu": 0.5, "loader_workers": 3},
        "workers": 3,
        "time_limit": 60.0,
        "grace_seconds": 5.0,
        "callbacks": ["tensorboard"],
        "checkpoints": "memory://checkpoints",
    },
    "fingerprint": "ab" * 32,
    "sample_shape": [1, 64, 48],
    "geometry": {
        "oriented": True,
        "least": [2.0, 1.0, None],
        "median": [2.5, 1.0, None],
        "greatest": [3.0, 1.0, None],
        "unknown": [0, 0, 4],
    },
    "versions": {"torch": "2.5.0"},
}


def space(**parts: object) -> SpaceConfig:
    whole = {"norm": NORM, "learning_rate": 0.1, "batch_size": 4, **parts}
    return validate(SpaceConfig, whole, "s.yaml")


@pytest.mark.parametrize(
    ("given", "choices", "middle"),
    [
        (0.1, (0.1,), 0.1),
        (1, (1.0,), 1.0),
        ("1e-3", (0.001,), 0.001),  # what YAML makes of 1e-3
        ([0.1, 0.01, 0.001], (0.1, 0.01, 0.001), 0.01),
        ([0.1, 0.2], (0.1, 0.2), 0.2),
        ({"choices": [0.1, 0.2], "default": 0.1}, (0.1, 0.2), 0.1),
    ],
)
def test_forms_of_learning_rates(given: object, choices: tuple[float, ...], middle: float) -> None:
    rate = space(learning_rate=given).learning_rate
    assert rate.choices == choices
    assert rate.middle == middle


@pytest.mark.parametrize(
    ("given", "middle"),
    [
        ({"low": 0.01, "high": 1.0}, 0.1),
        ({"low": 0.01, "high": 1.0, "log": False}, 0.505),
        ({"low": 0.01, "high": 1.0, "default": 0.01}, 0.01),
    ],
)
def test_ranges_of_learning_rates(given: dict[str, Any], middle: float) -> None:
    rate = space(learning_rate=given).learning_rate
    assert rate.choices is None
    assert (rate.low, rate.high) == (0.01, 1.0)
    assert rate.middle == pytest.approx(middle, rel=1e-12)


@pytest.mark.parametrize(
    ("given", "choices", "middle"),
    [
        (4, (4,), 4),
        ([1, 2, 8], (1, 2, 8), 2),
        ([8, 1], (8, 1), 8),
        ({"choices": [1, 2, 8], "default": 8}, (1, 2, 8), 8),
    ],
)
def test_forms_of_batch_sizes(given: object, choices: tuple[int, ...], middle: int) -> None:
    batch = space(batch_size=given).batch_size
    assert (batch.choices, batch.middle) == (choices, middle)


@pytest.mark.parametrize(
    ("model", "given", "message"),
    [
        (LearningRateSpace, {}, "must be choices, or low below high; got low None, high None"),
        (
            LearningRateSpace,
            {"low": 0.1},
            "must be choices, or low below high; got low 0.1, high None",
        ),
        (
            LearningRateSpace,
            {"low": 0.1, "high": 0.1},
            "must be choices, or low below high; got low 0.1, high 0.1",
        ),
        (
            LearningRateSpace,
            {"choices": [0.1], "high": 1},
            "must be either choices or a range, got both",
        ),
        (
            LearningRateSpace,
            {"choices": [0.1], "default": 1},
            "default must be in the choices or the range, got 1.0",
        ),
        (
            LearningRateSpace,
            {"low": 0.1, "high": 1, "default": 2},
            "default must be in the choices or the range, got 2.0",
        ),
        (BatchSizeSpace, {"choices": [2], "default": 3}, r"default must be one of \[2\], got 3"),
        (TrainingConfig, {"samples": 8}, r"samples must be at least evaluations \(9\), got 8"),
        (
            SearchConfig,
            {"race": 0.25, "objectives": ["score", "seconds"], "pruner": "none"},
            r"race: must be 0 with several objectives \(score, seconds\), which have no single "
            "best, got 0.25; optimize only score, or confirm the search",
        ),
        (
            SearchConfig,
            {"race": 0.25, "sampler": "grid"},
            "race: must be 0 with sampler grid, which trains every configuration once, got 0.25; "
            "choose another sampler, such as random",
        ),
        (
            SearchConfig,
            {"trials": None},
            "trials: must be a number without hours and samples, got null",
        ),
        (
            SearchConfig,
            {"confirm": 0.2},
            "confirm: must be 0 without hours and samples, of which it is a share, got 0.2",
        ),
        (
            SearchConfig,
            {"trials": 20, "stop": {"gain": 0.01}},
            r"stop.after: must be below 20 \(trials\), or nothing ends earlier, got 20",
        ),
        (
            SearchConfig,
            {"trials": 24, "race": 0.25, "stop": {"gain": 0.01}},
            r"stop.after: must be below 18 \(trials less the 6 of its race\), or nothing ends "
            "earlier, got 20",
        ),
        (
            SearchConfig,
            {"stop": {"gain": 0.01}, "objectives": ["score", "memory"], "pruner": "none"},
            r"stop: must be left out with several objectives \(score, memory\), which have no "
            "single gain",
        ),
        (
            StudyConfig,
            {**STUDY, "search": {"samples": 99}},
            r"search.samples: must be at least training.samples \(10000\), or no trial fits, "
            "got 99",
        ),
        (
            StudyConfig,
            {**STUDY, "search": {"stop": {"gain": 2}}},
            "search.stop.gain: must be below 1, the range of the score, got 2",
        ),
    ],
)
def test_what_does_not_go_together(model: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^s\.yaml: {message}\.$"):
        validate(model, given, "s.yaml")


@pytest.mark.parametrize(
    ("given", "expected"),
    [("~", "none"), ("null", "none"), ("none", "none"), ("ILN(gate=clip)", "ILN(gate=clip)")],
)
def test_yamls_null_is_the_norm_called_none(given: str, expected: str) -> None:
    read = yaml.safe_load(f"choices: [BN, {given}]")
    assert NormSpace.model_validate(read).choices == ("BN", expected)


@pytest.mark.parametrize(("given", "expected"), [("off", "off"), ("bfloat16", "bfloat16")])
def test_yamls_off_is_a_precision(given: str, expected: str) -> None:
    read = yaml.safe_load(f"amp: {given}")
    assert TrainingConfig.model_validate(read).amp == expected


def test_float16_needs_a_gpu() -> None:
    given = {**STUDY, "training": {"amp": "float16"}}
    with pytest.raises(ConfigError, match=r"amp float16 needs a GPU, and .*use bfloat16 on a CPU"):
        validate(StudyConfig, given, "s.yaml")
    on_gpu = {**given, "search": {"resources": {"gpu": 1}}}
    assert validate(StudyConfig, on_gpu, "s.yaml").training.amp == "float16"


def test_fold_names_may_look_like_numbers() -> None:
    task = TaskConfig.model_validate({"data": "x", "test_folds": [5, "b"], "validation_folds": [4]})
    assert task.test_folds == ("5", "b")
    assert task.validation_folds == ("4",)


def test_models_cannot_be_changed() -> None:
    study = StudyConfig.model_validate(STUDY)
    with pytest.raises(ValidationError, match="frozen"):
        study.name = "other"


@pytest.mark.parametrize("given", [STUDY, FULL], ids=["small", "full"])
def test_a_study_comes_back_from_its_folder(given: dict[str, Any], tmp_path: Path) -> None:
    study = validate(StudyConfig, given, "s.yaml")
    write_study(tmp_path, study)
    assert read_recorded_study(tmp_path) == study
    write_study(tmp_path, read_recorded_study(tmp_path))
    assert read_recorded_study(tmp_path) == study


def test_the_full_study_sets_every_key() -> None:
    # So that the round trip above covers a key that is added later.
    def missing(default: Any, given: Any, where: str) -> list[str]:
        if not isinstance(default, dict):
            return []
        return [
            found
            for key, value in default.items()
            for found in (
                [f"{where}{key}"]
                if key not in given
                else missing(value, given[key], f"{where}{key}.")
                if key != "wrapped"  # a pruner once more
                else []
            )
        ]

    whole = validate(StudyConfig, FULL, "s.yaml").model_dump(mode="json")
    ranges = ("learning_rate", "weight_decay", "gate_learning_rate_factor", "gradient_clipping")
    assert missing(whole, FULL, "") == [
        "trainer",
        *("task.foreground_share", "task.memory"),  # of patches
        "task.foreground_intensities",
        "task.classes",
        *(f"space.{name}.choices" for name in ranges),
        "search.constraints",  # of patches
        "network_digest",
    ]
    assert plain(validate(StudyConfig, FULL, "s.yaml"))["task"]["size"] == [64, 48]


def test_the_samples_of_a_budget_in_steps() -> None:
    training = TrainingConfig(budget="steps", steps=10, evaluations=2, accumulate=3)
    assert training.samples_of(4) == 120
    assert TrainingConfig(samples=90).samples_of(4) == 90


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"budget": "steps"}, "steps must be given with budget: steps"),
        ({"steps": 10}, "steps must be given with budget: steps"),
        ({"budget": "steps", "steps": 4, "evaluations": 5}, r"steps must be at least .* got 4"),
    ],
)
def test_budgets_that_cannot_be(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(TrainingConfig, given, "s.yaml")


@pytest.mark.parametrize("rate", [0.1, 1e-05, 3e-07, 1 / 3, 0.000123456789012345])
def test_a_trial_comes_back_from_json(rate: float, tmp_path: Path) -> None:
    study = validate(StudyConfig, FULL, "s.yaml")
    trial = TrialConfig(
        study=study.name,
        number=12,
        task=study.task,
        network=study.network,
        training=study.training,
        norm_map={"enc1.conv1.norm": "GN-8", "enc1.conv2.norm": "ILN(gate=clip,regroup=none)"},
        learning_rate=rate,
        batch_size=4,
        baseline="GN-8",
        device="cuda",
        threads=2,
        fingerprint=study.fingerprint,
        versions=study.versions,
    )
    path = tmp_path / "trials" / "0012" / "trial.json"
    trial.write(path)
    assert read_trial(path) == trial
    assert list(read_trial(path).norm_map) == list(trial.norm_map)
    assert json.loads(path.read_text())["learning_rate"] == rate
    assert TrialConfig.model_validate_json(path.read_text()) == trial


@pytest.mark.parametrize(
    ("task", "outputs", "slices", "shared"),
    [
        ({}, 1, 1, 0),
        ({"foreground": [1, 2]}, 1, 1, 0),
        ({"classes": [1, 2], "sample": "slab"}, 3, 16, 8),
        ({"sample": "slab", "depth": 5}, 1, 5, 2),
        ({"sample": "slab", "depth": 5, "overlap": 0}, 1, 5, 0),
        ({"sample": "stack"}, 1, 3, 0),
        ({"sample": "volume", "size": [16, 32, 32], "classes": [3]}, 2, 1, 0),
        ({"sample": "patch", "size": [32, 32]}, 1, 1, 0),
        ({"layout": "idx", "classes": [0, 1, 2]}, 3, 1, 0),
    ],
)
def test_what_a_task_asks_of_network_and_samples(
    task: dict[str, Any], outputs: int, slices: int, shared: int
) -> None:
    found = TaskConfig.model_validate({"data": "x", **task})
    assert (found.outputs, found.slices, found.shared) == (outputs, slices, shared)
    assert found.kind == ("classification" if task.get("layout") else "segmentation")


def test_a_recorded_study_has_no_aliases_where_values_are_shared(tmp_path: Path) -> None:
    shared = [1, {"a": [2]}]
    raw = {**FULL, "network": {"name": "m:f", "arguments": {"x": shared, "y": shared}}}
    study = validate(StudyConfig, raw, "s.yaml")
    write_study(tmp_path, study)
    assert "&" not in (tmp_path / "study.yaml").read_text()
    assert read_recorded_study(tmp_path) == study


def test_a_trial_of_ours_trains_on_one_gpu() -> None:
    raw: dict[str, Any] = {
        "name": "s",
        "task": {"data": "phantom"},
        "space": {"norm": {"choices": ["BN", "IN"]}, "learning_rate": 0.1, "batch_size": [2]},
        "search": {"resources": {"gpu": 2}},
    }
    with pytest.raises(ValueError, match=r"must be at most 1, .*one GPU.*got 2"):
        StudyConfig.model_validate(raw)
    own = {**raw, "trainer": "my_module:train"}
    assert StudyConfig.model_validate(own).search.resources.gpu == 2
