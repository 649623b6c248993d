from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from normsearch.norms import GlobalResponseNorm

pytestmark = pytest.mark.usefixtures("both_kernels")


def formula(x: Tensor, norm: nn.Module) -> Tensor:
    shape = (1, -1, *[1] * (x.dim() - 2))
    response = torch.linalg.vector_norm(x, dim=tuple(range(2, x.dim())), keepdim=True)
    relative = response / (response.mean(1, keepdim=True) + 1e-6)
    return x + norm.weight.reshape(shape) * x * relative + norm.bias.reshape(shape)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_formula(dims: int, make_input, randomize, assert_same) -> None:
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        norm = randomize(GlobalResponseNorm(32, dims).to(dtype))
        assert_same(norm, formula, make_input(32, dims, dtype), tolerance)
        assert_same(norm.to(dtype).eval(), formula, make_input(32, dims, dtype, 1e4), tolerance)


def test_it_starts_as_the_identity(make_input) -> None:
    for dtype in (torch.float32, torch.float64):
        x = make_input(dtype=dtype)
        torch.testing.assert_close(GlobalResponseNorm(32, 2).to(dtype)(x), x)


@pytest.mark.parametrize("silent", [1, 32])
def test_channels_that_are_zero(silent: int, make_input, randomize, assert_same) -> None:
    """Behind a ReLU whole channels are 0; a square root has no derivative there."""
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        x = make_input(dtype=dtype)
        x[:, :silent] = 0
        assert_same(randomize(GlobalResponseNorm(32, 2).to(dtype)), formula, x, tolerance)


def test_louder_inputs_are_treated_alike(make_input, randomize) -> None:
    norm = randomize(GlobalResponseNorm(32, 2).double())
    nn.init.zeros_(norm.bias)
    torch.testing.assert_close(norm(50 * make_input()), 50 * norm(make_input()))
