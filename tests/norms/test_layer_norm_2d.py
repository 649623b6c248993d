from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from normsearch.norms import PixelLayerNorm

pytestmark = pytest.mark.usefixtures("both_kernels")


def formula(x: Tensor, norm: nn.Module) -> Tensor:
    shape = (1, -1, *[1] * (x.dim() - 2))
    away = x - x.mean(1, keepdim=True)
    y = away / torch.sqrt(away.square().mean(1, keepdim=True) + 1e-6)
    return y * norm.weight.reshape(shape) + norm.bias.reshape(shape)


@pytest.mark.parametrize("channels", [2, 7, 32])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_formula(dims: int, channels: int, make_input, randomize, assert_same) -> None:
    far = make_input(channels, dims, mean=1e4)
    if channels == 32:
        assert_same(randomize(PixelLayerNorm(channels, dims).double()), formula, far, 1e-9)
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        if channels == 2 and dtype == torch.float32:
            continue  # two values that are close to one another have lost their digits
        norm = randomize(PixelLayerNorm(channels, dims).to(dtype))
        assert_same(norm, formula, make_input(channels, dims, dtype), tolerance)


def test_it_is_torchs_layer_norm_of_channels_last(make_input, randomize) -> None:
    norm = randomize(PixelLayerNorm(32, 2).double())
    torchs = nn.LayerNorm(32, eps=1e-6).double()
    torchs.load_state_dict(norm.state_dict())
    for mean in (0.0, 1e4):
        x = make_input(mean=mean)
        want = torchs(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        torch.testing.assert_close(norm(x), want)


def test_a_pixel_knows_no_other(make_input, randomize) -> None:
    norm = randomize(PixelLayerNorm(32, 2))
    x = make_input(dtype=torch.float32)
    torch.testing.assert_close(norm(x)[..., 2:4, 1:2], norm(x[..., 2:4, 1:2]))


@pytest.mark.parametrize("channels", [slice(0, 1), slice(0, 2), slice(3, 40), slice(511, 512)])
def test_channels_far_from_the_others_cost_no_digits(channels: slice) -> None:
    x = torch.randn(2, 512, 9, 5, generator=torch.Generator().manual_seed(0))
    x[:, channels] += 1e3
    dy = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    results = []
    for dtype in (torch.float32, torch.float64):
        norm, leaf = PixelLayerNorm(512, 2).to(dtype), x.to(dtype).requires_grad_()
        y = norm(leaf)
        results.append([y, *torch.autograd.grad(y, [leaf, *norm.parameters()], dy.to(dtype))])
    for one, other in zip(*results, strict=True):
        assert (one - other).abs().max() <= 3e-6 * other.abs().max()
