from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from normsearch.errors import NormError
from normsearch.norms import MeanOnlyBatchNorm


def formula(x: Tensor, norm: nn.Module) -> Tensor:
    shape = (1, -1, *[1] * (x.dim() - 2))
    mean = x.transpose(0, 1).flatten(1).sum(1) * x.shape[1] / x.numel()
    mean = mean if norm.training else norm.running_mean
    return x - mean.reshape(shape) + norm.bias.reshape(shape)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_by_hand(dims: int, training: bool, make_input, randomize, assert_same) -> None:
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        norm = randomize(MeanOnlyBatchNorm(32, dims).to(dtype))
        norm(make_input(32, dims, dtype, mean=0.5))
        assert_same(norm.train(training), formula, make_input(32, dims, dtype), tolerance)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_mean_is_that_of_batch_norm(momentum: float | None, make_input) -> None:
    norm = MeanOnlyBatchNorm(32, 2, momentum).double()
    twin = nn.BatchNorm2d(32, momentum=momentum).double()
    for mean in (0.0, 2.0, -1.0):
        norm(make_input(mean=mean))
        twin(make_input(mean=mean))
    torch.testing.assert_close(norm.running_mean, twin.running_mean)
    assert norm.num_batches_tracked == 3
    norm.reset_running_stats()
    assert norm.running_mean.abs().max() == norm.num_batches_tracked == 0


def test_one_value_is_refused_in_training() -> None:
    with pytest.raises(NormError, match="MBN needs more than one value per channel in training"):
        MeanOnlyBatchNorm(6, 2)(torch.zeros(1, 6, 1, 1))
    with pytest.raises(NormError, match=r"MBN needs an input \(N, 6, H, W\)"):
        MeanOnlyBatchNorm(6, 2)(torch.zeros(1, 6, 1))
