from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import group_norm

from normsearch.errors import NormError
from normsearch.norms import AxisNoneNorm, SlabGroupNorm


def slabs(x: Tensor, norm: nn.Module) -> Tensor:
    """Each part of the flattened channels-last sample by itself."""
    rows = []
    for sample in x.movedim(1, -1):
        parts = [
            (part - part.mean()) / torch.sqrt(part.var(correction=0) + 1e-5)
            for part in sample.flatten().chunk(norm.groups)
        ]
        rows.append(torch.cat(parts).reshape(sample.shape))
    return (torch.stack(rows) * norm.weight + norm.bias).movedim(-1, 1)


@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_slabs_by_hand(dims: int, groups: int, make_input, randomize, assert_same) -> None:
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        norm = randomize(SlabGroupNorm(32, dims, groups).to(dtype))
        assert_same(norm, slabs, make_input(32, dims, dtype), tolerance)


def test_a_slab_is_a_part_of_the_first_axis_over_all_channels() -> None:
    x = torch.randn(2, 6, 4, 5, dtype=torch.float64)
    out = SlabGroupNorm(6, 2, 2).double()(x)
    for half in (slice(0, 2), slice(2, 4)):
        torch.testing.assert_close(out[:, :, half], group_norm(x[:, :, half], 1))
    assert (out - group_norm(x, 2)).abs().max() > 0.1


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_axis_none_is_layer_norm_with_one_weight(
    dims: int, make_input, randomize, assert_same
) -> None:
    def formula(x: Tensor, norm: nn.Module) -> Tensor:
        axes = tuple(range(1, x.dim()))
        variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
        return (x - mean) / torch.sqrt(variance + 1e-5) * norm.weight + norm.bias

    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        norm = randomize(AxisNoneNorm(32, dims).to(dtype))
        assert norm.weight.shape == norm.bias.shape == (1,)
        assert_same(norm, formula, make_input(32, dims, dtype), tolerance)


def test_groups_must_divide_the_channels() -> None:
    with pytest.raises(NormError, match="slabGN: groups must divide the 12 channels, got 8"):
        SlabGroupNorm(12, 2, 8)


def test_slabs_of_one_value_are_treated_as_group_norm_treats_them() -> None:
    norm = SlabGroupNorm(4, 2, 4)
    assert norm(torch.randn(3, 4, 1, 1)).abs().max() < 1e-3
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        norm(torch.randn(1, 4, 1, 1))
