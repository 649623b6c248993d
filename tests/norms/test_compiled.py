"""The compiled kernels against the same norms in float64, which torch's kernels compute."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from normsearch.errors import NormError
from normsearch.norms import build_norm
from normsearch.norms.compiled import can_compute, can_follow
from normsearch.norms.kernels import find_compiler, kernels

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")

TEXTS = [
    *(
        "SN",
        "SSN",
        "BIN",
        "ILN(regroup=4)",
        "ILN(gate=clip,regroup=8)",
        "ILN(gate=softmax,regroup=none)",
        "BGN-8",
        "IN(track=true)",
        "BRN",
        "BRN(limits=tight)",
    ),
    *("GBGN-1x8", "GBGN-2x8", "GBGN-7x16", "BCN-8", "BCN-1", "IBN", "RMSGN-4", "GRN"),
    *("BN", "IN", "SyncBN", "MBN", "FRN", "EvoNorm-S0-4", "EvoNorm-B0", "DyT", "Derf"),
    *("LN2d", "RMS2d", "LRN"),
]
REFUSE_ONE_PIXEL = ("IN", "IN(track=true)")
SHAPES = [(5, 16, 7, 9), (1, 16, 200, 210), (3, 32, 64, 65), (2, 16, 1, 31), (4, 16, 1, 1)]


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NORMSEARCH_KERNELS", "c")
    kernels.cache_clear()
    yield
    kernels.cache_clear()


def made(text: str, shape: tuple[int, ...], mean: float = 0.0) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a norm off its start, its input and the gradient of its output, all float32."""
    generator = torch.Generator().manual_seed(shape[-1])
    norm = build_norm(text, shape[1], len(shape) - 2)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.copy_(0.1 + 0.8 * torch.rand(parameter.shape, generator=generator))
    spread = 0.5 + torch.rand(*shape[:2], *[1] * (len(shape) - 2), generator=generator)
    x = torch.randn(shape, generator=generator) * spread + spread.log() + mean
    return norm, x, torch.randn(shape, generator=generator)


def step(norm: nn.Module, x: Tensor, dy: Tensor) -> list[Tensor]:
    """Return the output, all gradients and the running moments."""
    leaf = x.detach().requires_grad_()
    y = norm(leaf)
    grads = torch.autograd.grad(y, [leaf, *norm.parameters()], dy.to(x.dtype))
    return [y.detach(), *grads, *(buffer.clone() for buffer in norm.buffers())]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("text", "shape"),
    [(t, s) for t in TEXTS for s in SHAPES if t not in REFUSE_ONE_PIXEL or s[2:] != (1, 1)],
)
def test_same_as_torch_in_float64(text: str, shape: tuple[int, ...], training: bool) -> None:
    norm, x, dy = made(text, shape)
    norm(x)
    norm.train(training)
    twin = build_norm(text, shape[1], 2).double().train(training)
    twin.load_state_dict(norm.state_dict())
    assert can_compute(x)
    assert norm(x.clone().requires_grad_()).grad_fn.name() == "_CompiledBackward"
    twin.load_state_dict(norm.state_dict())
    for one, other in zip(step(norm, x, dy), step(twin, x.double(), dy), strict=True):
        scale = other.abs().max().clamp(min=1)
        # IN of one pixel divides rounding errors by sqrt(eps)
        tolerance = 1e-5 if shape[2] > 1 or shape[3] > 1 else 1e-3
        assert (one - other).abs().max() <= tolerance * scale


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("chosen", [(-1, -1), (2, 0), (1, -1)])
@pytest.mark.parametrize("radius", [0.0, 0.3, 0.65, 0.75, 0.9])
def test_sparsest_max_of_the_kernels(radius: float, chosen: tuple[int, int], samples: int) -> None:
    for training in (True, False):
        norm, x, dy = made("SSN", (samples, 16, 5, 7))
        norm.radius.fill_(radius)
        norm.choices.copy_(torch.tensor(chosen))
        norm(x)
        twin = build_norm("SSN", 16, 2).double().train(training)
        twin.load_state_dict(norm.state_dict())
        results = step(norm.train(training), x, dy), step(twin, x.double(), dy)
        for one, other in zip(*results, strict=True):
            assert (one - other).abs().max() <= 1e-5 * other.abs().max().clamp(min=1)


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("radius", [0.01, 0.3, 0.65])
def test_equal_logits_of_the_kernels(radius: float, samples: int) -> None:
    norm, x, dy = made("SSN", (samples, 16, 5, 7))
    norm.radius.fill_(radius)
    twin = build_norm("SSN", 16, 2).double()
    twin.load_state_dict(norm.state_dict())
    for each, given in ((norm, x), (twin, x.double())):
        for logits in (each.mean_logits, each.variance_logits):
            nn.init.ones_(logits)
        each(given)
    # Rounding decides how the equal are ordered and mixed, by a millionth of the radius.
    for one, other in zip(step(norm, x, dy), step(twin, x.double(), dy), strict=True):
        assert (one - other).abs().max() <= 1e-4 * other.abs().max().clamp(min=1)


@pytest.mark.parametrize("function", ["DyT", "Derf", "EvoNorm-S0-1"])
def test_functions_of_single_values_and_their_slopes(function: str) -> None:
    """Written out for lack of vectors of tanh, erf and exp: within ten steps of float32."""
    values = torch.cat((torch.logspace(-30, 2, 4001), torch.linspace(0.5, 3, 4001)))
    x = torch.cat((values, -values)).view(1, 1, -1)
    results = []
    for dtype in (torch.float32, torch.float64):
        norm = build_norm(function, 1, 1).to(dtype).requires_grad_(False)
        norm.eps = 1e8  # a deviation that hardly depends on x
        leaf = x.to(dtype).requires_grad_()
        y = norm(leaf)
        results.append([values.double() for values in (y, *torch.autograd.grad(y.sum(), leaf))])
    for one, other in zip(*results, strict=True):
        assert (one - other).abs().max() <= 1.2e-6 * other.abs().max()
    y, want = results[0][0], results[1][0]
    assert ((y - want).abs() <= 1.2e-6 * want.abs() + 1e-35).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("text", ["DyT", "Derf", "FRN", "EvoNorm-S0-4", "EvoNorm-B0", "LN2d"])
def test_functions_treat_what_is_not_finite_as_torch_does(text: str, bad: float) -> None:
    norm, x, _ = made(text, (2, 16, 5, 7))
    x[1, 2, 3, 4] = bad
    twin = build_norm(text, 16, 2).double()
    twin.load_state_dict(norm.state_dict())
    close = {"rtol": 1e-5, "atol": 1e-5, "equal_nan": True}
    torch.testing.assert_close(norm(x).double(), twin(x.double()), **close)


SECOND = ["BN", "IN", "LN2d", "RMS2d", "LRN", "DyT", "Derf", "EvoNorm-S0-4", "EvoNorm-B0"]


@pytest.mark.parametrize("text", SECOND)
def test_second_derivatives_are_those_of_torch(text: str) -> None:
    norm, x, dy = made(text, (3, 16, 5, 7))
    twin = build_norm(text, 16, 2).double()
    twin.load_state_dict(norm.state_dict())
    results = []
    for module, dtype in ((norm, torch.float32), (twin, torch.float64)):
        leaf = x.to(dtype).requires_grad_()
        inputs = [leaf, *module.parameters()]
        (first,) = torch.autograd.grad(module(leaf), leaf, dy.to(dtype), create_graph=True)
        twice = torch.autograd.grad(first.square().sum(), inputs, allow_unused=True)
        results.append([values for values in twice if values is not None])
    for one, other in zip(*results, strict=True):
        assert (one - other).abs().max() <= 1e-5 * other.abs().max().clamp(min=1)
    for one, other in zip(norm.buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(one.double(), other.double())


@pytest.mark.parametrize("text", ["BN", "MBN", "EvoNorm-B0"])
@pytest.mark.parametrize("training", [True, False])
def test_gradients_are_those_of_the_mode_of_the_forward_pass(text: str, training: bool) -> None:
    norm, x, dy = made(text, (3, 16, 5, 7))
    leaf = x.requires_grad_()
    out = norm.train(training)(leaf)
    (plain,) = torch.autograd.grad(out, leaf, dy, retain_graph=True)
    norm.train(not training)
    (differentiable,) = torch.autograd.grad(out, leaf, dy, create_graph=True)
    torch.testing.assert_close(differentiable, plain)


@pytest.mark.parametrize("text", SECOND)
def test_transforms_of_torch_func_are_supported(text: str) -> None:
    norm, x, dy = made(text, (3, 16, 5, 7))
    norm.eval()
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(norm(leaf), leaf, dy)
    torch.testing.assert_close(torch.func.grad(lambda x: (norm(x) * dy).sum())(x), expected)


@pytest.mark.parametrize(
    "text", ["SN", "BIN", "ILN", "BGN-8", "BCN-8", "LN2d", "EvoNorm-B0", "Derf"]
)
def test_threads_change_no_bit(text: str) -> None:
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            results.append(step(*made(text, (3, 32, 64, 65))))
    finally:
        torch.set_num_threads(before)
    for one, two, again in zip(*results, strict=True):
        assert torch.equal(one, two)
        assert torch.equal(two, again)


@pytest.mark.parametrize("text", ["SN", "BCN-8"])
def test_any_layout_of_input_and_gradient(text: str) -> None:
    norm, x, dy = made(text, (3, 16, 8, 10))
    want = step(norm, x[..., ::2], dy[..., ::2])
    for layout in (torch.contiguous_format, torch.channels_last):
        norm, x, dy = made(text, (3, 16, 8, 10))
        got = step(norm, *(t[..., ::2].contiguous(memory_format=layout) for t in (x, dy)))
        for one, other in zip(got, want, strict=True):
            assert torch.equal(one, other)
    one = torch.ones(())
    norm, x, _ = made(text, (3, 16, 8, 10))
    again, *_ = made(text, (3, 16, 8, 10))
    expanded, whole = one.expand(x.shape), torch.ones(x.shape)
    for a, b in zip(step(norm, x, expanded), step(again, x, whole), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("text", ["BIN", "ILN(regroup=2)", "BCN-1", "SN", "IBN", "BRN", "GRN"])
def test_two_channels(text: str) -> None:
    """As many channels as pools: shares by channel and by pool must not be mistaken."""
    norm, x, dy = made(text, (3, 2, 5, 7))
    twin = build_norm(text, 2, 2).double()
    twin.load_state_dict(norm.state_dict())
    for one, other in zip(step(norm, x, dy), step(twin, x.double(), dy), strict=True):
        assert (one - other).abs().max() <= 1e-5 * other.abs().max().clamp(min=1)


@pytest.mark.parametrize("momentum", [0.3, None])
@pytest.mark.parametrize(
    "text", ["SN", "BIN", "BGN-8", "GBGN-2x8", "BCN-8", "IBN", "IN(track=true)", "BRN"]
)
def test_running_moments_follow_torch(text: str, momentum: float | None) -> None:
    norm, x, _ = made(text, (4, 16, 5, 7))
    twin = build_norm(text, 16, 2).double()
    norm.momentum = twin.momentum = momentum
    for shift in (0.0, 2.0, -1.0):
        norm(x + shift)
        twin((x + shift).double())
    for one, other in zip(norm.buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(one.double(), other.double())


def test_autograd_knows_that_running_moments_changed() -> None:
    norm, x, _ = made("BIN", (4, 16, 5, 7))
    kept = (norm.weight * norm.running_var).sum()
    norm(x)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        kept.backward()


@pytest.mark.parametrize("pixels", [33, 5000, 40_000])
def test_variance_where_the_pixels_looked_at_first_mislead(pixels: int) -> None:
    """One pixel in eight is far off: a shift by their mean alone would cost all digits."""
    x = 1e4 + torch.randn(1, 8, pixels, generator=torch.Generator().manual_seed(0))
    x[..., :: (min(pixels, 32768) + 7) // 8] = 0
    norm, twin = build_norm("SN", 8, 1), build_norm("SN", 8, 1).double()
    assert (norm(x) - twin(x.double())).abs().max() < 1e-3 * twin(x.double()).abs().max()


def test_large_logits_do_not_overflow() -> None:
    norm, x, dy = made("SN", (3, 16, 5, 7))
    nn.init.constant_(norm.mean_logits, 1000.0)
    assert all(values.isfinite().all() for values in step(norm, x, dy))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_visible(bad: float) -> None:
    norm, x, _ = made("ILN", (3, 16, 64, 65))
    x[1, 2, 30, 31] = bad
    y = norm(x)
    assert y[1, 2, 30, 31].isnan()
    assert y[0].isfinite().all()


def test_not_for_other_inputs() -> None:
    norm, x, _ = made("ILN", (3, 16, 5, 7))

    class Tagged(Tensor):
        pass

    assert can_compute(x)
    for other in (
        x.double(),
        x.bfloat16(),
        x[:0],
        x.to("meta"),
        x.as_subclass(Tagged),
        x._neg_view(),
    ):
        assert not can_compute(other)
    recipe = norm.recipe(3, 35)
    assert can_follow(recipe, norm.weight, norm.bias)
    assert not can_follow(recipe, norm.weight.double(), norm.bias)
    assert not can_follow(recipe._replace(shares=norm.rho.to("meta")), norm.weight, norm.bias)
    assert build_norm("SN(official=true)", 16, 2).recipe(3, 35) is None


def test_what_is_not_contiguous_is_left_to_torch() -> None:
    norm, x, _ = made("BN", (3, 16, 5, 7))
    want = norm(x)
    norm.running_mean = torch.zeros(16, 2)[:, 0]
    torch.testing.assert_close(norm(x), want)
    assert norm.running_mean.any()


def test_frozen_parameters_get_no_gradient_and_change_no_other() -> None:
    for text in ("SN", "BCN-4", "LN2d", "Derf", "FRN"):
        norm, x, dy = made(text, (3, 16, 5, 7))
        gradients = []
        for frozen in (False, True):
            norm.weight.requires_grad_(not frozen)
            leaf = x.clone().requires_grad_()
            norm(leaf).backward(dy)
            gradients.append([leaf.grad, norm.bias.grad, norm.weight.grad])
            norm.zero_grad()
        assert gradients[1][2] is None
        assert torch.equal(gradients[0][0], gradients[1][0])
        assert torch.equal(gradients[0][1], gradients[1][1])


def test_a_default_device_does_not_misplace_what_the_kernels_write() -> None:
    norm, x, _ = made("IN", (3, 16, 5, 7))
    want = norm(x)
    with torch.device("meta"):
        assert torch.equal(norm(x), want)


def test_an_empty_batch_is_refused_and_tracked_nowhere() -> None:
    for text in ("ILN", "SN"):
        norm, x, _ = made(text, (3, 16, 5, 7))
        with pytest.raises(NormError, match=r"needs at least one value, got \(0, 16, 5, 7\)"):
            norm(x[:0])
        assert all(buffer.isfinite().all() for buffer in norm.buffers())
