"""What tells one network from another, and what does not."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from normsearch.config import NetworkConfig, NetworkDigest, TaskConfig, TrainingConfig, TrialConfig
from normsearch.errors import ChangedNetworkError, NetworkError
from normsearch.networks import NETWORKS, UNet2d, fixed_output, parameters_digest, same_output
from normsearch.trials.trial_network import (
    digest_network,
    refuse_changed_network,
    refuse_other_network,
)

SHAPE = (1, 16, 16)
NAME = "digested_of_the_tests"
NET = f"""
import {NAME}_blocks as blocks
from {NAME}_other import unused
from torch import nn

class Net(nn.Module):
    def __init__(self, in_channels=1, out_channels=1):
        super().__init__()
        self.block, self.out = blocks.Block(in_channels), nn.Conv2d(4, out_channels, 1)

    def forward(self, x):
        return self.out(self.block(x))
"""
BLOCKS = """
from torch import nn

class Block(nn.Sequential):
    def __init__(self, channels):
        super().__init__(nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with a network in three modules."""
    (tmp_path / f"{NAME}.py").write_text(NET)
    (tmp_path / f"{NAME}_blocks.py").write_text(BLOCKS)
    (tmp_path / f"{NAME}_other.py").write_text("def unused(): pass\n")
    (tmp_path / f"{NAME}_stranger.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    forget()


def forget() -> None:
    for name in [name for name in sys.modules if name.startswith(NAME)]:
        del sys.modules[name]
    importlib.invalidate_caches()


def digest() -> NetworkDigest:
    """Of the network as another process would find it."""
    forget()
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        return digest_network(NetworkConfig(name=f"{NAME}:Net"), SHAPE)
    finally:
        sys.dont_write_bytecode = before


def test_it_is_of_all_files_in_sight_and_of_no_other(folder: Path) -> None:
    found = digest()
    assert list(found.files) == [NAME, f"{NAME}_blocks", f"{NAME}_other"]
    (folder / f"{NAME}_stranger.py").write_text("2 / 0\n")
    assert digest() == found
    (folder / f"{NAME}.py").write_bytes(NET.replace("\n", "\r\n").encode())
    assert digest() == found


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("_blocks", "nn.ReLU", "nn.Sigmoid", f"the code in {NAME}_blocks is another and it comput"),
        (
            "_blocks",
            "3, padding=1",
            "1",
            "is another, the names or shapes of its parameters are others and it computes",
        ),
        ("_other", "pass", "return 1", f"{NAME}_other is another and what it computes is the same"),
        ("", "self.out(", "2 * self.out(", f"on .* the code in {NAME} is another and it computes"),
    ],
)
def test_changed_code_is_refused(folder: Path, file: str, old: str, new: str, message: str) -> None:
    then = digest()
    path = folder / f"{NAME}{file}.py"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ChangedNetworkError, match=message) as caught:
        refuse_other_network(f"{NAME}:Net", then, digest(), "runs/s")
    assert str(caught.value).startswith(
        f"{NAME}:Net: must be the network that runs/s was made with"
    )
    assert "--accept-changed-network" in str(caught.value)


def test_what_may_change(folder: Path) -> None:
    """The seed, how weights are drawn, and the activation that a trial chose."""
    one = digest_network(NetworkConfig(seed=1, depth=1), SHAPE)
    assert one == digest_network(NetworkConfig(seed=2, depth=1, activation="gelu"), SHAPE)
    assert one.files == {}
    assert one != digest_network(NetworkConfig(depth=2), SHAPE)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_this_package_have_no_files_in_it(name: str) -> None:
    shape = (1, 8, 16, 16) if name.endswith("3d") else SHAPE
    config = NetworkConfig(name=name, depth=2)
    found = digest_network(config, shape, 3)
    assert found.files == {}
    assert found == digest_network(config, shape, 3)
    assert len(set(found.output)) > 4
    assert NetworkDigest.model_validate_json(found.model_dump_json()) == found


def test_libraries_have_their_files_and_not_torchs() -> None:
    pytest.importorskip("monai")
    arguments = {"spatial_dims": 2, "channels": [4, 8], "strides": [2]}
    config = NetworkConfig(name="monai.networks.nets:UNet", arguments=arguments)
    found = digest_network(config, SHAPE)
    assert "monai.networks.nets.unet" in found.files
    assert all(name.startswith("monai.") for name in found.files)


def test_numbers_are_compared_as_machines_compute_them() -> None:
    one = fixed_output(UNet2d(depth=1), SHAPE)
    assert same_output(one, tuple(value * (1 + 1e-4) for value in one))
    assert not same_output(one, tuple(value * 1.01 for value in one))
    assert not same_output(one, one[:-1])
    assert same_output((0.0,), (0.0,))


def test_parameters_are_compared_by_name_and_shape() -> None:
    one, other = nn.Linear(2, 3), nn.Linear(2, 3)
    assert parameters_digest(one) == parameters_digest(other)
    assert parameters_digest(one) != parameters_digest(nn.Linear(3, 2))
    assert parameters_digest(one) != parameters_digest(nn.Sequential(other))


class Noisy(nn.Module):
    """Draws numbers whenever it is built or runs; returns several tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1)
        self.register_buffer("drawn", torch.randn(2, 1, 1))

    def forward(self, x: Tensor) -> list[Tensor]:
        return [self.conv(x) * self.drawn + torch.rand(1), x]


def test_random_numbers_and_several_outputs_are_no_difference() -> None:
    one, other = Noisy(), Noisy()
    before = torch.get_rng_state()
    assert fixed_output(one, SHAPE) == fixed_output(other, SHAPE)
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(NetworkError, match=r"must accept an input of \(1, 2, 4, 4\), and"):
        fixed_output(Noisy(), (2, 4, 4))


def trial_of(shape: tuple[int, ...], network_digest: NetworkDigest | None = None) -> TrialConfig:
    return TrialConfig(
        study="s",
        number=0,
        task=TaskConfig(data="x"),
        network=NetworkConfig(depth=1),
        training=TrainingConfig(),
        norm_map={},
        learning_rate=0.1,
        batch_size=1,
        sample_shape=shape,
        network_digest=network_digest,
    )


def test_a_network_of_ours_is_computed_on_a_small_input() -> None:
    config = NetworkConfig(depth=1)
    one = digest_network(config, (1, 16, 16))
    assert one.sides == (4, 4)
    assert one == digest_network(config, (1, 512, 512))
    assert digest_network(config, (1, 2, 4)).sides is None


def test_records_of_older_versions_are_of_a_whole_sample() -> None:
    recorded = digest_network(NetworkConfig(depth=1), SHAPE)
    whole = fixed_output(UNet2d(depth=1, first_channels=8), SHAPE)
    assert not same_output(whole, recorded.output)
    older = recorded.model_copy(update={"output": whole, "sides": None})
    assert NetworkDigest.model_validate(older.model_dump(exclude={"sides"})) == older
    refuse_changed_network(trial_of(SHAPE, older), "x")
    refuse_changed_network(trial_of(SHAPE, recorded), "x")
    refuse_other_network("unet2d", older, recorded, "x")
    other = older.model_copy(update={"output": recorded.output})
    with pytest.raises(ChangedNetworkError, match="it computes something else"):
        refuse_changed_network(trial_of(SHAPE, other), "x")


def test_a_trial_without_a_record_passes() -> None:
    trial = trial_of(SHAPE)
    refuse_changed_network(trial, "x")
    other = digest_network(NetworkConfig(depth=2), SHAPE)
    with pytest.raises(ChangedNetworkError, match=r"^unet2d: must be the network that x was made"):
        refuse_changed_network(trial.model_copy(update={"network_digest": other}), "x")
