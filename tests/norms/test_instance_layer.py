from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from normsearch.errors import NormError
from normsearch.norms import InstanceLayerNorm

pytestmark = pytest.mark.usefixtures("both_kernels")


def formula(x: Tensor, norm: nn.Module) -> Tensor:
    shape = (1, -1, *[1] * (x.dim() - 2))
    rho = norm.rho
    gate = {
        "sigmoid": lambda: 1 / (1 + torch.exp(-rho[0])),
        "clip": lambda: torch.clip(rho[0], 0, 1),
        "softmax": lambda: torch.exp(rho[0]) / (torch.exp(rho[0]) + torch.exp(rho[1])),
    }[norm.gate]()
    y = gate * functional.instance_norm(x) + (1 - gate) * functional.layer_norm(x, x.shape[1:])
    if norm.regroup is not None:
        y = functional.group_norm(y, norm.regroup)
    return y * norm.weight.reshape(shape) + norm.bias.reshape(shape)


@pytest.mark.parametrize("regroup", [16, 4, 1, None])
@pytest.mark.parametrize("gate", ["sigmoid", "clip", "softmax"])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_formula(
    dims: int, gate: str, regroup: int | None, make_input, randomize, assert_same
) -> None:
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        norm = randomize(InstanceLayerNorm(32, dims, gate, regroup).to(dtype))
        assert_same(norm, formula, make_input(32, dims, dtype), tolerance)


def test_training_eval_and_batch_one_are_the_same(make_input) -> None:
    norm = InstanceLayerNorm(32, 2).double()
    x = make_input()
    torch.testing.assert_close(norm(x), norm.eval()(x))
    torch.testing.assert_close(norm(x)[1:2], norm(x[1:2]))


def test_at_one_channel_a_group_it_is_instance_norm_whatever_rho(make_input) -> None:
    norm = InstanceLayerNorm(16, 2).double()
    x = make_input(16)
    for rho in (-5.0, 0.0, 0.5, 5.0):
        nn.init.constant_(norm.rho, rho)
        assert (norm(x) - functional.instance_norm(x)).abs().max() < 1e-3


@pytest.mark.parametrize(
    ("gate", "share", "numbers"),
    [("sigmoid", 1 / (1 + math.exp(-0.5)), 1), ("clip", 0.5, 1), ("softmax", 0.5, 2)],
)
def test_gate_starts_from_one_half(gate: str, share: float, numbers: int) -> None:
    norm = InstanceLayerNorm(16, 2, gate)
    assert norm.rho.tolist() == [0.5] * numbers
    assert norm.mixing_weights()["gate"] == pytest.approx({"IN": share, "LN": 1 - share})
    assert norm.gates() == [norm.rho]


def test_clip_gate_is_left_free_and_has_no_gradient_outside(make_input) -> None:
    norm = InstanceLayerNorm(32, 2, "clip").double()
    nn.init.constant_(norm.rho, 1.5)
    norm.clamp_gates()
    assert norm.rho.item() == 1.5
    assert norm.mixing_weights()["gate"] == {"IN": 1.0, "LN": 0.0}
    norm(make_input()).sin().sum().backward()
    assert norm.rho.grad is not None
    assert norm.rho.grad.item() == 0


def test_one_pixel_is_finite() -> None:
    assert InstanceLayerNorm(32, 3)(torch.randn(2, 32, 1, 1, 1)).isfinite().all()


def test_errors() -> None:
    with pytest.raises(NormError, match="gate must be one of sigmoid, clip, softmax, got 'tanh'"):
        InstanceLayerNorm(16, 2, "tanh")
    with pytest.raises(NormError, match="regroup must divide the 24 channels, got 16"):
        InstanceLayerNorm(24, 2)
