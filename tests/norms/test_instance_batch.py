from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, instance_norm

from normsearch.errors import NormError
from normsearch.norms import InstanceBatchNorm

pytestmark = pytest.mark.usefixtures("both_kernels")


def formula(x: Tensor, norm: nn.Module) -> Tensor:
    shape = (1, -1, *[1] * (x.dim() - 2))
    half = x.shape[1] // 2
    running = (None, None) if norm.training else (norm.running_mean[half:], norm.running_var[half:])
    parts = instance_norm(x[:, :half]), batch_norm(x[:, half:], *running, training=norm.training)
    return torch.cat(parts, 1) * norm.weight.reshape(shape) + norm.bias.reshape(shape)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("channels", [3, 32])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_formula(
    dims: int, channels: int, training: bool, make_input, randomize, assert_same
) -> None:
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        norm = randomize(InstanceBatchNorm(channels, dims).to(dtype))
        norm(make_input(channels, dims, dtype, mean=0.5))
        norm.train(training)
        assert_same(norm, formula, make_input(channels, dims, dtype), tolerance)
    assert_same(norm.double(), formula, make_input(channels, dims, mean=1e4), 1e-9)


def test_running_moments_are_those_of_batch_norm(make_input) -> None:
    norm, torchs = InstanceBatchNorm(32, 2), nn.BatchNorm2d(32)
    for mean in (0.0, 2.0):
        x = make_input(mean=mean, dtype=torch.float32)
        norm(x), torchs(x)
    torch.testing.assert_close(norm.running_mean, torchs.running_mean)
    torch.testing.assert_close(norm.running_var, torchs.running_var)
    assert list(norm.state_dict()) == list(torchs.state_dict())


def test_one_value_is_refused_in_training() -> None:
    with pytest.raises(NormError, match="IBN needs more than one value per channel in training"):
        InstanceBatchNorm(6, 2)(torch.zeros(1, 6, 1, 1))
