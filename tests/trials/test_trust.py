"""Whose code runs without a word."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from normsearch.config import NetworkConfig, StudyConfig, TaskConfig, TrialConfig
from normsearch.errors import TrustError
from normsearch.networks import locate
from normsearch.trials.trust import (
    code_of,
    refuse_foreign_code,
    refuse_unseen_code,
    refuse_unseen_network,
)

SPACE = {"norm": {"choices": ["BN"]}, "learning_rate": 0.1, "batch_size": 2}


@pytest.fixture(autouse=True)
def _mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module in the working folder that must never be run."""
    (tmp_path / "mine_of_the_tests.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


def study(**parts: Any) -> StudyConfig:
    given = {"name": "s", "task": {"data": "x"}, "space": SPACE}
    return StudyConfig.model_validate({**given, **parts})


def network(name: str, **arguments: Any) -> NetworkConfig:
    return NetworkConfig(name=name, arguments=arguments)


def model(network: NetworkConfig, **task: Any) -> TrialConfig:
    return TrialConfig.model_construct(network=network, task=TaskConfig(data="x", **task))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("mine_of_the_tests:x", "in sight"),
        ("torch.nn:Conv2d", "installed"),
        *[(text, "of Python") for text in ("os:system", "builtins:exec", "shutil:rmtree", "sys:x")],
        *[(text, None) for text in ("nosuch_at_all:x", "nosuch.deeper:x", "os.nosuch:x", ":x")],
    ],
)
def test_where_a_module_lies(text: str, place: str | None) -> None:
    assert locate(text) == place


def test_what_a_network_names() -> None:
    deep = {"a": [{"import": "b:c"}, {"d": {"import": "e:f"}}], "g": 1}
    assert code_of(network("h:i", **deep)) == ["h:i", "b:c", "e:f"]
    assert code_of(NetworkConfig(name="unet2d")) == []


@pytest.mark.parametrize("name", ["os:system", "torch.nn:Conv2d", "normsearch.networks:UNet2d"])
def test_a_model_names_networks_of_this_package_alone(name: str) -> None:
    refuse_foreign_code(model(NetworkConfig()), "model.json")
    with pytest.raises(TrustError, match=rf"^model.json: .* {name}, a:b; .*--trust-code"):
        refuse_foreign_code(model(network(name, x={"import": "a:b"})), "model.json")
    with pytest.raises(TrustError, match=r"^model.json: .* a:b, c:d; "):
        refuse_foreign_code(model(NetworkConfig(), intensity="a:b", fit="c:d"), "model.json")


@pytest.mark.parametrize(
    "given",
    [
        NetworkConfig(),
        network("mine_of_the_tests:Net"),
        network("torch.nn:Conv2d", dtype={"import": "torch:float64"}),
        network("mine_of_the_tests:Net", op={"import": "torch.nn:Conv3d"}),
        network("nosuch_at_all:Net"),  # refused by the import itself, in better words
    ],
)
def test_what_a_run_may_name(given: NetworkConfig) -> None:
    refuse_unseen_network(given, "s")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (network("os:system", command="x"), "os:system"),
        (network("torch:load", f="x"), "torch:load"),
        (network("mine_of_the_tests:Net", op={"import": "os:system"}), "os:system"),
        (network("torch.nn:Conv2d", op=[{"import": "torch:load"}]), "torch:load"),
    ],
)
def test_what_a_run_may_not_name(given: NetworkConfig, named: str) -> None:
    with pytest.raises(TrustError, match=rf"^s: must name code that lies in sight .*got {named}; "):
        refuse_unseen_network(given, "s")


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"network": {"name": "os:system"}}, "os:system"),
        ({"space": {"function": "os:system"}}, "os:system"),
        ({"space": {"function": "torch:load"}}, "torch:load"),
        ({"search": {"sampler": "os:system"}}, "os:system"),
        ({"search": {"sampler": "optunahub:samplers/auto:Auto"}}, "optunahub:samplers/auto:Auto"),
    ],
)
def test_a_study_names_more_than_a_network(parts: dict[str, Any], named: str) -> None:
    with pytest.raises(TrustError, match=rf"^s: .*got {named}; "):
        refuse_unseen_code(study(**parts), "s")


@pytest.mark.parametrize(
    "parts",
    [
        {"space": {"function": "mine_of_the_tests:ask"}},
        {"search": {"sampler": "optuna.samplers:CmaEsSampler"}},
        {"search": {"sampler": "mine_of_the_tests:Sampler"}},
    ],
)
def test_what_a_study_may_name(parts: dict[str, Any]) -> None:
    refuse_unseen_code(study(**parts), "s")
