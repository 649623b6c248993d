"""BKN in networks: which slots take their prior from the layer before."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from normsearch.networks import UNet2d, apply_norm_map, verify_norm_map
from normsearch.norms import BatchKalmanNorm

X = torch.randn(2, 1, 16, 24, generator=torch.Generator().manual_seed(0))


def unet(norm_map: dict[str, str]) -> UNet2d:
    net = UNet2d(depth=2, first_channels=4, seed=0)
    apply_norm_map(net, norm_map)
    return net


def filtered(net: nn.Module, x: Tensor = X) -> list[str]:
    """The slots that took a prior in a training step: their output is not BN's."""
    found = []

    def look(name: str, norm: BatchKalmanNorm, x: Tensor, out: Tensor) -> None:
        bn = nn.functional.batch_norm(x, None, None, norm.weight, norm.bias, training=True)
        if (out - bn).abs().max() > 1e-4:
            found.append(name)

    handles = [
        norm.register_forward_hook(lambda m, given, out, name=name: look(name, m, given[0], out))
        for name, norm in net.named_modules()
        if isinstance(norm, BatchKalmanNorm)
    ]
    net(x)
    for handle in handles:
        handle.remove()
    return found


#: Not those behind a max pooling, nor behind a concatenation.
ALL = [
    *("enc1.conv2.norm", "enc2.conv2.norm", "bottom.conv2.norm", "dec2.up.norm"),
    *("dec2.conv2.norm", "dec1.up.norm", "dec1.conv2.norm"),
]


@pytest.mark.parametrize("spec", ["BKN", "WS+BKN", "WN+BKN"])
def test_a_unet_of_it(spec: str) -> None:
    net = unet({"*": spec})
    assert filtered(net) == ALL
    net(X).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    verify_norm_map(net, X)


def test_in_a_mixture_only_neighbours_are_linked() -> None:
    net = unet({"*": "GN-2", "enc2.conv1.norm": "BKN", "enc2.conv2.norm": "BKN", "dec1.*": "BKN"})
    assert filtered(net) == ["enc2.conv2.norm", "dec1.conv2.norm"]


def test_another_norm_map_leaves_no_link_behind() -> None:
    net = unet({"*": "BKN"})
    apply_norm_map(net, {"enc*": "BN"})
    assert filtered(net) == ALL[2:]
    apply_norm_map(net, {"*": "BN"})
    assert not any(module._forward_hooks for module in net.modules())
    apply_norm_map(net, {"*": "BKN"})
    assert filtered(net) == ALL


def test_copies_are_linked_among_themselves() -> None:
    net = unet({"*": "BKN"})
    net(X)
    want = net(X).detach()
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert filtered(other) == ALL
        with torch.no_grad():
            for norm in other.modules():
                if isinstance(norm, BatchKalmanNorm):
                    norm.bias += 1
        other(X)
    torch.testing.assert_close(net(X), want, rtol=0, atol=0)


def test_state_goes_into_another_network() -> None:
    net, other = unet({"*": "BKN"}), UNet2d(depth=2, first_channels=4, seed=1)
    net(X)
    apply_norm_map(other, {"*": "BKN"})
    other.load_state_dict(net.state_dict())
    assert torch.equal(net.eval()(X), other.eval()(X))
    assert torch.equal(net.train()(X), other.train()(X))


def test_without_gradients_it_computes_the_same() -> None:
    net = unet({"*": "BKN"})
    want = net(X)
    with torch.no_grad():
        torch.testing.assert_close(net(X), want, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_the_links_hold(dtype: torch.dtype) -> None:
    net = unet({"*": "BKN"})
    with torch.autocast("cpu", dtype=dtype):
        out = net(X)
    assert out.isfinite().all()
    assert (out.float() - net(X)).abs().mean() < 0.1


def test_modules_under_several_names_are_read_once() -> None:
    """As in nnU-Net, whose blocks hold their modules by name and in a Sequential."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, padding=1)
            self.norm = nn.BatchNorm2d(4)
            self.nonlin = nn.ReLU(inplace=True)
            self.all_modules = nn.Sequential(self.conv, self.norm, self.nonlin)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.all_modules(x)
            return out

    net = nn.Sequential(nn.Conv2d(1, 4, 1), Block(), Block())
    apply_norm_map(net, {"*": "BKN"})
    assert filtered(net) == ["2.norm"]


def test_a_compiled_step_computes_the_same() -> None:
    torch.compiler.reset()
    nets = [unet({"*": "BKN"}) for _ in range(2)]
    want = nets[0](X)
    got = torch.compile(nets[1], backend="aot_eager", fullgraph=True)(X)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
