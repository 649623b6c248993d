"""Moments through ReLU and convolutions, against integrals and torch's convolutions of maps."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from normsearch.norms.moments import Moments
from normsearch.norms.propagation import can_propagate, rectify, through_convolution

CONVOLUTIONS = [
    nn.Conv1d(4, 6, 3, padding=1),
    nn.Conv2d(4, 6, (3, 2), stride=2, dilation=2),
    nn.Conv2d(4, 6, 3, groups=2, bias=False),
    nn.Conv3d(4, 6, 2),
    nn.ConvTranspose1d(4, 6, 2, stride=2),
    nn.ConvTranspose2d(4, 6, (3, 5), stride=2, padding=1),
    nn.ConvTranspose2d(4, 6, 2, stride=3, bias=False),
    nn.ConvTranspose3d(4, 6, (2, 3, 4), stride=(1, 2, 2)),
]


@pytest.mark.parametrize("mean", [-3.0, -0.2, 0.0, 0.7, 40.0])
@pytest.mark.parametrize("deviation", [-0.5, 1.0, 3.0])
def test_rectified_gaussian_against_its_integral(mean: float, deviation: float) -> None:
    z = torch.linspace(-12, 12, 400_001, dtype=torch.float64)
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    value = (mean + abs(deviation) * z).relu()
    first = torch.trapezoid(value * density, z)
    second = torch.trapezoid((value - first).square() * density, z)
    given = (torch.tensor([v], dtype=torch.float64) for v in (mean, deviation))
    got = rectify(*given)
    torch.testing.assert_close(got.mean[0], first, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(got.variance[0], second, rtol=1e-7, atol=1e-9)


def test_rectified_variance_does_not_cancel_in_float32() -> None:
    got = rectify(torch.tensor([1e4, -1e4, 0.0]), torch.tensor([1.0, 1.0, 0.0]))
    torch.testing.assert_close(got.variance, torch.tensor([1.0, 0.0, 0.0]))
    torch.testing.assert_close(got.mean, torch.tensor([1e4, 0.0, 0.0]))


def inner(values: Tensor, dims: int) -> Tensor:
    """(1, C, *spatial) -> (C, pixels) far from the borders, whole strides of them."""
    return values[(0, slice(None), *[slice(12, 24)] * dims)].flatten(1)


@pytest.mark.parametrize("convolution", CONVOLUTIONS, ids=str)
def test_convolution_against_convolved_maps(convolution: nn.Module) -> None:
    conv = convolution.double()
    dims = conv.weight.dim() - 2
    generator = torch.Generator().manual_seed(1)
    mean, variance = torch.rand(2, 4, generator=generator, dtype=torch.float64) + 0.5
    shape, ones = (1, 4, *[1] * dims), torch.ones(1, 1, *[72 if dims < 3 else 40] * dims)
    means = inner(conv(mean.view(shape) * ones), dims)
    squared = nn.Parameter(conv.weight.detach().square())
    call = {"weight": squared}
    if conv.bias is not None:
        call["bias"] = torch.zeros_like(conv.bias)
    variances = inner(torch.func.functional_call(conv, call, variance.view(shape) * ones), dims)
    got = through_convolution(Moments(mean, variance), conv)
    torch.testing.assert_close(got.mean[0], means.mean(1))
    torch.testing.assert_close(got.variance[0], (variances + means.var(1, False)[:, None]).mean(1))


def test_what_it_knows() -> None:
    assert all(can_propagate(conv) for conv in CONVOLUTIONS)
    assert not can_propagate(nn.ConvTranspose2d(4, 6, 2, groups=2))
    assert not can_propagate(nn.ConvTranspose2d(4, 6, 2, dilation=2))


def test_a_linear_layer_of_independent_inputs_by_sampling() -> None:
    """The whole chain against 200,000 drawn values: within 5 standard errors."""
    generator = torch.Generator().manual_seed(2)
    mean, deviation = torch.tensor([0.3, -0.5, 1.0]), torch.tensor([1.0, 0.5, 2.0])
    conv = nn.Conv1d(3, 2, 1).requires_grad_(False)
    drawn = torch.randn(200_000, 3, 1, generator=generator) * deviation[:, None] + mean[:, None]
    out = functional.conv1d(drawn.relu(), conv.weight, conv.bias)
    got = through_convolution(rectify(mean, deviation), conv)
    error = 5 * (got.variance / 200_000).sqrt()
    assert ((out.mean((0, 2)) - got.mean).abs() < error).all()
    torch.testing.assert_close(out.var((0, 2))[None], got.variance, rtol=0.03, atol=0)
