from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from normsearch.errors import NormError
from normsearch.norms import SwitchableNorm
from normsearch.norms.official_switchable import OfficialSwitchableNorm

pytestmark = pytest.mark.usefixtures("both_kernels")


def mixed(x: Tensor, norm: nn.Module, w: Tensor, v: Tensor, official: bool = False) -> Tensor:
    """x̂ = (x − Σ w_k μ_k) / sqrt(Σ w'_k σ²_k + eps), k in IN, LN, BN."""
    shape = (1, -1, *[1] * (x.dim() - 2))
    spatial = tuple(range(2, x.dim()))
    mean_in = x.mean(spatial, keepdim=True)
    var_in = x.var(spatial, correction=int(official), keepdim=True)
    square = var_in + mean_in**2
    mean_ln, mean_bn = mean_in.mean(1, keepdim=True), mean_in.mean(0, keepdim=True)
    var_ln = square.mean(1, keepdim=True) - mean_ln**2
    var_bn = square.mean(0, keepdim=True) - mean_bn**2
    if not norm.training:
        mean_bn, var_bn = norm.running_mean.reshape(shape), norm.running_var.reshape(shape)
    mean = w[0] * mean_in + w[1] * mean_ln + w[2] * mean_bn
    variance = v[0] * var_in + v[1] * var_ln + v[2] * var_bn
    y = (x - mean) / torch.sqrt(variance + 1e-5)
    return y * norm.weight.reshape(shape) + norm.bias.reshape(shape)


def formula(x: Tensor, norm: nn.Module, with_batch: bool = True) -> Tensor:
    w, v = norm.mean_logits.exp(), norm.variance_logits.exp()
    if not with_batch:
        w, v = (t * torch.tensor([1.0, 1.0, 0.0]) for t in (w, v))
    return mixed(
        x, norm, w / w.sum(), v / v.sum(), official=isinstance(norm, OfficialSwitchableNorm)
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_formula(dims: int, training: bool, make_input, randomize, assert_same) -> None:
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        norm = randomize(SwitchableNorm(32, dims).to(dtype))
        norm(make_input(32, dims, dtype, mean=0.5))
        assert_same(norm.train(training), formula, make_input(32, dims, dtype), tolerance)


@pytest.mark.parametrize("training", [True, False])
def test_trained_at_batch_one_it_leaves_the_batch_out(
    training: bool, make_input, randomize, assert_same
) -> None:
    norm = randomize(SwitchableNorm(32, 2).double())
    x = make_input(samples=1)
    norm(x)
    norm.train(training)
    assert_same(norm, lambda x, norm: formula(x, norm, with_batch=False), x, 1e-9)
    assert norm.num_batches_tracked == 0
    assert torch.equal(norm.running_mean, torch.zeros(32))
    assert torch.equal(norm.running_var, torch.ones(32))


def test_a_smaller_last_batch_does_not_touch_the_running_moments(make_input) -> None:
    norm = SwitchableNorm(32, 2).double()
    norm(make_input())
    before = norm.running_mean.clone()
    norm(make_input(samples=1, mean=5.0))
    assert torch.equal(norm.running_mean, before)
    x = make_input(samples=1)
    torch.testing.assert_close(norm.eval()(x), formula(x, norm))


def test_running_moments_are_biased_and_start_at_zero_and_one(make_input) -> None:
    norm = SwitchableNorm(32, 2).double()
    x = make_input()
    norm(x)
    torch.testing.assert_close(norm.running_mean, 0.1 * x.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * x.var((0, 2, 3), correction=0))


def test_cumulative_average(make_input) -> None:
    norm = SwitchableNorm(32, 2, momentum=None).double()
    xs = [make_input(mean=mean) * scale for mean, scale in ((0, 1), (2, 3), (5, 0.5))]
    for x in xs:
        norm(x)
    torch.testing.assert_close(norm.running_mean, sum(x.mean((0, 2, 3)) for x in xs) / 3)
    variances = [x.var((0, 2, 3), correction=0) for x in xs]
    torch.testing.assert_close(norm.running_var, sum(variances) / 3)


def test_importance_is_that_of_eval(make_input) -> None:
    norm = SwitchableNorm(32, 2).double()
    with torch.no_grad():
        norm.mean_logits.copy_(torch.tensor([0.0, 0.0, 5.0]))
    half = {"IN": 0.5, "LN": 0.5, "BN": 0.0}
    assert norm.mixing_weights() == {"mean": half, "variance": half}
    norm(make_input())
    got = norm.mixing_weights()
    assert got["mean"]["BN"] > 0.9
    assert got["variance"] == pytest.approx({"IN": 1 / 3, "LN": 1 / 3, "BN": 1 / 3})
    assert norm.gates() == [norm.mean_logits, norm.variance_logits]


@pytest.mark.parametrize("samples", [1, 4])
def test_one_pixel_is_finite(samples: int) -> None:
    norm = SwitchableNorm(8, 2)
    x = torch.randn(samples, 8, 1, 1, requires_grad=True)
    y = norm(x)
    y.square().sum().backward()
    assert y.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_official_habits(
    dims: int, samples: int, training: bool, make_input, randomize, assert_same
) -> None:
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        norm = randomize(OfficialSwitchableNorm(32, dims).to(dtype))
        norm(make_input(32, dims, dtype, mean=0.5, samples=samples))
        x = make_input(32, dims, dtype, samples=samples)
        assert_same(norm.train(training), formula, x, tolerance)


def test_official_running_variance_starts_at_zero_and_takes_the_unbiased_one(make_input) -> None:
    norm = OfficialSwitchableNorm(32, 2).double()
    assert norm.spec_text == "SN(official=true)"
    assert torch.equal(norm.running_var, torch.zeros(32).double())
    assert norm.mixing_weights()["mean"]["BN"] == pytest.approx(1 / 3)
    x = make_input()
    norm(x)
    means = x.mean((2, 3))
    want = x.var((2, 3)).mean(0) + means.var(0, correction=0)
    torch.testing.assert_close(norm.running_var, 0.1 * want)
    norm.reset_running_stats()
    assert torch.equal(norm.running_var, torch.zeros(32).double())


def test_official_at_one_pixel_is_refused_where_the_authors_code_gives_nan() -> None:
    for training in (True, False):
        norm = OfficialSwitchableNorm(8, 2).train(training)
        with pytest.raises(NormError, match=r"SN\(official=true\) needs more than one pixel"):
            norm(torch.randn(4, 8, 1, 1))
