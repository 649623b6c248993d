from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from normsearch.errors import NormError
from normsearch.norms import FilterResponseNorm


def by_hand(x: Tensor, norm: nn.Module) -> Tensor:
    shape = (1, -1, *[1] * (x.dim() - 2))
    square = x.square().mean(tuple(range(2, x.dim())), keepdim=True)
    eps = 1e-6 if norm.learnt_eps is None else 1e-6 + norm.learnt_eps.abs()
    y = norm.weight.view(shape) * x / torch.sqrt(square + eps) + norm.bias.view(shape)
    return torch.where(y > norm.threshold.view(shape), y, norm.threshold.view(shape))


@pytest.mark.parametrize("eps", ["fixed", "learnt"])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_by_hand(dims: int, eps: str, make_input, randomize, assert_same) -> None:
    for dtype, mean, tolerance in (
        *((torch.float64, 0.0, 1e-9), (torch.float64, 1e4, 1e-9)),
        *((torch.float32, 0.0, 1e-5), (torch.float32, 1e4, 1e-5)),
    ):
        norm = randomize(FilterResponseNorm(32, dims, eps).to(dtype))
        assert_same(norm, by_hand, make_input(32, dims, dtype, mean=mean), tolerance)


def test_it_starts_as_a_relu_of_unit_mean_square(make_input) -> None:
    x = make_input()
    norm = FilterResponseNorm(32, 2).double()
    both = norm(x) - norm(-x)
    assert torch.equal(norm(x) == 0, x <= 0)
    torch.testing.assert_close(
        both.square().mean((2, 3)), torch.ones(3, 32).double(), rtol=1e-4, atol=0
    )


def test_unknown_eps() -> None:
    with pytest.raises(NormError, match="FRN: eps must be one of fixed, learnt, got 'none'"):
        FilterResponseNorm(4, 2, "none")
