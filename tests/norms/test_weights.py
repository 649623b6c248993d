from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from normsearch.norms import StandardizedWeight, set_weight_norm, weight_norm_of


@pytest.mark.parametrize(
    ("conv", "axis"), [(nn.Conv2d(3, 8, (2, 5)), 0), (nn.ConvTranspose3d(3, 8, (2, 5, 4)), 1)]
)
def test_weight_norm_is_that_of_torch_and_of_the_formula(conv: nn.Module, axis: int) -> None:
    conv = conv.double()
    start = conv.weight.detach().clone()
    set_weight_norm(conv, "WN")
    g, v = (conv.parametrizations.weight.original0, conv.parametrizations.weight.original1)
    with torch.no_grad():
        g.mul_(1.5)
    axes = [a for a in range(start.dim()) if a != axis]
    want = g * v / v.square().sum(axes, keepdim=True).sqrt()
    torch.testing.assert_close(conv.weight, want, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(conv.weight.detach(), 1.5 * start)
    got = torch.autograd.grad(conv.weight.sin().sum(), (g, v))
    for one, other in zip(got, torch.autograd.grad(want.sin().sum(), (g, v)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
    set_weight_norm(conv, None)
    twin = parametrizations.weight_norm(conv, dim=axis)
    torch.testing.assert_close(twin.weight.detach(), 1.5 * start)
    assert weight_norm_of(twin) == "WN"


@pytest.mark.parametrize(
    ("conv", "axis"),
    [(nn.Conv1d(3, 8, 5), 0), (nn.Conv2d(4, 8, 3, groups=2), 0), (nn.ConvTranspose2d(3, 8, 2), 1)],
)
def test_standardized_weight_by_hand(conv: nn.Module, axis: int) -> None:
    conv = conv.double()
    raw = conv.weight.detach().clone()
    set_weight_norm(conv, "WS")
    got = conv.weight.movedim(axis, 0).flatten(1)
    rows = raw.movedim(axis, 0).flatten(1)
    mean = rows.sum(1, keepdim=True) / rows.shape[1]
    variance = ((rows - mean) ** 2).sum(1, keepdim=True) / rows.shape[1]
    torch.testing.assert_close(got, (rows - mean) / torch.sqrt(variance + 1e-5), rtol=1e-9, atol=0)
    assert list(dict(conv.named_parameters())) == ["bias", "parametrizations.weight.original"]


def test_standardized_weight_gradient_and_half_precision() -> None:
    module = StandardizedWeight(1).double()
    weight = torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, weight)
    assert torch.autograd.gradgradcheck(module, weight)
    big = (300 * torch.randn(3, 4, 2)).half()
    assert module(big).dtype == torch.float16
    assert (module(big).float() - module(big.float())).abs().max() < 1e-2


def test_setting_what_is_there_changes_nothing() -> None:
    conv = nn.Conv2d(3, 8, 3)
    weight = conv.weight
    set_weight_norm(conv, None)
    assert conv.weight is weight
    set_weight_norm(conv, "WS")
    chain = conv.parametrizations
    set_weight_norm(conv, "WS")
    assert conv.parametrizations is chain
    set_weight_norm(conv, "WN")
    assert weight_norm_of(conv) == "WN"
    assert sorted(conv.state_dict()) == [
        "bias",
        "parametrizations.weight.original0",
        "parametrizations.weight.original1",
    ]
