from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from normsearch.errors import NormError
from normsearch.norms import RootMeanSquareGroupNorm, RootMeanSquareNorm2d

pytestmark = pytest.mark.usefixtures("both_kernels")


@pytest.mark.parametrize("groups", [1, 4, 32])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_formula_of_groups(dims: int, groups: int, make_input, randomize, assert_same) -> None:
    def formula(x: Tensor, norm: nn.Module) -> Tensor:
        parts = x.reshape(len(x), groups, -1)
        root = torch.sqrt(parts.square().mean(2, keepdim=True) + 1e-5)
        return (parts / root).reshape(x.shape) * norm.weight.reshape(1, -1, *[1] * dims)

    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        norm = randomize(RootMeanSquareGroupNorm(32, dims, groups).to(dtype))
        for mean in (0.0, 1e4):
            assert_same(norm.to(dtype), formula, make_input(32, dims, dtype, mean), tolerance)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_formula_of_pixels(dims: int, make_input, randomize, assert_same) -> None:
    """torch's RMSNorm of channels last."""

    def formula(x: Tensor, norm: nn.Module) -> Tensor:
        y = torch.nn.functional.rms_norm(x.movedim(1, -1), (32,), norm.weight, 1e-6)
        return y.movedim(-1, 1)

    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        norm = randomize(RootMeanSquareNorm2d(32, dims).to(dtype))
        for mean in (0.0, 1e4):
            assert_same(norm.to(dtype), formula, make_input(32, dims, dtype, mean), tolerance)


def test_there_is_no_bias() -> None:
    for norm in (RootMeanSquareGroupNorm(8, 2, 4), RootMeanSquareNorm2d(8, 2)):
        assert list(norm.state_dict()) == ["weight"]
        assert torch.equal(norm(torch.zeros(1, 8, 3, 3)), torch.zeros(1, 8, 3, 3))


def test_groups_must_divide() -> None:
    with pytest.raises(NormError, match="RMSGN: groups must divide the 6 channels, got 4"):
        RootMeanSquareGroupNorm(6, 2, 4)
