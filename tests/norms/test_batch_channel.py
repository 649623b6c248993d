from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, group_norm

from normsearch.errors import NormError
from normsearch.norms import BatchChannelNorm

pytestmark = pytest.mark.usefixtures("both_kernels")


def composition(x: Tensor, norm: nn.Module) -> Tensor:
    running = (None, None) if norm.training else (norm.running_mean, norm.running_var)
    inner = batch_norm(x, *running, norm.batch_weight, norm.batch_bias, norm.training)  # type: ignore[call-arg]
    return group_norm(inner, norm.groups, norm.weight, norm.bias)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("groups", [1, 8, 16])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_batch_norm_then_group_norm(
    dims: int, groups: int, training: bool, make_input, randomize, assert_same
) -> None:
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        norm = randomize(BatchChannelNorm(32, dims, groups).to(dtype))
        norm(make_input(32, dims, dtype, mean=0.5))
        assert_same(norm.train(training), composition, make_input(32, dims, dtype), tolerance)


def test_with_instance_norm_after_it(make_input, randomize, assert_same) -> None:
    # What BN's weight does IN undoes: its gradient cancels, too much so for float32 to compare.
    norm = randomize(BatchChannelNorm(32, 2, 32).double())
    assert_same(norm, composition, make_input(), 1e-9)


def test_running_moments_are_those_of_batch_norm(make_input) -> None:
    norm, twin = BatchChannelNorm(32, 2, 8).double(), nn.BatchNorm2d(32).double()
    for mean in (0.0, 2.0):
        norm(make_input(mean=mean))
        twin(make_input(mean=mean))
    for name, value in twin.named_buffers():
        torch.testing.assert_close(getattr(norm, name), value)


def test_errors() -> None:
    with pytest.raises(NormError, match="groups must divide the 12 channels, got 8"):
        BatchChannelNorm(12, 2, 8)
    with pytest.raises(NormError, match="BCN-2 needs more than one value per channel in training"):
        BatchChannelNorm(6, 2, 2)(torch.zeros(1, 6, 1, 1))
