from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, group_norm

from normsearch.errors import NormError
from normsearch.norms import GhostBatchGroupNorm

pytestmark = pytest.mark.usefixtures("both_kernels")


def by_hand(x: Tensor, norm: nn.Module) -> Tensor:
    """Group by group, in loops."""
    width = norm.channels // norm.groups
    shape = (1, -1, *[1] * (x.dim() - 2))
    running_mean, running_square = norm.running_mean, norm.running_var + norm.running_mean**2
    rows = []
    for samples in x.split(norm.samples):
        parts = []
        for start in range(0, norm.channels, width):
            part = samples[:, start : start + width]
            if norm.training or norm.samples == 1:
                mean, variance = part.mean(), part.var(correction=0)
            else:
                mean = running_mean[start : start + width].mean()
                variance = running_square[start : start + width].mean() - mean**2
            parts.append((part - mean) / torch.sqrt(variance + 1e-5))
        rows.append(torch.cat(parts, 1))
    return torch.cat(rows) * norm.weight.reshape(shape) + norm.bias.reshape(shape)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("samples", [1, 2, 3, 7])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_by_hand(
    dims: int, samples: int, training: bool, make_input, randomize, assert_same
) -> None:
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        norm = randomize(GhostBatchGroupNorm(32, dims, samples, 8).to(dtype))
        norm(make_input(32, dims, dtype, mean=0.5))
        x = make_input(32, dims, dtype, samples=6 if samples == 3 else 5)
        assert_same(norm.train(training), by_hand, x, tolerance)


def test_special_cases_are_batch_ghost_and_group_norm(make_input) -> None:
    x = make_input(samples=4)
    whole = GhostBatchGroupNorm(32, 2, 4, 32).double()
    torch.testing.assert_close(whole(x), batch_norm(x, None, None, training=True))
    ghost = torch.cat([batch_norm(part, None, None, training=True) for part in x.split(2)])
    torch.testing.assert_close(GhostBatchGroupNorm(32, 2, 2, 32).double()(x), ghost)
    group = GhostBatchGroupNorm(32, 2, 1, 8).double()
    for training in (True, False):
        torch.testing.assert_close(group.train(training)(x), group_norm(x, 8))


def test_running_moments_are_per_channel_with_decay_99(make_input) -> None:
    norm = GhostBatchGroupNorm(32, 2, 2, 8).double()
    x = make_input(samples=5)
    norm(x)
    torch.testing.assert_close(norm.running_mean, 0.01 * x.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, 0.99 + 0.01 * x.var((0, 2, 3), correction=0))


def test_errors() -> None:
    with pytest.raises(NormError, match="groups must divide the 12 channels, got 8"):
        GhostBatchGroupNorm(12, 2, 2, 8)
    with pytest.raises(NormError, match="GBGN-2x6 needs more than one value per group in training"):
        GhostBatchGroupNorm(6, 2, 2, 6)(torch.zeros(1, 6, 1, 1))
    # the sample left over is a group of one value: its deviation from its mean is 0
    out = GhostBatchGroupNorm(6, 2, 2, 6)(torch.randn(3, 6, 1, 1))
    assert out.isfinite().all()
    assert torch.equal(out[2], torch.zeros(6, 1, 1))
