from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from normsearch.norms import DynamicErf, DynamicTanh

pytestmark = pytest.mark.usefixtures("both_kernels")


def formula(x: Tensor, norm: nn.Module) -> Tensor:
    shape = (1, -1, *[1] * (x.dim() - 2))
    inner = norm.alpha * x
    if isinstance(norm, DynamicErf):
        y = torch.erf(inner + norm.shift)
    else:
        y = 1 - 2 / (torch.exp(2 * inner) + 1)
    return y * norm.weight.reshape(shape) + norm.bias.reshape(shape)


@pytest.mark.parametrize("kind", [DynamicTanh, DynamicErf])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_formula(dims: int, kind: type[DynamicTanh], make_input, randomize, assert_same) -> None:
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        norm = randomize(kind(32, dims).to(dtype))
        for scale in (0.01, 1.0, 10.0):
            x = scale * make_input(32, dims, dtype)
            assert_same(norm.to(dtype), formula, x, tolerance)
        x = make_input(32, dims, dtype, mean=1e4)
        assert_same(norm.to(dtype), lambda x, norm: formula(x.clamp(max=300), norm), x, tolerance)


def test_start_values() -> None:
    for norm in (DynamicTanh(4, 2), DynamicErf(4, 2)):
        assert norm.alpha.tolist() == [0.5]
        assert (norm.weight.tolist(), norm.bias.tolist()) == ([1.0] * 4, [0.0] * 4)
    assert norm.shift.tolist() == [0.0]


@pytest.mark.parametrize("kind", [DynamicTanh, DynamicErf])
def test_small_values_keep_their_digits_and_large_ones_saturate(kind: type[DynamicTanh]) -> None:
    for scale in (1e-30, 1e-8, 1e-3, 0.1, 1.0, 3.0, 8.0, 1e30):
        x = scale * torch.linspace(-1, 1, 401).reshape(1, 1, -1)
        norm = kind(1, 1)
        torch.testing.assert_close(
            norm(x), kind(1, 1).double()(x.double()).float(), rtol=1e-6, atol=0
        )
