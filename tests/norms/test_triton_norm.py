"""Triton's kernels against the same norms in float64: on a GPU, or here in Triton's interpreter."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from normsearch.norms import build_norm, kernels_in_use
from normsearch.norms.compiled import Recipe
from normsearch.norms.kernels import kernels, use_triton
from tests.norms import test_compiled
from tests.norms.test_compiled import step
from tests.norms.test_launches import Launches

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when the kernels are imported
pytest.importorskip("triton", reason="Triton is not installed")
from normsearch.norms import triton_norm  # noqa: E402

TEXTS = ["SN", "SSN", "BIN", "ILN(regroup=4)", "ILN(gate=clip,regroup=1)", "ILN(regroup=none)"]
TEXTS += ["BGN-4", "GBGN-1x4", "GBGN-2x4", "GBGN-7x12", "BCN-4", "BCN-1"]
SHAPES = [(5, 12, 7, 3), (1, 24, 11), (2, 12, 3, 2, 5)]  # no number of channels a power of two


@pytest.fixture(autouse=True)
def asked_for(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NORMSEARCH_KERNELS", "triton")
    for choice in (use_triton, kernels):
        choice.cache_clear()
    yield
    for choice in (use_triton, kernels):
        choice.cache_clear()


@pytest.fixture(autouse=True)
def launches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the kernels launched so far: a norm on torch's path would pass all else."""
    seen: list[str] = []

    def watched(name: str, function):
        return lambda *given: (seen.append(name), function(*given))[1]

    for name in ("_reduce", "_apply", "normalize_triton"):
        monkeypatch.setattr(triton_norm, name, watched(name, getattr(triton_norm, name)))
    return seen


def made(text: str, shape: tuple[int, ...], mean: float = 0.0) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a norm off its start, its input and the gradient of its output, on the device."""
    norm, x, dy = test_compiled.made(text, shape, mean)
    return norm.to(DEVICE), x.to(DEVICE), dy.to(DEVICE)


def twin_of(norm: nn.Module) -> nn.Module:
    """Return the norm in float64, which torch computes."""
    twin = build_norm(norm.spec_text, norm.channels, norm.dims).double().to(DEVICE)
    twin.load_state_dict(norm.state_dict())
    return twin.train(norm.training)


def assert_exact(norm: nn.Module, x: Tensor, dy: Tensor, tolerance: float = 1e-5) -> None:
    """Compare a step with float64's; differences are relative to the largest value, or to 1."""
    twin = twin_of(norm)
    for one, other in zip(step(norm, x, dy), step(twin, x.double(), dy), strict=True):
        assert (one - other).abs().max() <= tolerance * other.abs().max().clamp(min=1)


@pytest.mark.parametrize("text", TEXTS)
def test_same_as_torch_in_float64(text: str, launches: list[str]) -> None:
    norm, x, dy = made(text, SHAPES[0])
    x, dy = (t.to(memory_format=torch.channels_last) for t in (x, dy))
    assert_exact(norm, x, dy)
    assert_exact(norm.eval(), x, dy)
    norm, x, dy = made(text, SHAPES[1 + TEXTS.index(text) % 2])
    assert_exact(norm, x, dy)
    # A step is two passes over the pixels each way.
    assert launches == ["normalize_triton", "_reduce", "_apply", "_reduce", "_apply"] * 3


@pytest.mark.parametrize("text", ["SN", "BIN", "ILN(regroup=4)"])
def test_a_step_is_under_20_launches(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three kernels forward and three backward, and what the gate takes."""
    if DEVICE == "cpu":
        from triton.runtime.interpreter import GridExecutor as Launcher

        name = "__call__"
    else:
        from triton.runtime.jit import JITFunction as Launcher

        name = "run"
    kernels_run: list[str] = []
    own = getattr(Launcher, name)
    monkeypatch.setattr(
        Launcher,
        name,
        lambda self, *given, **named: kernels_run.append("") or own(self, *given, **named),
    )
    norm, x, dy = made(text, SHAPES[0])
    step(norm, x, dy)
    kernels_run.clear()
    leaf = x.requires_grad_()
    with Launches() as counted:
        torch.autograd.grad(norm(leaf), [leaf, *norm.parameters()], dy)
    # Memory is no launch; set_ and copy_ are the interpreter's.
    others = [one for one in counted.names if not re.search("empty|set_|copy_", one)]
    assert len(kernels_run) == 6
    assert len(kernels_run) + len(others) < 20


@pytest.mark.parametrize("text", ["SN", "BIN", "ILN(regroup=none)"])
def test_large_means_one_pixel_and_strange_strides(text: str) -> None:
    norm, x, dy = made(text, (3, 6, 40), mean=1e4)
    assert_exact(norm, x, dy)
    norm, x, dy = made(text, (3, 6, 1, 1))
    assert_exact(norm, x, dy)
    norm, x, dy = made(text, (3, 6, 8, 10))
    assert_exact(norm, x[..., ::2], dy[..., :1].expand(3, 6, 8, 5))
    assert_exact(norm.eval(), x.transpose(2, 3), dy.transpose(2, 3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_statistics_of_16_bits_are_float32(dtype: torch.dtype) -> None:
    norm, x, dy = made("SN", (3, 6, 5, 7))
    x = (300 * x).to(dtype)  # 300² overflows float16
    dy = dy.to(dtype)
    twin = twin_of(norm)
    # Only what is written as 16 bits is rounded.
    rounding = 2 * torch.finfo(dtype).eps
    got, want = step(norm, x, dy), step(twin, x.double(), dy)
    assert got[0].dtype == got[1].dtype == dtype
    for place, (one, other) in enumerate(zip(got, want, strict=True)):
        tolerance = rounding if place < 2 else 1e-5
        assert (one - other).abs().max() <= tolerance * other.abs().max()


def test_chunks_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_norm, "TILE", 32)
    triton_norm._cut.cache_clear()
    try:
        assert triton_norm._cut(2, 3, 323, False).chunks == 4
        assert triton_norm._cut(2, 3, 323, True).lanes == 4
        for layout in (torch.contiguous_format, torch.channels_last):
            norm, x, dy = made("SN", (2, 3, 17, 19), mean=1e3)
            x[..., 0, 0] = 0  # the pixel that means are taken from is far from all others
            assert_exact(norm, x.to(memory_format=layout), dy, tolerance=2e-5)
    finally:
        triton_norm._cut.cache_clear()


def test_memory_format_and_bits_stay() -> None:
    norm, x, dy = made("BIN", (3, 6, 5, 7))
    x = x.to(memory_format=torch.channels_last)
    first, again = step(norm.eval(), x, dy), step(norm, x, dy)
    assert first[0].is_contiguous(memory_format=torch.channels_last)
    assert first[1].is_contiguous(memory_format=torch.channels_last)
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one, other)


def test_backward_keeps_x_and_a_few_numbers() -> None:
    norm, x, _ = made("SN", (3, 6, 5, 7))
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        norm(x.requires_grad_())
    assert sum(tensor is x or tensor.numel() == x.numel() for tensor in kept) == 1
    others = [t for t in kept if t.numel() != x.numel() and not isinstance(t, nn.Parameter)]
    assert sum(t.numel() for t in others) <= 2 * 3 * 6 + 2 * 6 + 1


@pytest.mark.parametrize("momentum", [0.3, None])
def test_running_moments(momentum: float | None) -> None:
    for text in ("BGN-3", "BCN-3"):
        norm, x, _ = made(text, (4, 6, 5, 3))
        twin = twin_of(norm)
        norm.momentum = twin.momentum = momentum
        before = norm.running_var._version
        for shift in (0.0, 2.0):
            norm(x + shift)
            twin((x + shift).double())
        assert norm.running_var._version > before
        for one, other in zip(norm.buffers(), twin.buffers(), strict=True):
            torch.testing.assert_close(one.double(), other.double())


def test_sn_leaves_the_batch_out_until_one_was_tracked(launches: list[str]) -> None:
    """Without a look at the count, for which a GPU would have to wait."""
    norm, x, dy = made("SN", (3, 6, 5))
    assert norm.eval().recipe(3, 5).seen is norm.num_batches_tracked
    assert_exact(norm, x, dy)
    assert norm.mixing_weights()["mean"]["BN"] == 0
    assert launches


def test_what_the_kernels_do_not_know_is_left_to_torch(launches: list[str]) -> None:
    norm, x, _ = made("BIN", (3, 6, 5, 7))
    for other in (x.double(), x[:0], x.to("meta"), x._neg_view()):
        assert not triton_norm.can_compute(other)
    recipe = norm.recipe(3, 35)
    assert triton_norm.plan_of(recipe, norm.weight, norm.bias, x)
    unknown: list[Recipe] = [
        recipe._replace(pools=((1, 2), (1, 3))),  # two widths
        recipe._replace(pools=((2, 1), (1, 1)), running=None, shares=norm.rho.double()),
    ]
    for made_up in unknown:
        assert triton_norm.plan_of(made_up, norm.weight, norm.bias, x) is None
    many = torch.empty(70, 1, device=DEVICE).expand(70, 600)[..., None]
    assert triton_norm.plan_of(Recipe(((1, 600),)), norm.weight, norm.bias, many) is None
    norm.double()(x.double())
    assert launches == []
    assert kernels_in_use() == "triton"
