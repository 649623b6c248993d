from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from normsearch.norms import BatchInstanceNorm

pytestmark = pytest.mark.usefixtures("both_kernels")


def formula(x: Tensor, norm: nn.Module) -> Tensor:
    shape = (1, -1, *[1] * (x.dim() - 2))
    means, variances = (None, None) if norm.training else (norm.running_mean, norm.running_var)
    batch = functional.batch_norm(x, means, variances, training=norm.training)
    rho, weight, bias = (v.reshape(shape) for v in (norm.rho, norm.weight, norm.bias))
    return (rho * batch + (1 - rho) * functional.instance_norm(x)) * weight + bias


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_formula(dims: int, training: bool, make_input, randomize, assert_same) -> None:
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        norm = randomize(BatchInstanceNorm(32, dims).to(dtype))
        norm(make_input(32, dims, dtype, mean=0.5))
        assert_same(norm.train(training), formula, make_input(32, dims, dtype), tolerance)


@pytest.mark.parametrize("samples", [1, 3])
def test_starts_as_batch_norm_in_training_and_eval(samples: int, make_input) -> None:
    norm, torchs = BatchInstanceNorm(32, 2).double(), nn.BatchNorm2d(32).double()
    x = make_input(samples=samples)
    for _ in range(2):
        torch.testing.assert_close(norm(x), torchs(x))
    torch.testing.assert_close(norm.eval()(x), torchs.eval()(x))


def test_at_rho_zero_it_is_instance_norm_in_training_and_eval(make_input) -> None:
    norm = BatchInstanceNorm(32, 2).double()
    nn.init.zeros_(norm.rho)
    x = make_input()
    for training in (True, False):
        torch.testing.assert_close(norm.train(training)(x), functional.instance_norm(x))


def test_gate_is_clamped_and_told() -> None:
    norm = BatchInstanceNorm(4, 2)
    assert norm.mixing_weights() == {"rho": {"BN": 1.0, "IN": 0.0}}
    with torch.no_grad():
        norm.rho.copy_(torch.tensor([-0.5, 0.5, 0.5, 1.5]))
    norm.clamp_gates()
    assert norm.rho.tolist() == [0.0, 0.5, 0.5, 1.0]
    assert norm.mixing_weights() == {"rho": {"BN": 0.5, "IN": 0.5}}
    assert norm.gates() == [norm.rho]


def test_one_value_per_channel_is_refused_in_training_as_torch_does() -> None:
    norm = BatchInstanceNorm(4, 2)
    x = torch.randn(1, 4, 1, 1)
    with pytest.raises(ValueError, match="BIN needs more than one value per channel in training"):
        norm(x)
    assert norm.eval()(x).isfinite().all()
    assert norm.train()(torch.randn(2, 4, 1, 1)).isfinite().all()
