"""Arguments of a study's methods in Python are validated as on the command line."""

import functools
from typing import Any

import pytest

import normsearch
from normsearch.config.reading import study_of
from normsearch.errors import ConfigError

SPACE = {"norm": {"choices": ["BN"]}, "learning_rate": 0.1, "batch_size": 2}


@pytest.mark.parametrize(
    ("verb", "given", "message"),
    [
        ("run", {"executor": "loacl"}, r"run\(\): executor: .*'loacl'\. Did you mean 'local'\?"),
        ("run", {"executor": None}, r"executor: .*None"),
        ("run", {"workers": 0}, r"workers: .*got 0"),
        ("run", {"workers": -1}, r"workers: .*got -1"),
        ("run", {"workers": True}, r"workers: must be a number, got true"),
        ("resume", {"workers": "a"}, r"resume\(\): workers: .*'a'"),
        ("run", {"callbacks": 5}, r"callbacks: must be a list .*5"),
        ("run", {"callbacks": [5]}, r"callbacks\[0\]: must be a function .*5"),
        ("confirm", {"folds": "al"}, r"confirm\(\): folds: .*Did you mean 'all'"),
        ("confirm", {"folds": ["1"]}, r"folds: .*\['1'\]"),
        ("confirm", {"top": -1}, r"top: .*-1"),
        ("confirm", {"seeds": "x"}, r"seeds: .*'x'"),
        ("confirm", {"design": "look"}, r"design: .*Did you mean 'looks'"),
        ("confirm", {"trainings": 8.5}, r"trainings: .*8\.5"),
        ("confirmation", {"trainings": True}, r"trainings: must be a number, got true"),
    ],
)
def test_arguments(verb: str, given: dict[str, Any], message: str, tmp_path: Any) -> None:
    study = normsearch.Study("s", task="phantom", space=SPACE, runs_dir=tmp_path / "runs")
    with pytest.raises(ConfigError, match=message):
        getattr(study, verb)(**given)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"search": {"trials": True}}, r"search\.trials: must be a number, got true"),
        ({"space": SPACE | {"batch_size": [True]}}, r"batch_size.*must be a number, got true"),
        ({"network": {"name": ""}}, r"network\.name: must not be an empty text"),
        ({"space": SPACE | {"activation": ""}}, r"activation.*must not be an empty text"),
        ({"training": "x"}, r"training: must be a mapping of keys, got 'x'"),
        ({"space": 5}, r"space: must be a mapping of keys, got 5"),
    ],
)
def test_parts(given: dict[str, Any], message: str) -> None:
    parts: dict[str, Any] = {"task": "phantom", "network": None, "training": None, "search": None}
    with pytest.raises(ConfigError, match=message):
        study_of("s", None, **{**parts, "space": SPACE, **given})


def test_a_data_set_is_given_once_and_trainers_have_names() -> None:
    with pytest.raises(ConfigError, match=r"task\.data: must be left out .*'phantom'"):
        normsearch.Study("s", task="phantom", data=[("a", "b")], space=SPACE)
    with pytest.raises(ConfigError, match="trainer: must be a function"):
        normsearch.Study("s", trainer=functools.partial(print), space=SPACE)
    assert dir(normsearch) == normsearch.__all__
