"""The data-dependent start of WN: standardized outputs on the batch, and nothing else changed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from normsearch.networks import UNet2d, apply_norm_map, list_norms
from normsearch.norms import initialize_weight_norms, set_weight_norm, weight_norm_of
from normsearch.norms.weights import output_axis

CONVOLUTIONS = [
    nn.Conv1d(3, 7, 3),
    nn.Conv2d(3, 7, 3, stride=2),
    nn.Conv3d(3, 7, 2),
    nn.ConvTranspose1d(3, 7, 3),
    nn.ConvTranspose2d(3, 7, 2, stride=2),
    nn.ConvTranspose3d(3, 7, 2),
]


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 3 + 5


def outputs(net: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What each WN convolution gives in a training pass, by name."""
    seen: dict[str, Tensor] = {}
    hooks = [
        conv.register_forward_hook(lambda _, given, out, name=name: seen.update({name: out}))
        for name, conv in net.named_modules()
        if weight_norm_of(conv) == "WN"
    ]
    net.train()(x)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("conv", CONVOLUTIONS, ids=str)
def test_one_convolution_gets_the_papers_g_and_b(conv: nn.Module) -> None:
    set_weight_norm(conv, "WN")
    x = draw(2, 3, *(9, 8, 7)[: conv.weight.dim() - 2]).double()
    conv.double()
    axes = [axis for axis in range(conv.weight.dim()) if axis != output_axis(conv)]
    gain, bias = conv.parametrizations.weight.original0, conv.bias
    with torch.no_grad():
        bias.zero_()
        gain.fill_(1.0)  # the weight is v/‖v‖, the output the paper's t
        t = conv(x)
        space = [0, *range(2, t.dim())]
        assert initialize_weight_norms(conv, x) == 1
        deviation = t.std(space, unbiased=False)
        torch.testing.assert_close(gain.flatten(), 1 / deviation)
        torch.testing.assert_close(bias, -t.mean(space) / deviation)
        norms = conv.weight.square().sum(axes).sqrt()
        torch.testing.assert_close(norms, 1 / deviation)
        out = conv(x)
    torch.testing.assert_close(out.mean(space), torch.zeros(7).double(), atol=1e-9, rtol=0)
    torch.testing.assert_close(out.var(space, unbiased=False), torch.ones(7).double())


def test_a_whole_network_layer_after_layer() -> None:
    net = UNet2d(depth=2, first_channels=4, seed=0)
    apply_norm_map(net, {"*": "WN", "enc2.*": "WN+MBN", "dec2.conv1.norm": "BN", "dec1.*": "SN"})
    x = draw(3, 1, 16, 12)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.bottom.eval()
    torch.manual_seed(3)
    drawn = torch.get_rng_state()
    assert initialize_weight_norms(net, x) == 8
    assert torch.equal(torch.get_rng_state(), drawn)
    assert not net.bottom.conv1.training
    assert net.training
    for name, value in net.state_dict().items():
        changed = name.endswith(("original0", "conv.bias")) and "dec1" not in name
        if not changed:
            assert torch.equal(value, before[name]), name
    seen = outputs(net, x)
    assert len(seen) == 8
    for out in seen.values():
        mean, variance = out.mean((0, 2, 3)), out.var((0, 2, 3), unbiased=False)
        torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-4, rtol=0)
        torch.testing.assert_close(variance, torch.ones_like(mean), atol=1e-3, rtol=0)


def test_without_a_bias_and_on_constant_channels() -> None:
    net = nn.Sequential(nn.Conv2d(2, 4, 1, bias=False), nn.Conv2d(4, 4, 1))
    for conv in net:
        set_weight_norm(conv, "WN")
    x = draw(2, 2, 5, 6)
    assert initialize_weight_norms(net, x) == 2
    first = net[0](x)
    torch.testing.assert_close(first.var((0, 2, 3), unbiased=False), torch.ones(4))
    assert (first.mean((0, 2, 3)).abs() > 1e-3).all()
    gain = net[0].parametrizations.weight.original0.clone()
    initialize_weight_norms(net, torch.ones_like(x))
    torch.testing.assert_close(net[0].parametrizations.weight.original0, gain)
    assert net(torch.ones_like(x)).abs().max() < 1e-4


def test_a_network_without_weight_normalization_is_not_run() -> None:
    net = UNet2d(depth=1, first_channels=4)
    apply_norm_map(net, {"*": "WS+BN"})
    assert initialize_weight_norms(net, torch.zeros(1, 1, 3, 3)) == 0
    assert [slot.spec for slot in list_norms(net)] == ["WS+BN"] * 7
