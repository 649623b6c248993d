"""Networks by `module:function`: found, built, checked; every fault in one sentence."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from normsearch.config import NetworkConfig
from normsearch.errors import NetworkError
from normsearch.networks import build_network, list_norms
from normsearch.trials.trial_network import build_trial_network

SOURCE = """
import torch
from torch import nn

def build(out_channels, width=4):
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.Conv2d(width, out_channels, 1)
    )

def every(in_channels, out_channels, seed, **others):
    net = build(out_channels)
    net.given = (in_channels, seed, others)
    return net

def number(): return 3
def refuse(kind): raise KeyError(kind)
value = 7
class Nested:
    build = staticmethod(build)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module in the working folder, which is on no import path."""
    name = "mynet_of_the_tests"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield name
    sys.modules.pop(name, None)


def test_it_is_built_with_what_it_takes(module: str) -> None:
    net = build_network(f"{module}:build", in_channels=5, out_channels=2, arguments={"width": 6})
    assert [net[0].in_channels, net[0].out_channels, net[2].out_channels] == [1, 6, 2]
    net = build_network(f"{module}:every", in_channels=5, seed=3, arguments={"seed": 4, "name": 1})
    assert net.given == (5, 4, {"name": 1})
    assert isinstance(build_network(f"{module}:Nested.build"), nn.Sequential)


def test_the_seed_decides_the_weights_and_nothing_else(module: str) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    nets = [build_network(f"{module}:build", seed=seed) for seed in (7, 7, 8)]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(nets[0][0].weight, nets[1][0].weight)
    assert not torch.equal(nets[0][0].weight, nets[2][0].weight)


def test_a_study_says_it_in_yaml(module: str) -> None:
    config = NetworkConfig(name=f"{module}:build", arguments={"width": 8}, seed=2)
    assert [slot.channels for slot in list_norms(build_trial_network(config, 1))] == [8]


def test_objects_among_the_arguments() -> None:
    arguments = {"in_channels": 2, "kernel_size": 1, "dtype": {"import": "torch:float64"}}
    assert build_network("torch.nn:Conv2d", arguments=arguments).weight.dtype == torch.float64
    arguments = {"args": [{"import": "torch.nn:ReLU"}], "x": {"y": {"import": "torch:relu"}}}
    seen = build_network(f"{__name__}:Keeper", arguments=arguments).seen
    assert seen == {"args": [nn.ReLU], "x": {"y": torch.relu}}


class Keeper(nn.Module):
    """Keeps what it was given."""

    def __init__(self, args: object, x: object) -> None:
        super().__init__()
        self.seen = {"args": args, "x": x}


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("nosuch:build", {}, r"^nosuch:build: must name a module that is installed or lies in /"),
        ("nosuch.deeper:build", {}, "and there is no nosuch; install it, or run from the folder"),
        ("{}:biuld", {}, r"must name something in {}, got 'biuld'. Did you mean 'build'\?"),
        ("{}:Nested.biuld", {}, r"got 'biuld'. Did you mean 'build'\?"),
        ("{}:", {}, "must be of the form module:function"),
        ("{}:value", {}, "must be a function or class, got a int"),
        ("{}:number", {}, r"must return an nn.Module, got a int$"),
        (
            "{}:build",
            {"with": 3},
            r"given \(out_channels, with\), and says: build\(\) got an unexp",
        ),
        ("{}:refuse", {}, "given .no arguments., and says: .* missing 1 required .* 'kind'"),
        ("{}:refuse", {"kind": "a"}, "and says: KeyError 'a'; see network.arguments"),
        ("{}:refuse", {"kind": {"import": "torch:nosuch"}}, "^torch:nosuch: must name something"),
    ],
)
def test_faults(module: str, text: str, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(NetworkError, match=message.replace("{}", module)):
        build_network(text.replace("{}", module), arguments=arguments)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "import nosuch_too",
            "broken:build: must be importable, and says: No module named 'nosuch",
        ),
        ("def build(:", "must be importable, and says: .*line 1"),
        ("1 / 0", "must be importable, and says: division by zero"),
    ],
)
def test_a_module_that_cannot_be_imported(module: str, source: str, message: str) -> None:
    Path("broken.py").write_text(source)
    with pytest.raises(NetworkError, match=message):
        build_network("broken:build")
