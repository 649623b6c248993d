"""Every kind is extended by an import path from a user's folder, as docs/extending.md says."""

import importlib
import inspect
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

import normsearch
from normsearch.cli.main import main
from normsearch.config import StudyConfig
from normsearch.config.reading import validate
from normsearch.data import Preparation, load_cases
from normsearch.data.cache_entries import ENTRY
from normsearch.errors import ConfigError, DataError, NormsearchError, TrustError
from normsearch.trials.trust import refuse_unseen_code

PAGE = Path(__file__).resolve().parents[1] / "docs" / "extending.md"
FILES = dict(re.findall(r"```python\n# (\w+)\.py\n(.*?)```", PAGE.read_text(), re.DOTALL))
PARTS: list[dict[str, Any]] = [
    yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
]
OF_TRAINER = PARTS.pop()
USED = (
    *("my_metrics:missed_volume", "my_losses:weighted", "my_optimizers:nesterov"),
    *("my_schedules:warm_up", "my_transforms:noise", "my_layouts:by_name"),
    *("my_networks:two_layers", "my_search:Draws.sample_independent", "my_search:Hopeless.prune"),
    *("my_loggers:Lines.__call__", "my_data:ranks", "my_data:nearest"),
)


def merged(into: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Return a mapping with the keys of another, level by level."""
    both = {
        key: merged(into[key], value)
        for key, value in part.items()
        if isinstance(value, dict) and isinstance(into.get(key), dict)
    }
    return {**into, **part, **both}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's folder with the page's files, as the working folder."""
    for name, text in FILES.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.setenv("NORMSEARCH_RUNS", str(tmp_path / "runs"))
    yield tmp_path
    for name in FILES:
        sys.modules.pop(name, None)


@pytest.fixture
def calls(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each of the page's functions was called."""
    counted = Counter[str]()

    def counting(text: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            counted[text] += 1
            return function(*args, **kwargs)

        call.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
        return call

    for text in USED:
        module, _, name = text.partition(":")
        owner: Any = import_module(module)
        *parents, last = name.split(".")
        for parent in parents:
            owner = getattr(owner, parent)
        monkeypatch.setattr(owner, last, counting(text, getattr(owner, last)))
    return counted


def command(*words: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["normsearch", *words])
        with pytest.raises(SystemExit) as end:
            main()
    assert end.value.code in (0, None)


def test_every_kind_by_its_import_path(
    folder: Path,
    calls: Counter[str],
    study_file: Path,
    data_set: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    raw = yaml.safe_load(study_file.read_text()) | {"network": {}}
    for part in PARTS:
        raw = merged(raw, part)
    study_file.write_text(yaml.safe_dump(raw))
    command("run", str(study_file), "--local", "--data", str(data_set))
    assert set(calls) == set(USED)
    told = capsys.readouterr().out
    assert re.search(r"Best validation missed volume \(ml\) .* lower is better", told)

    study = normsearch.open_study("tiny")
    table = study.trials().query("state == 'COMPLETE'")
    assert study.record.best == table.sort_values("score")["number"].iloc[0]
    assert study.best is not None
    assert (study.best["metric"], study.best["direction"]) == ("missed volume (ml)", "minimize")
    assert "started 0" in (study.folder / "lines.txt").read_text().splitlines()
    command("plot", "my_figures:scores", "tiny")
    assert (study.folder / "report" / "my_figures-scores.png").is_file()
    page = study.report().read_text()
    assert "missed volume (ml) (lower is better)" in page
    assert study.resume(trials=7, executor="local").finished  # its code lies in sight


def test_a_trainer_whose_scores_are_minimized(folder: Path, tmp_path: Path) -> None:
    raw = {
        "training": {"samples": 24, "evaluations": 3},
        "space": {
            "norm": {"choices": ["none", "BN", "IN"]},
            "learning_rate": {"low": 0.01, "high": 0.2, "default": 0.1},
            "batch_size": [2],
        },
        "search": {"trials": 5},
    }
    study = normsearch.Study("own", **merged(raw, OF_TRAINER)).run(executor="local")
    scores = study.trials().set_index("number")["score"].dropna()
    assert study.record.ranked() == scores.sort_values(kind="stable").index.tolist()
    assert (study.record.metric, study.record.direction) == ("loss", "minimize")
    assert study.record._study.direction.name == "MINIMIZE"


KEYS = {
    "training.metric": "dise",
    "training.loss": "dice_bce",
    "training.optimizer": "adamm",
    "training.schedule": "cosin",
    "task.layout": "folder",
    "task.intensity": "minmx",
    "task.fit": "resise",
    "search.sampler": "tpee",
    "search.pruner.name": "mediann",
    "search.callbacks[0]": "wandbb",
}
"""Key -> a name that is none, near one that is."""


def of_key(key: str, value: str) -> dict[str, Any]:
    """Return a study with one key set."""
    raw: dict[str, Any] = {
        "name": "s",
        "task": {"data": "squares"},
        "space": {"norm": {"choices": ["BN", "IN"]}, "learning_rate": 0.1, "batch_size": [2]},
    }
    part: Any = [value] if key.endswith("[0]") else value
    for name in reversed(key.removesuffix("[0]").split(".")):
        part = {name: part}
    return merged(raw, part)


def test_cases_are_prepared_again_by_changed_code(folder: Path, data_set: Path) -> None:
    """A cached case is of the code it was prepared with, and of the modules that it imports."""
    cache, preparation = folder / "cache", Preparation(intensity="my_data:ranks")

    def greatest() -> float:
        sys.modules.pop("my_data", None)  # as another process would find it
        sys.modules.pop("my_factor", None)
        importlib.invalidate_caches()
        return float(load_cases(data_set / "squares", preparation, cache=cache)[0].image.max())

    def entries() -> int:
        return len(list(cache.glob(f"*/{ENTRY}")))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)
        before = greatest()
        kept = entries()
        assert (greatest(), entries()) == (before, kept)
        (folder / "my_factor.py").write_text("def factor(): return 2\n")
        code = FILES["my_data"].replace("values.size", "values.size * factor()")
        (folder / "my_data.py").write_text("from my_factor import factor\n" + code)
        assert (greatest(), entries()) == (2 * before, 2 * kept)
        (folder / "my_factor.py").write_text("def factor(): return 4  # more\n")
        assert (greatest(), entries()) == (4 * before, 3 * kept)


@pytest.mark.parametrize(
    ("option", "code", "message"),
    [
        ("intensity", "return values[0]", r"task.intensity: .* values in the shape .* got shape"),
        ("fit", "return image, label", r"task.fit: .* must return image and label of the shapes"),
    ],
)
def test_a_preparation_that_returns_other_shapes_is_refused(
    option: str, code: str, message: str, folder: Path, data_set: Path
) -> None:
    given = "values" if option == "intensity" else "image, label, size"
    (folder / "my_data.py").write_text(f"def wrong({given}):\n    {code}\n")
    preparation = Preparation(size=(8, 8), **{option: "my_data:wrong"})
    with pytest.raises(DataError, match=message):
        load_cases(data_set / "squares", preparation)


@pytest.mark.parametrize("key", KEYS)
def test_a_name_that_is_none_is_refused_with_the_nearest(key: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"s.yaml: {key}: must be one of ")) as error:
        validate(StudyConfig, of_key(key, KEYS[key]), "s.yaml")
    assert re.search(rf"got '{KEYS[key]}'\. Did you mean '\w+'\?$", str(error.value))


@pytest.mark.parametrize("key", [*KEYS, "trainer", "task.augmentation.transforms[0]"])
def test_code_out_of_sight_is_refused_of_a_run_from_elsewhere(key: str) -> None:
    study = validate(StudyConfig, of_key(key, "subprocess:run"), "s.yaml")
    with pytest.raises(TrustError, match=r"runs/s: .*subprocess:run"):
        refuse_unseen_code(study, "runs/s")
    in_sight = validate(StudyConfig, of_key(key, "tests.specs:SPECS"), "s.yaml")
    refuse_unseen_code(in_sight, "runs/s")


@pytest.mark.parametrize("text", ["torch.nn:BCEWithLogitsLoss", "monai.losses:DiceLoss"])
def test_installed_classes_of_losses_are_no_surprise(text: str) -> None:
    refuse_unseen_code(validate(StudyConfig, of_key("training.loss", text), "s.yaml"), "runs/s")


def test_random_transforms_of_monai_are_no_surprise_but_what_they_call_may_be() -> None:
    def study(name: str, arguments: dict[str, Any]) -> StudyConfig:
        listed = [{"name": f"monai.transforms:{name}", "arguments": arguments}]
        raw = of_key("task.augmentation.transforms", "")
        raw["task"]["augmentation"] = listed
        return validate(StudyConfig, raw, "s.yaml")

    refuse_unseen_code(study("RandBiasField", {"prob": 0.5}), "runs/s")
    refuse_unseen_code(study("RandLambda", {"func": {"import": "tests.specs:SPECS"}}), "runs/s")
    with pytest.raises(TrustError, match=r"runs/s: .*subprocess:run"):
        refuse_unseen_code(study("RandLambda", {"func": {"import": "subprocess:run"}}), "runs/s")
    with pytest.raises(TrustError, match=r"runs/s: .*monai.transforms:SaveImage"):
        refuse_unseen_code(study("SaveImage", {}), "runs/s")


@pytest.mark.parametrize(
    "key",
    [
        *("training.metric", "training.loss", "training.optimizer", "training.schedule"),
        *("task.layout", "task.augmentation.transforms[0]", "search.sampler", "search.pruner"),
        *("task.intensity", "task.fit"),
    ],
)
def test_an_import_path_of_nothing_is_one_sentence(
    key: str, folder: Path, data_set: Path, tmp_path: Path
) -> None:
    raw = of_key(key, "my_metrics:missing")
    parts = {name: raw[name] for name in ("task", "training", "search") if name in raw}
    study = normsearch.Study("s", data=data_set, **parts, space=raw["space"])
    where = key.removesuffix("[0]")
    with pytest.raises(NormsearchError, match=rf"^{where}: .*my_metrics.*'missing'"):
        study.prepare()
    assert not (tmp_path / "runs").exists()
