from __future__ import annotations

from collections.abc import Callable
from functools import partial

import psutil
import pytest
import torch
from torch import Tensor

from normsearch.errors import NormError
from normsearch.norms import MomentNorm, RunningMomentNorm, build_norm
from normsearch.norms.moments import (
    Affine,
    Moments,
    by_autograd,
    normalize,
    normalize_linearized,
    pool,
)

COMPOSITES = ["BIN", "ILN", "ILN(gate=clip)", "ILN(gate=softmax)", "ILN(regroup=none)", "SN"]


def normalize_channels(x: Tensor, coefficients: Callable[[Moments], Affine]) -> Tensor:
    one = torch.ones(x.shape[1], dtype=x.dtype)
    linearize = partial(by_autograd, coefficients, ())
    return normalize_linearized(x, one, torch.zeros_like(one), linearize, 1e-5, ())


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_moments_are_those_of_torch(dims: int, make_input) -> None:
    x = make_input(6, dims)
    seen: list[Moments] = []

    def keep(moments: Moments) -> Affine:
        seen.append(moments)
        return normalize(moments, moments, 0.0)

    normalize_channels(x, keep)
    variance, mean = torch.var_mean(x, dim=tuple(range(2, x.dim())), correction=0)
    torch.testing.assert_close(seen[0].mean, mean)
    torch.testing.assert_close(seen[0].variance, variance)


@pytest.mark.parametrize("axis", [0, 1])
def test_pooled_moments_are_those_of_all_values(axis: int, make_input) -> None:
    x = make_input(6)
    variance, mean = torch.var_mean(x, dim=(2, 3), correction=0)
    pooled = pool(Moments(mean, variance), axis)
    want = torch.var_mean(x, dim=(axis, 2, 3), correction=0, keepdim=True)
    torch.testing.assert_close(pooled.variance, want[0][..., 0, 0])
    torch.testing.assert_close(pooled.mean, want[1][..., 0, 0])


@pytest.mark.usefixtures("both_kernels")
def test_variance_of_a_large_volume_is_exact() -> None:
    # 128³ float32 values: a plain running sum of squares is off by a thousandth here.
    x = 0.7 + 0.001 * torch.randn(1, 1, 128, 128, 128, generator=torch.Generator().manual_seed(0))
    x[..., ::2] -= 1.4
    kept: list[Moments] = []
    normalize_channels(x, lambda moments: kept.append(moments) or normalize(moments, moments, 0))
    exact = x.double().var(correction=0)
    assert abs(float(kept[0].variance.detach()) / float(exact) - 1) < 1e-6


@pytest.mark.usefixtures("both_kernels")
@pytest.mark.parametrize("text", COMPOSITES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_statistics_in_float32(text: str, dtype: torch.dtype) -> None:
    # 300² overflows float16
    x = (300 * torch.randn(3, 32, 5, 7, generator=torch.Generator().manual_seed(2))).to(dtype)
    out = build_norm(text, 32, 2)(x.requires_grad_())
    want = build_norm(text, 32, 2)(x.detach().float())
    assert out.dtype == dtype
    assert (out.float() - want).abs().max() < 0.03
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == dtype
    assert build_norm(text, 32, 2).to(dtype).eval()(x).isfinite().all()


@pytest.mark.usefixtures("both_kernels")
@pytest.mark.parametrize("text", COMPOSITES)
def test_constant_input_gives_the_bias(text: str) -> None:
    norm = build_norm(text, 32, 3)
    torch.nn.init.constant_(norm.bias, 0.25)
    torch.testing.assert_close(
        norm(torch.full((2, 32, 3, 4, 5), 7.0)).unique(), torch.tensor([0.25])
    )


def test_wrong_input_is_refused_by_name() -> None:
    with pytest.raises(NormError, match=r"SN needs an input \(N, 32, H, W\), got \(2, 32, 5\)"):
        build_norm("SN", 32, 2)(torch.zeros(2, 32, 5))
    with pytest.raises(NormError, match=r"BIN needs an input \(N, 8, W\), got \(2, 7, 5\)"):
        build_norm("BIN", 8, 1)(torch.zeros(2, 7, 5))


def test_base_asks_for_coefficients() -> None:
    class Bare(MomentNorm):
        spec_text = "bare"

    bare = Bare(3, 2)
    assert (bare.gates(), bare.mixing_weights()) == ([], {})
    bare.clamp_gates()
    with pytest.raises(NotImplementedError):
        bare(torch.zeros(1, 3, 2, 2))


@pytest.mark.parametrize("momentum", [0.1, 0.3, None])
def test_running_moments_follow_torch(momentum: float | None, make_input) -> None:
    """BIN keeps the very numbers of torch's BatchNorm, SN the biased variance instead."""
    torchs = torch.nn.BatchNorm2d(32, momentum=momentum).double()
    ours = [build_norm(text, 32, 2).double() for text in ("BIN", "SN")]
    for norm in ours:
        assert isinstance(norm, RunningMomentNorm)
        norm.momentum = momentum
    shrink = 1 - 1 / (3 * 35)
    for mean in (0.0, 2.0, -1.0):
        for norm in (torchs, *ours):
            norm(make_input(mean=mean))
    for norm, biased in zip(ours, (False, True), strict=True):
        torch.testing.assert_close(norm.running_mean, torchs.running_mean)
        assert norm.num_batches_tracked == torchs.num_batches_tracked == 3
        start = 0 if momentum is None else (1 - momentum) ** 3
        moved = torchs.running_var - start
        want = start + moved * (shrink if biased else 1)
        torch.testing.assert_close(norm.running_var, want)
        norm.reset_running_stats()
    torchs.reset_running_stats()
    for norm in ours:
        for name, buffer in torchs.named_buffers():
            assert torch.equal(getattr(norm, name), buffer)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("text", COMPOSITES)
def test_gradients_by_hand_are_those_of_autograd(text: str, training: bool, randomize) -> None:
    norm = randomize(build_norm(text, 32, 2).double()).train(training)
    generator = torch.Generator().manual_seed(5)
    mean, variance, *gradient = torch.rand(4, 3, 32, dtype=torch.float64, generator=generator)
    moments, given = Moments(mean, variance), Affine(*gradient)
    with torch.no_grad():
        made, pullback = norm.linearize(moments, 35)
        d_moments, d_gates = pullback(given)
    want, by_torch = by_autograd(lambda m: norm.coefficients(m, 35), norm.gates(), moments)
    want_moments, want_gates = by_torch(given)
    for a, b in zip(
        (*made, *d_moments, *d_gates), (*want, *want_moments, *want_gates), strict=True
    ):
        torch.testing.assert_close(a.expand_as(b), b)


def test_a_norm_needs_no_gradient_by_hand(make_input, assert_same) -> None:
    class Shared(MomentNorm):
        """x over a learnt power of its own deviation."""

        spec_text = "shared"

        def __init__(self) -> None:
            super().__init__(6, 2)
            self.power = torch.nn.Parameter(torch.tensor(0.5, dtype=torch.float64))

        def gates(self) -> list[torch.nn.Parameter]:
            return [self.power]

        def coefficients(self, moments: Moments, pixels: int) -> Affine:
            return Affine(moments.variance.pow(-self.power), torch.zeros_like(moments.mean))

    def formula(x: torch.Tensor, norm: MomentNorm) -> torch.Tensor:
        variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
        weight, bias = norm.weight[:, None, None], norm.bias[:, None, None]
        return (x - mean) / variance**norm.power * weight + bias

    assert_same(Shared().double(), formula, make_input(6), 1e-9)


@pytest.mark.parametrize("text", COMPOSITES)
def test_what_a_compiler_is_given_is_the_same(text: str, make_input, randomize) -> None:
    norm = randomize(build_norm(text, 32, 2).double())
    x = make_input().requires_grad_()
    outs = [norm(x), torch.compile(norm, backend="eager", fullgraph=True)(x)]
    grads = [torch.autograd.grad(out.sin().sum(), [x, *norm.parameters()]) for out in outs]
    torch.testing.assert_close(outs[1], outs[0])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.usefixtures("both_kernels")
@pytest.mark.parametrize("spec", ["BRN", "BCN-8", "SSN"])
def test_no_step_keeps_memory(spec: str) -> None:
    """Operations that save their own outputs once kept the graph of each step for ever."""
    norm = build_norm(spec, 4096, 2)
    x = torch.randn(64, 4096, 1, 2, requires_grad=True)

    def resident(steps: int) -> int:
        for _ in range(steps):
            norm(x).sum().backward()
        return psutil.Process().memory_info().rss

    before = resident(32)  # until then the allocator grows by as much as 15 MiB
    # Of three, since it varies by a few MiB; each step's moments alone are 2 MiB.
    assert min(resident(16) for _ in range(3)) - before < 16 * 2**20
