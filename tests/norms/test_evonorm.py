from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from normsearch.errors import NormError
from normsearch.norms import EvoNormB0, EvoNormS0


def over(shape: torch.Size, values: Tensor) -> Tensor:
    return values.reshape(1, -1, *[1] * (len(shape) - 2))


def variance(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return (x - x.mean(axes, keepdim=True)).square().mean(axes, keepdim=True)


def s0(x: Tensor, norm: nn.Module) -> Tensor:
    parts = x.reshape(len(x), 4, -1)
    deviation = torch.sqrt(variance(parts, (2,)) + 1e-5).expand_as(parts).reshape(x.shape)
    silu = x / (1 + torch.exp(-over(x.shape, norm.v) * x))
    return silu / deviation * over(x.shape, norm.weight) + over(x.shape, norm.bias)


def b0(x: Tensor, norm: nn.Module, running: Tensor | None) -> Tensor:
    axes = tuple(range(2, x.dim()))
    batch = variance(x, (0, *axes)) if running is None else over(x.shape, running)
    own = over(x.shape, norm.v) * x + torch.sqrt(variance(x, axes) + 1e-5)
    left = torch.sqrt(batch + 1e-5).expand_as(own)
    y = x / torch.where(left > own, left, own)
    return y * over(x.shape, norm.weight) + over(x.shape, norm.bias)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_by_hand(dims: int, make_input, randomize, assert_same) -> None:
    running = torch.linspace(0.2, 3, 32)
    for dtype, mean, tolerance in (
        *((torch.float64, 0.0, 1e-9), (torch.float64, 1e4, 1e-9)),
        *((torch.float32, 0.0, 1e-5), (torch.float32, 1e3, 1e-5), (torch.float32, 1e4, 1e-5)),
    ):
        x = make_input(32, dims, dtype, mean=mean)
        # S0 subtracts no mean: in its gradient, sums of terms as large as the mean cancel.
        conditioned = tolerance * max(1.0, mean / 100)
        assert_same(randomize(EvoNormS0(32, dims, 4).to(dtype)), s0, x, conditioned)
        for seen in (None, running.double()):
            norm = randomize(EvoNormB0(32, dims).to(dtype)).train(seen is None)
            norm.running_var.copy_(running)
            assert_same(norm, partial(b0, running=seen), x, tolerance)


def test_s0_in_one_group_is_a_silu_by_the_deviation_of_the_sample(make_input) -> None:
    x = make_input(4, 2)
    want = (
        functional.silu(x)
        / torch.sqrt(x.flatten(1).var(1, correction=0) + 1e-5)[:, None, None, None]
    )
    torch.testing.assert_close(EvoNormS0(4, 2, 1).double()(x), want)
    with pytest.raises(NormError, match="EvoNorm-S0: groups must divide the 4 channels, got 3"):
        EvoNormS0(4, 2, 3)


def test_the_running_variance_of_b0_is_biased_and_may_be_an_average(make_input) -> None:
    norm = EvoNormB0(32, 2).double()
    seen = [make_input(32, 2), 3 * make_input(32, 2)]
    own = [x.var((0, 2, 3), correction=0) for x in seen]
    norm(seen[0])
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * own[0])
    norm.reset_running_stats()
    norm.momentum = None
    for x in seen:
        norm(x)
    torch.testing.assert_close(norm.running_var, sum(own) / 2)
