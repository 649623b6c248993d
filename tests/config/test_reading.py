import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from normsearch.config import SearchConfig, SpaceConfig, TrialConfig
from normsearch.config.reading import read_recorded_study, read_study, read_trial, validate
from normsearch.errors import ConfigError
from normsearch.files import shipped
from normsearch.norms import NORMS

SPACE: dict[str, Any] = {
    "norm": {"choices": ["BN", "IN"]},
    "learning_rate": 0.1,
    "batch_size": [2, 4],
}
STUDY: dict[str, Any] = {"name": "small", "task": {"data": "phantom"}, "space": SPACE}
NORM_NAMES = ", ".join(norm.form or name for name, norm in NORMS.items())


def changed(path: str, value: object) -> dict[str, Any]:
    """The small study with one key (``space.norm.per``) set, or removed by `...`."""
    raw = copy.deepcopy(STUDY)
    *parents, last = path.split(".")
    part = raw
    for parent in parents:
        part = part.setdefault(parent, {})
    if value is ...:
        del part[last]
    else:
        part[last] = value
    return raw


def message(raw: object, tmp_path: Path, *overrides: str) -> str:
    """What is said of a study file, which is called FILE in it."""
    path = tmp_path / "study.yaml"
    path.write_text(raw if isinstance(raw, str) else yaml.safe_dump(raw))
    with pytest.raises(ConfigError) as info:
        read_study(str(path), overrides)
    return str(info.value).replace(str(path), "FILE").replace(str(tmp_path), "FOLDER")


def test_a_misspelt_norm_inline(tmp_path: Path) -> None:
    raw = changed("space.norm.choices", ["BN", "INN"])
    assert message(raw, tmp_path) == (
        f"FILE: space.norm.choices[1]: must be one of {NORM_NAMES}, got 'INN'. Did you mean 'IN'?"
    )


def test_a_misspelt_norm_in_the_spaces_own_file(tmp_path: Path) -> None:
    wrong = {**SPACE, "norm": {"choices": ["BN", "IN", "GM-8"]}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(wrong))
    assert message({**STUDY, "space": "mine.yaml"}, tmp_path) == (
        f"FOLDER/mine.yaml: norm.choices[2]: must be one of {NORM_NAMES}, got 'GM-8'. "
        "Did you mean 'GN-8'?"
    )


UNKNOWN = [
    (
        "serach",
        "serach: unknown key, must be one of name, trainer, task, network, training, space, "
        "search, fingerprint, sample_shape, geometry, versions, network_digest. "
        "Did you mean 'search'?",
    ),
    (
        "space.learning-rate",
        "space.learning-rate: unknown key, must be one of norm, learning_rate, batch_size, "
        "weight_decay, gate_learning_rate_factor, affine, activation, gradient_clipping. "
        "Did you mean 'learning_rate'?",
    ),
    (
        "search.trails",
        f"search.trails: unknown key, must be one of {', '.join(SearchConfig.model_fields)}. "
        "Did you mean 'trials'?",
    ),
    (
        "search.pruner.min_resources",
        "search.pruner.min_resources: unknown key, must be one of name, arguments, min_resource, "
        "reduction_factor, startup_trials, warmup, patience, min_delta, wrapped. "
        "Did you mean 'min_resource'?",
    ),
    (
        "space.norm.choises",
        "space.norm.choises: unknown key, must be one of per, choices, by_slot, groups. "
        "Did you mean 'choices'?",
    ),
    (
        "space.norm.x-y",
        "space.norm.x-y: unknown key, must be one of per, choices, by_slot, groups.",
    ),
    (
        "x-y",
        "x-y: unknown key, must be one of name, trainer, task, network, training, space, "
        "search, fingerprint, sample_shape, geometry, versions, network_digest.",
    ),
]


@pytest.mark.parametrize(("path", "expected"), UNKNOWN, ids=[path for path, _ in UNKNOWN])
def test_an_unknown_key(path: str, expected: str, tmp_path: Path) -> None:
    assert message(changed(path, 1), tmp_path) == f"FILE: {expected}"


@pytest.mark.parametrize("path", ["name", "task.data", "space", "space.norm", "space.norm.choices"])
def test_a_missing_key(path: str, tmp_path: Path) -> None:
    assert message(changed(path, ...), tmp_path) == f"FILE: {path}: must be given, and is not."


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (
            "search.trials",
            "many",
            "must be a valid integer, unable to parse string as an integer, got 'many'.",
        ),
        ("search.trials", 0, "must be greater than 0, got 0."),
        ("search.trials", 2.5, "must be a valid integer, got a number with a fractional part, got"),
        ("search", 5, "must be a mapping of keys, got 5."),
        ("search", None, "must be a mapping of keys, got None."),
        ("name", 3, "must be a valid string, got 3."),
        ("name", "my study", "must be a run's name: 1 to 80 letters"),
        ("task.test_folds", 5, "must be a list, got 5."),
        ("task.validation_fraction", 1.0, "must be less than 1, got 1.0."),
        ("space.learning_rate", True, "must be a mapping of keys, got True."),
        ("space.norm.choices", [], "must have at least 1 item, got []."),
        ("space.norm.choices", "BN", "must be a list, got 'BN'."),
        ("network.depth", 9, "must be less than or equal to 8, got 9."),
        ("search.checkpoints", "s3://key:secret@bucket", "must hold no password"),
    ],
)
def test_a_wrong_type_or_number(path: str, value: object, expected: str, tmp_path: Path) -> None:
    assert message(changed(path, value), tmp_path).startswith(f"FILE: {path}: {expected}")


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("task.size", [64], "task.size: must be (y, x) if a sample is a slice, got [64]."),
        ("task.augmentation", {"scale": [2, 0]}, "task.augmentation.scale[1]: must be greater"),
        ("task.classes", [1, 256], "task.classes[1]: must be less than or equal to 255, got 256"),
        ("task.size", [64, -1], "task.size[1]: must be greater than 0, got -1."),
        ("space.batch_size", [2, 0], "space.batch_size.choices[1]: must be greater than 0, got 0."),
        ("space.norm.choices", ["BN", 3], "space.norm.choices[1]: must be a valid string, got 3."),
        ("space.norm.groups", [4, 0], "space.norm.groups[1]: must be greater than 0, got 0."),
        ("task.intensity", [1], "task.intensity[1]: must be given, and is not."),
        ("task.intensity", [1, "a"], "task.intensity[1]: must be a valid number"),
    ],
)
def test_one_item_of_a_list(path: str, value: object, expected: str, tmp_path: Path) -> None:
    assert message(changed(path, value), tmp_path).startswith(f"FILE: {expected}")


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("space.norm.per", "leyer", "layer, block, stage, network, got 'leyer'. {} 'layer'?"),
        (
            "search.sampler",
            "tpee",
            "gp, tpe, random, grid, genetic, evonms, evolution, or an import path such as "
            "optuna.samplers:QMCSampler, got 'tpee'. {} 'tpe'?",
        ),
        (
            "search.pruner.name",
            "xx",
            "successive_halving, hyperband, median, patient, none, or an import path such as "
            "optuna.pruners:PercentilePruner, got 'xx'.",
        ),
        (
            "task.intensity",
            "percntile",
            "minmax, percentile, zscore, zscore_body, ct, or an import path such as my_data:rank, "
            "got 'percntile'. {} 'percentile'?",
        ),
        (
            "training.optimizer",
            "sdg",
            "sgd, adam, adamw, or an import path such as torch.optim:RAdam, got 'sdg'. {} 'sgd'?",
        ),
        (
            "training.metric",
            "dise",
            "dice, global_dice, iou, surface_dice, accuracy, balanced_accuracy, or an import path "
            "such as my_metrics:missed_volume, got 'dise'. {} 'dice'?",
        ),
    ],
)
def test_a_wrong_word(path: str, value: object, expected: str, tmp_path: Path) -> None:
    sentence = f"FILE: {path}: must be one of {expected.format('Did you mean')}"
    assert message(changed(path, value), tmp_path) == sentence


def test_further_faults_are_counted(tmp_path: Path) -> None:
    raw = changed("search.trials", 0)
    raw["training"] = {"samples": 0, "schedule": "linear"}
    raw["task"]["intensity"] = "no such"  # one fault, though a union has two branches
    assert message(raw, tmp_path).endswith(" (3 more errors.)")


def test_a_misspelt_key_is_told_before_the_key_that_is_missing_for_it(tmp_path: Path) -> None:
    sentence = message(changed("search.stop", {"gane": 0.01}), tmp_path)
    assert sentence == (
        "FILE: search.stop.gane: unknown key, must be one of gain, after. Did you mean 'gain'? "
        "(1 more error.)"
    )


def test_values_that_do_not_go_together(tmp_path: Path) -> None:
    assert message(changed("training.samples", 3), tmp_path) == (
        "FILE: training: samples must be at least evaluations (9), got 3."
    )
    assert message(changed("space.batch_size", {"choices": [2], "default": 3}), tmp_path) == (
        "FILE: space.batch_size: default must be one of [2], got 3."
    )


def test_a_password_is_not_repeated(tmp_path: Path) -> None:
    assert "secret" not in message(changed("search.checkpoints", "s3://key:secret@b"), tmp_path)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("trials", "--set trials: must be key=value, such as search.trials=20."),
        ("=3", "--set =3: must be key=value, such as search.trials=20."),
        (".trials=3", "--set .trials=3: must be key=value, such as search.trials=20."),
        (
            "search..trials=3",
            "--set search..trials=3: must be key=value, such as search.trials=20.",
        ),
        ("name.x=3", "--set name.x=3: name must be a mapping to hold x."),
        ("name=: [", "--set name: the value must be valid YAML, got ': [' (line 1, column 1: "),
        (
            "name=!!int ''",
            "--set name: the value must be valid YAML, got \"!!int ''\" (line 1: ",
        ),
        ("task={data: a, data: b}", "--set task: the value must be valid YAML, got '{data: a, "),
        (
            "search.trials=",
            "FILE: search.trials: must be a number without hours and samples, got null.",
        ),
        (
            "search.trails=3",
            f"FILE: search.trails: unknown key, must be one of "
            f"{', '.join(SearchConfig.model_fields)}. Did you mean 'trials'?",
        ),
    ],
)
def test_faults_of_set(override: str, expected: str, tmp_path: Path) -> None:
    assert message(STUDY, tmp_path, override).startswith(expected)


def test_set_takes_effect(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(STUDY))
    study, _ = read_study(
        str(path),
        [
            "search.trials=3",
            "search.pruner.name=none",
            "space.norm.choices=[LN, ~]",
            "name=a",
        ],
    )
    assert study.name == "a"
    assert study.search.trials == 3
    assert study.search.pruner.name == "none"
    assert study.space.norm.choices == ("LN", "none")


def test_set_can_name_another_space(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(STUDY))
    study, origin = read_study(str(path), ["space=single_norm"])
    assert study.space.norm.per == "network"
    assert origin == f"{shipped('search_spaces') / 'single_norm.yaml'}: "


def test_what_stands_before_a_key_of_the_space(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(STUDY))
    assert read_study(str(path))[1] == f"{path}: space."
    beside = tmp_path / "spaces" / "own.yaml"
    beside.parent.mkdir()
    beside.write_text(yaml.safe_dump(SPACE))
    path.write_text(yaml.safe_dump({**STUDY, "space": "spaces/own.yaml"}))
    assert read_study(str(path))[1] == f"{beside}: "


def test_no_such_study() -> None:
    names = ", ".join(sorted(path.stem for path in shipped("studies").glob("*.yaml")))
    with pytest.raises(ConfigError) as info:
        read_study("quikstart")
    assert str(info.value) == (
        f"quikstart: must be a YAML file or one of {names}, and no such file exists. "
        "Did you mean 'quickstart'?"
    )


def test_no_such_space(tmp_path: Path) -> None:
    found = message({**STUDY, "space": "per_leyer"}, tmp_path)
    names = ", ".join(sorted(path.stem for path in shipped("search_spaces").glob("*.yaml")))
    assert found == (
        f"per_leyer: must be a YAML file or one of {names}, and no such file exists. "
        "Did you mean 'per_layer'?"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a\n- b\n", "FILE: must be a mapping of keys, got list."),
        ("", "FILE: must be a mapping of keys, and the file is empty."),
        ("just words", "FILE: must be a mapping of keys, got str."),
    ],
)
def test_a_file_that_is_no_mapping(text: str, expected: str, tmp_path: Path) -> None:
    assert message(text, tmp_path) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name: [a\ntask: b\n", "line 2, column 5"),
        ("name: a\n\ttask: b\n", "line 2, column 1"),
        ("name: !!python/object:os.system x\n", "line 1: there must be no tag"),
        ("name: a\x01b\n", "control characters are not allowed"),
        ("name: &a x\ntask: *a\n", "line 1: there must be no & and no *, got a"),
        ("training: {weight_decay: .inf}\n", "line 1: a number must be finite, got .inf"),
        ("name: *a\n", "line 1: there must be no & and no *, got a"),
        ("a: 1\n---\nb: 2\n", "line 2: there must be one document"),
    ],
)
def test_broken_yaml(text: str, reason: str, tmp_path: Path) -> None:
    found = message(text, tmp_path)
    assert re.match(r"FILE: must be valid YAML or JSON: .*\.$", found)
    assert reason in found
    assert "\n" not in found


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ConfigError, match=r"study\.yaml: must be in UTF-8, got"):
        read_study(str(path))


def test_a_space_file_that_is_no_mapping_is_the_one_named(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("[1]")
    assert message({**STUDY, "space": "mine.yaml"}, tmp_path) == (
        "FOLDER/mine.yaml: must be a mapping of keys, got list."
    )


def test_recorded_files_that_are_missing(tmp_path: Path) -> None:
    for read, name in ((read_recorded_study, "study.yaml"), (read_trial, "trial.json")):
        given = tmp_path if name == "study.yaml" else tmp_path / name
        with pytest.raises(ConfigError, match=rf"{name}: must be an existing file, and there is"):
            read(given)


def test_a_fault_below_a_slots_name() -> None:
    whole = {
        "study": "s",
        "number": 0,
        "task": {"data": "phantom"},
        "network": {},
        "training": {},
        "norm_map": {"enc1.conv1.norm": 3},
        "learning_rate": 0.1,
        "batch_size": 2,
    }
    with pytest.raises(ConfigError) as info:
        validate(TrialConfig, whole, "trial.json")
    assert str(info.value) == (
        "trial.json: norm_map.enc1.conv1.norm: must be a valid string, got 3."
    )


STUDIES = sorted(shipped("studies").glob("*.yaml"))
SPACES = sorted(shipped("search_spaces").glob("*.yaml"))


def test_something_is_shipped() -> None:
    assert "quickstart" in [path.stem for path in STUDIES]
    assert "per_layer" in [path.stem for path in SPACES]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_shipped_study_is_valid_and_named_as_its_file(path: Path) -> None:
    study, _ = read_study(path.stem)
    assert study.name == path.stem
    assert study == read_study(str(path))[0]


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_a_shipped_space_is_valid(path: Path, tmp_path: Path) -> None:
    validate(SpaceConfig, yaml.safe_load(path.read_text()), str(path))
    study = tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump({**STUDY, "space": path.stem}))
    assert read_study(str(study))[1] == f"{path}: "


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ({"size": [8, 8, 8]}, "size: must be (y, x) if a sample is a slice, got [8, 8, 8]."),
        (
            {"sample": "volume", "size": [8, 8]},
            "size: must be (z, y, x) if a sample is a volume",
        ),
        ({"depth": 3}, "depth: must be left out if a sample is a slice, got 3."),
        (
            {"sample": "stack", "depth": 4},
            "depth: must be odd, so that a stack has a middle slice, got 4",
        ),
        ({"sample": "stack", "overlap": 1}, "overlap: must be left out if a sample is a stack"),
        ({"sample": "slab", "overlap": 16}, "overlap: must be below depth (16), got 16."),
        ({"augmentation": {"flip": ["z"]}}, "augmentation: a slice can be flipped along y and x"),
        (
            {"augmentation": {"rotation": [60, -60, 2]}},
            "augmentation.rotation: must be lowest, then highest, got 60, then -60.",
        ),
        (
            {"layout": "nifti"},
            "layout: must be one of auto, manifest, nnunet, msd, folders, idx, or",
        ),
    ],
)
def test_samples_that_cannot_be(task: dict[str, Any], expected: str, tmp_path: Path) -> None:
    raw = changed("task.data", "x")
    raw["task"] |= task
    assert message(raw, tmp_path).startswith(f"FILE: task.{expected}")


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (
            {"classes": [1], "foreground": [1]},
            "foreground and classes must not both be given; leave",
        ),
        ({"classes": [2, 2]}, "classes must be label values, each once, got [2, 2]."),
        ({"foreground": []}, "foreground must be label values, each once, got []."),
    ],
)
def test_classes_that_cannot_be(task: dict[str, Any], expected: str, tmp_path: Path) -> None:
    raw = changed("task.data", "x")
    raw["task"] |= task
    assert message(raw, tmp_path).startswith(f"FILE: task: {expected}")


def test_a_key_given_twice(tmp_path: Path) -> None:
    text = yaml.safe_dump(STUDY) + "name: other\n"
    line = len(text.splitlines())
    assert message(text, tmp_path) == (
        f"FILE: must be valid YAML or JSON: line {line}: the key name is given twice."
    )
