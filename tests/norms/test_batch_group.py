from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from normsearch.errors import NormError
from normsearch.norms import BatchGroupNorm

pytestmark = pytest.mark.usefixtures("both_kernels")

TOLERANCES = ((torch.float64, 1e-9), (torch.float32, 1e-5))


def formula(x: Tensor, norm: nn.Module) -> Tensor:
    shape = (1, -1, *[1] * (x.dim() - 2))
    twin = nn.BatchNorm1d(norm.groups, affine=False).double().train(norm.training)
    if not norm.training:
        twin.load_state_dict({name: value.clone() for name, value in norm.named_buffers()})
    y = twin(x.reshape(len(x), norm.groups, -1)).reshape(x.shape)
    return y * norm.weight.reshape(shape) + norm.bias.reshape(shape)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_batch_norm_of_the_groups(
    dims: int, training: bool, make_input, randomize, assert_same
) -> None:
    for dtype, tolerance in TOLERANCES:
        norm = randomize(BatchGroupNorm(32, dims, 8).to(dtype))
        norm(make_input(32, dims, dtype, mean=0.5))
        assert_same(norm.train(training), formula, make_input(32, dims, dtype), tolerance)


@pytest.mark.parametrize("groups", [1, 4, 32])
def test_running_moments_are_those_of_batch_norm(groups: int, make_input) -> None:
    norm = BatchGroupNorm(32, 2, groups).double()
    twin = nn.BatchNorm1d(groups).double()
    for mean in (0.0, 2.0):
        x = make_input(mean=mean)
        norm(x)
        twin(x.reshape(len(x), groups, -1))
    for name, value in twin.named_buffers():
        torch.testing.assert_close(getattr(norm, name), value)
    norm.reset_running_stats()
    assert norm.running_var.tolist() == [1] * groups


def test_at_one_channel_a_group_it_is_batch_norm(make_input) -> None:
    norm, torchs = BatchGroupNorm(32, 2, 32).double(), nn.BatchNorm2d(32).double()
    x = make_input()
    torch.testing.assert_close(norm(x), torchs(x))
    torchs.load_state_dict(norm.state_dict())
    torch.testing.assert_close(norm.eval()(x), torchs.eval()(x))


def test_errors() -> None:
    with pytest.raises(NormError, match="groups must divide the 12 channels, got 8"):
        BatchGroupNorm(12, 2, 8)
    with pytest.raises(NormError, match="BGN-6 needs more than one value per group in training"):
        BatchGroupNorm(6, 2, 6)(torch.zeros(1, 6, 1, 1))
    assert BatchGroupNorm(6, 2, 3)(torch.randn(1, 6, 1, 1)).isfinite().all()
