"""Networks of MONAI and nnU-Net: slots found, swapped, proven to run, trained, from YAML alone."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn
from typer.testing import CliRunner

from normsearch import load_model
from normsearch.cli.main import app
from normsearch.errors import NormError
from normsearch.networks import (
    apply_norm_map,
    build_network,
    dry_run,
    list_norms,
    verify_norm_map,
)
from normsearch.networks.outputs import scales
from normsearch.training import cross_entropy_loss, over_scales
from tests.code_blocks import code_blocks

pytest.importorskip("monai", reason="needs MONAI: pip install '.[test]'")
pytest.importorskip(
    "dynamic_network_architectures",
    reason="needs pip install --no-deps dynamic-network-architectures, as make does",
)

NNUNET = {
    "input_channels": 1,
    "num_classes": 2,
    "n_stages": 4,
    "features_per_stage": [8, 16, 32, 64],
    "conv_op": {"import": "torch.nn:Conv3d"},
    "kernel_sizes": 3,
    "strides": [1, 2, 2, 2],
    "n_conv_per_stage_decoder": 2,
    "conv_bias": True,
    "norm_op": {"import": "torch.nn:InstanceNorm3d"},
    "norm_op_kwargs": {"affine": True},
    "nonlin": {"import": "torch.nn:LeakyReLU"},
    "nonlin_kwargs": {"inplace": True},
}
MONAI, DYNAMIC = "monai.networks.nets:", "dynamic_network_architectures.architectures.unet:"
UNET = {"spatial_dims": 3, "channels": [4, 8, 16, 32], "strides": [2, 2, 2], "num_res_units": 2}
DYNUNET = {
    "spatial_dims": 3,
    "kernel_size": [3, 3, 3, 3],
    "strides": [1, 2, 2, 2],
    "upsample_kernel_size": [2, 2, 2],
    "filters": [8, 8, 16, 32],
}
#: name: (function, arguments, slots, paths under which they are registered, the first's name)
NETS = {
    "UNet": (MONAI, UNET, 13, 13, "model.0.conv.unit0.adn.N"),
    "DynUNet": (MONAI, DYNUNET, 14, 28, "input_block.norm1"),
    "BasicUNet": (
        MONAI,
        {"spatial_dims": 3, "features": [4, 4, 8, 16, 32, 4]},
        18,
        18,
        "conv_0.conv_0.adn.N",
    ),
    "SegResNet": (
        MONAI,
        {"spatial_dims": 3, "init_filters": 16, "blocks_down": [1, 2, 2, 4]},
        25,
        25,
        "down_layers.0.1.norm1",
    ),
    "PlainConvUNet": (
        DYNAMIC,
        {**NNUNET, "n_conv_per_stage": 2},
        14,
        44,
        "encoder.stages.0.0.convs.0.norm",
    ),
    "ResidualEncoderUNet": (
        DYNAMIC,
        {**NNUNET, "n_blocks_per_stage": [1, 2, 2, 2]},
        24,
        84,
        "encoder.stem.convs.0.norm",
    ),
}
#: None of them needs more than one value a channel; the last slots of MONAI's UNet have 2 channels.
SPECS = ["BN", "GN-2", "none", "SN", "LN", "BIN", "ILN(regroup=none)", "BKN", "BCN-2", "GBGN-2x2"]


def build(name: str) -> nn.Module:
    library, arguments = NETS[name][:2]
    return build_network(library + name, out_channels=2, seed=0, arguments=arguments)


def volume() -> torch.Tensor:
    return torch.randn(2, 1, 16, 24, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NETS)
def test_slots_are_found_swapped_and_trained(name: str) -> None:
    _, _, slots, paths, first = NETS[name]
    net, x = build(name), volume()
    found = list_norms(net)
    assert (len(found), found[0].name) == (slots, first)
    assert {slot.spec for slot in found} <= {"IN", "GN-8"}
    old = [net.get_submodule(slot.name) for slot in found]
    registered = [m for _, m in net.named_modules(remove_duplicate=False)]
    assert sum(module in old for module in registered) == paths

    wanted = {slot.name: SPECS[i % len(SPECS)] for i, slot in enumerate(found)}
    effective = apply_norm_map(net, wanted)
    registered = [m for _, m in net.named_modules(remove_duplicate=False)]
    assert not any(module in old for module in registered)
    new = [net.get_submodule(slot.name) for slot in found]
    assert sum(module in new for module in registered) == paths
    verify_norm_map(net, x)
    assert {slot.name: slot.spec for slot in list_norms(net)} == effective

    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    before = copy.deepcopy(net.state_dict())
    net.train()(x).square().mean().backward()
    optimizer.step()
    assert all(p.isfinite().all() for p in net.parameters())
    for slot in found:
        if effective[slot.name] != "none":
            key = f"{slot.name}.weight"
            assert not torch.equal(net.state_dict()[key], before[key]), key


@pytest.mark.parametrize("name", ["UNet", "BasicUNet", "PlainConvUNet", "ResidualEncoderUNet"])
@pytest.mark.parametrize("spec", ["WS+GN-2", "WN"])
def test_weight_norms_act_on_the_convolution_before(name: str, spec: str) -> None:
    net, x = build(name), volume()
    effective = apply_norm_map(net, {"*": spec})
    assert {slot.name: slot.spec for slot in list_norms(net)} == effective
    assert set(effective.values()) <= {spec, "WS+IN"}
    verify_norm_map(net, x)
    net.train()(x).square().mean().backward()
    gradients = {key for key, p in net.named_parameters() if p.grad is not None}
    originals = {key for key, _ in net.named_parameters() if "parametrizations" in key}
    assert originals
    assert originals <= gradients


@pytest.mark.parametrize(
    ("name", "slot"),
    [("DynUNet", "input_block.norm1"), ("SegResNet", "down_layers.0.1.norm2")],
)
def test_weight_norms_are_refused_where_no_convolution_stands_before(name: str, slot: str) -> None:
    """DynUNet registers its norms behind both convolutions; SegResNet normalizes before them."""
    net = build(name)
    with pytest.raises(NormError, match=rf"^{slot}: WS\+LN needs a convolution to"):
        apply_norm_map(net, {slot: "WS+LN"})


STUDY = """
name: foreign
task: {data: phantom, phantom: {size: 32, subjects: 4}, size: [32, 32]}
network:
  name: monai.networks.nets:UNet
  arguments: {spatial_dims: 2, channels: [4, 8, 16], strides: [2, 2], num_res_units: 1}
training: {samples: 8, evaluations: 2, statistics_samples: 4}
space:
  norm: {per: layer, choices: [IN, BN, SN, none]}
  learning_rate: [0.01]
  batch_size: [4]
search: {trials: 3, baselines: false, resources: {cpu: 1}, workers: 1}
"""


def test_a_study_per_layer_from_yaml_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    study = tmp_path / "foreign.yaml"
    study.write_text(STUDY)
    runs = tmp_path / "runs"
    result = CliRunner().invoke(app, ["run", str(study), "--runs-dir", str(runs), "--local"])
    assert result.exit_code == 0, result.output
    trials = sorted((runs / "foreign" / "trials").glob("*/trial.json"))
    norm_maps = [json.loads(path.read_text())["norm_map"] for path in trials]
    assert len(norm_maps) == 3
    for norm_map in norm_maps:
        assert len(norm_map) == 6
        assert all(re.fullmatch(r"model\..*adn\.N", name) for name in norm_map)
    assert {spec for norm_map in norm_maps for spec in norm_map.values()} > {"IN"}


@pytest.mark.slow
def test_workers_of_ray_import_from_the_working_folder(tmp_path: Path) -> None:
    (tmp_path / "mynet.py").write_text(
        "from monai.networks.nets import UNet\n\ndef build(**given):\n    return UNet(**given)\n"
    )
    text = STUDY.replace("monai.networks.nets:UNet", "mynet:build")
    text = text.replace("{spatial_dims", "{in_channels: 1, out_channels: 1, spatial_dims")
    (tmp_path / "foreign.yaml").write_text(text)
    # -P: the working folder is on no import path of Python's own
    command = [
        sys.executable,
        "-P",
        "-m",
        "normsearch",
        "run",
        "foreign.yaml",
        "--runs-dir",
        "runs",
    ]
    folder = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": folder, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "runs" / "foreign" / "trials").glob("*/checkpoint.pt"))


def deep(text: str, **arguments: object) -> nn.Module:
    library, given = NETS[text][:2]
    return build_network(library + text, out_channels=2, seed=0, arguments={**given, **arguments})


SEGRESNET_DS = {"spatial_dims": 3, "init_filters": 8, "blocks_down": [1, 1, 1, 1], "dsdepth": 3}


@pytest.mark.parametrize(
    ("make", "sizes"),
    [
        (lambda: deep("PlainConvUNet", deep_supervision=True), [1, 2, 4]),
        (lambda: deep("ResidualEncoderUNet", deep_supervision=True), [1, 2, 4]),
        (lambda: deep("DynUNet", deep_supervision=True, deep_supr_num=2), [1, 1, 1]),
        (
            lambda: build_network(
                f"{MONAI}SegResNetDS", out_channels=2, seed=0, arguments=SEGRESNET_DS
            ),
            [1, 2, 4],
        ),
    ],
    ids=["PlainConvUNet", "ResidualEncoderUNet", "DynUNet", "SegResNetDS"],
)
def test_deep_supervision_as_the_libraries_have_it(
    make: Callable[[], nn.Module], sizes: list[int]
) -> None:
    net, x = make(), volume()
    found = scales(net.train()(x), 3)
    assert found is not None
    assert [tuple(one.shape) for one in found] == [
        (2, 2, 16 // size, 24 // size, 16 // size) for size in sizes
    ]
    truth = torch.randint(0, 2, (2, 16, 24, 16), generator=torch.Generator().manual_seed(1))
    assert (
        dry_run(net, [(1, 16, 24, 16)], [(x, truth)], over_scales(cross_entropy_loss), 2).idle == ()
    )
    net = make().eval()
    logits = net(x)
    assert logits.shape == (2, 2, 16, 24, 16)
    verify_norm_map(net, x)
    program = torch.export.export(net, (x,)).module()
    torch.testing.assert_close(program(x), logits, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("no_program")
def test_a_study_per_layer_on_nnu_nets_network_with_deep_supervision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example of docs/network.md, on a tiny data set, with an export and a prediction."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (text,) = (t for kind, t in code_blocks("docs/network.md") if "ResidualEncoderUNet" in t)
    study = yaml.safe_load(STUDY) | {"network": yaml.safe_load(text)["network"]}
    (tmp_path / "foreign.yaml").write_text(yaml.safe_dump(study))
    runs = ["--runs-dir", str(tmp_path / "runs")]
    call = lambda *words: CliRunner().invoke(app, [*map(str, words)])  # noqa: E731
    result = call("run", tmp_path / "foreign.yaml", *runs, "--local")
    assert result.exit_code == 0, result.output
    trials = sorted((tmp_path / "runs" / "foreign" / "trials").glob("*/trial.json"))
    norm_maps = [json.loads(path.read_text())["norm_map"] for path in trials]
    assert [len(norm_map) for norm_map in norm_maps] == [21] * 3
    assert len({spec for norm_map in norm_maps for spec in norm_map.values()}) > 1
    result = call("export", "foreign", *runs, "-o", tmp_path / "model")
    assert result.exit_code == 0, result.output
    network = load_model(tmp_path / "model", trust_code=True).network
    assert network(torch.zeros(2, 1, 32, 32)).shape == (2, 1, 32, 32)
