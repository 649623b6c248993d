from __future__ import annotations

import pytest
import torch
from torch import nn

from normsearch.errors import NormError
from normsearch.norms import NoNorm, build_norm
from normsearch.norms.standard import group_norm


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("text", ["BN", "IN", "LN", "GN-8"])
def test_written_out_formula(text: str, dims: int, make_input, randomize, assert_same) -> None:
    def formula(x: torch.Tensor, norm: nn.Module) -> torch.Tensor:
        spatial = tuple(range(2, x.dim()))
        if text == "BN":
            values, axes = x, (0, *spatial)
        else:
            groups = {"IN": 32, "LN": 1, "GN-8": 8}[text]
            values, axes = x.reshape(len(x), groups, 32 // groups, -1), (2, 3)
        variance, mean = torch.var_mean(values, axes, correction=0, keepdim=True)
        y = ((values - mean) / torch.sqrt(variance + 1e-5)).reshape(x.shape)
        shape = (1, 32, *[1] * dims)
        return y * norm.weight.reshape(shape) + norm.bias.reshape(shape)

    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        norm = randomize(build_norm(text, 32, dims).to(dtype))
        assert_same(norm, formula, make_input(32, dims, dtype), tolerance)


def test_none_returns_its_input_and_remembers_its_slot() -> None:
    norm = build_norm("none", 5, 3)
    x = torch.randn(2, 5, 3, 4, 6)
    assert norm(x) is x
    assert isinstance(norm, NoNorm)
    assert (norm.channels, norm.dims) == (5, 3)
    assert not norm.state_dict()


def test_torch_refuses_a_single_value() -> None:
    """Kept as torch has it: BN at one value a channel in training, IN at one pixel."""
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        build_norm("BN", 8, 2)(torch.zeros(1, 8, 1, 1))
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        build_norm("IN", 8, 2)(torch.zeros(4, 8, 1, 1))
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        build_norm("IN", 8, 2).eval()(torch.zeros(4, 8, 1, 1))


def test_batch_norm_at_batch_one_is_instance_norm_in_training(make_input) -> None:
    x = make_input(samples=1)
    torch.testing.assert_close(
        build_norm("BN", 32, 2).double()(x), build_norm("IN", 32, 2).double()(x)
    )


def test_groups_must_divide() -> None:
    with pytest.raises(NormError, match="GN-5 needs a channel count that 5 divides, got 8"):
        group_norm(5, 8)
