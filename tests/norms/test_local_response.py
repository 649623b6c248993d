from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from normsearch.errors import NormError
from normsearch.norms import LocalResponseNorm


def within(x: Tensor, norm: nn.Module) -> Tensor:
    """Every shift of the window summed."""
    dims = x.dim() - 2
    padded = nn.functional.pad(x.square(), (2, 2) * dims)
    total = torch.zeros_like(x)
    for offsets in product(range(5), repeat=dims):
        window = padded
        for axis, offset in enumerate(offsets):
            window = window.narrow(axis + 2, offset, x.shape[axis + 2])
        total = total + window
    return x / (2 + 5e-4 / 5**dims * total) ** 0.75


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_across_channels_is_that_of_torch(dims: int, make_input, assert_same) -> None:
    torchs = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        x = 20 * make_input(32, dims, dtype)
        assert_same(LocalResponseNorm(32, dims), lambda x, _: torchs(x), x, tolerance)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_within_channels_by_hand(dims: int, make_input, assert_same) -> None:
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        x = 20 * make_input(32, dims, dtype)
        assert_same(LocalResponseNorm(32, dims, "space"), within, x, tolerance)


def test_the_papers_formula_for_one_value() -> None:
    x = torch.tensor([3.0, -1.0, 2.0, 5.0, 4.0, 7.0, 1.0]).double().reshape(1, 7, 1)
    want = 5.0 / (2 + 1e-4 * (1 + 4 + 25 + 16 + 49)) ** 0.75
    assert LocalResponseNorm(7, 1)(x)[0, 3, 0].item() == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("over", ["channels", "space"])
def test_second_derivatives_and_half_precision(over: str) -> None:
    norm = LocalResponseNorm(6, 2, over)
    x = (3 * torch.randn(2, 6, 3, 4, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(norm, x, fast_mode=True)
    assert torch.autograd.gradgradcheck(norm, x, fast_mode=True)
    big = (300 * torch.randn(2, 6, 3, 4)).half()  # 300² overflows float16
    assert (norm(big).float() - norm(big.float())).abs().max() < 0.2


def test_unknown_neighbours() -> None:
    with pytest.raises(NormError, match="LRN: over must be one of channels, space, got 'time'"):
        LocalResponseNorm(6, 2, "time")
    with pytest.raises(NormError, match=r"LRN needs an input \(N, 6, H, W\), got \(1, 5, 2, 2\)"):
        LocalResponseNorm(6, 2)(torch.zeros(1, 5, 2, 2))
