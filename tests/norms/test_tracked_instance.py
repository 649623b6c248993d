from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, instance_norm

from normsearch.errors import NormError
from normsearch.norms import TrackedInstanceNorm

pytestmark = pytest.mark.usefixtures("both_kernels")
TORCH = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


def formula(x: Tensor, norm: nn.Module) -> Tensor:
    if norm.training:
        return instance_norm(x, weight=norm.weight, bias=norm.bias)
    return batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_formula(dims: int, training: bool, make_input, randomize, assert_same) -> None:
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        norm = randomize(TrackedInstanceNorm(32, dims).to(dtype))
        norm(make_input(32, dims, dtype, mean=0.5))
        norm.train(training)
        assert_same(norm, formula, make_input(32, dims, dtype), tolerance)
    assert_same(norm.double(), formula, make_input(32, dims, mean=1e4), 1e-9)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_it_tracks_what_torch_tracks(dims: int, make_input) -> None:
    torchs = TORCH[dims](32, affine=True, track_running_stats=True)
    norm = TrackedInstanceNorm(32, dims)
    norm.load_state_dict(torchs.state_dict())
    for mean in (0.0, 2.0, -1.0):
        x = make_input(32, dims, torch.float32, mean)
        torch.testing.assert_close(norm(x), torchs(x))
    torch.testing.assert_close(norm.running_mean, torchs.running_mean)
    torch.testing.assert_close(norm.running_var, torchs.running_var)
    torch.testing.assert_close(norm.eval()(x), torchs.eval()(x))


def test_copies_go_on_alike(make_input) -> None:
    x = make_input(dtype=torch.float32)
    norm = TrackedInstanceNorm(32, 2)
    norm(x)
    for twin in (copy.deepcopy(norm), pickle.loads(pickle.dumps(norm))):
        assert torch.equal(twin(2 * x), copy.deepcopy(norm)(2 * x))
        assert twin.num_batches_tracked == 2


def test_one_pixel_is_refused_in_training() -> None:
    norm = TrackedInstanceNorm(6, 2)
    with pytest.raises(NormError, match=r"IN\(track=true\) needs more than 1 pixel in training"):
        norm(torch.zeros(4, 6, 1, 1))
    assert norm.eval()(torch.zeros(4, 6, 1, 1)).isfinite().all()
