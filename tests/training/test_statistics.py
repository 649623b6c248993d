import pytest
import torch
from torch import Tensor, nn

from normsearch.networks import UNet2d, apply_norm_map
from normsearch.training.statistics import has_running_statistics, recompute_statistics

BATCHES = [torch.randn(3, 2, 5, 7, generator=torch.Generator().manual_seed(k)) * (k + 1) + k
           for k in range(4)]  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "expected"),
    [("none", False), ("IN", False), ("GN-2", False), ("BN", True), ("BIN", True), ("SN", True)],
)
def test_which_norms_evaluate_with_what_they_gathered(spec: str, expected: bool) -> None:
    assert has_running_statistics(UNet2d(first_channels=2, depth=1, norm=spec)) is expected


def test_one_slot_is_enough() -> None:
    net = UNet2d(first_channels=2, depth=1, norm="IN")
    apply_norm_map(net, {"bottom.conv1.norm": "BN"})
    assert has_running_statistics(net)


def test_the_plain_average_over_batches() -> None:
    norm = nn.BatchNorm2d(2, momentum=0.3)
    net = nn.Sequential(norm)
    net(torch.full((2, 2, 3, 3), 1e6))  # what is to be forgotten
    net.eval()
    recompute_statistics(net, BATCHES)
    by_channel = [batch.double().transpose(0, 1).flatten(1) for batch in BATCHES]
    mean = torch.stack([values.mean(1) for values in by_channel]).mean(0)
    variance = torch.stack([values.var(1, correction=1) for values in by_channel]).mean(0)
    assert isinstance(norm.running_mean, Tensor)
    assert isinstance(norm.running_var, Tensor)
    torch.testing.assert_close(norm.running_mean.double(), mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(norm.running_var.double(), variance, rtol=1e-5, atol=1e-6)
    assert norm.momentum == 0.3
    assert net.training


@pytest.mark.parametrize("spec", ["BIN", "SN"])
def test_composite_norms_average_as_well(spec: str) -> None:
    net = UNet2d(in_channels=2, first_channels=2, depth=1, norm=spec, seed=0)
    first = net.get_submodule("enc1.conv1")
    gathered: list[Tensor] = []
    first.get_submodule("conv").register_forward_hook(
        lambda module, inputs, output: gathered.append(output.detach())
    )
    even = [batch[..., :4, :6] for batch in BATCHES]
    recompute_statistics(net, even)
    mean = torch.stack([values.mean((0, 2, 3)) for values in gathered]).mean(0)
    correction = 1 if spec == "BIN" else 0
    variance = torch.stack(
        [values.var((0, 2, 3), correction=correction) for values in gathered]
    ).mean(0)
    norm = first.get_submodule("norm")
    assert len(gathered) == 4
    torch.testing.assert_close(norm.running_mean, mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(norm.running_var, variance, rtol=1e-5, atol=1e-5)
    assert norm.momentum == 0.1
    assert norm.num_batches_tracked == 4


def test_weights_and_gradients_are_left_alone() -> None:
    net = UNet2d(in_channels=2, first_channels=2, depth=1, norm="BN", seed=0).eval()
    before = {name: value.clone() for name, value in net.named_parameters()}
    recompute_statistics(net, [batch[..., :4, :6] for batch in BATCHES])
    for name, value in net.named_parameters():
        assert torch.equal(value, before[name]), name
        assert value.grad is None
