"""What every norm must hold: formats, precision, symmetries, batch 1 and one pixel."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from normsearch.errors import NormError
from normsearch.norms import NORMS, NormSpec, build_norm

FORMATS = {2: torch.channels_last, 3: torch.channels_last_3d}
ILNS = ["ILN(regroup=8)", "ILN(gate=clip,regroup=none)", "ILN(gate=softmax,regroup=4)"]
#: Norms whose training takes other samples into account, and whose eval has running statistics.
BATCH = [
    *("BN", "SyncBN", "BRN", "BGN-4", "GBGN-2x4", "BCN-4", "BIN", "SN", "SN(official=true)"),
    *("SSN", "MBN", "WN+MBN", "WS+BN", "BKN", "EvoNorm-B0", "MABN", "IBN"),
]
SINGLE = [
    *("none", "IN", "LN", "GN-4", "GBGN-1x4", *ILNS, "LRN", "LRN(over=space)", "slabGN-4"),
    *("IN-axisnone", "WN", "WS+GN-4", "FRN", "EvoNorm-S0-4", "IN(track=true)", "LN2d", "RMSGN-4"),
    *("RMS2d", "GRN", "DyT", "Derf"),
]
COMPILED = ["BN", "SyncBN", "BRN", "BKN", "GBGN-2x4", "BCN-4", "SN", "SSN", "EvoNorm-B0", "IBN"]
ALL = [*BATCH, *SINGLE]
SMALL = settings(max_examples=12, deadline=None, derandomize=True)
SIZES = st.tuples(st.integers(2, 3), st.integers(4, 6), st.integers(7, 9), st.integers(10, 11))


def draw(size: tuple[int, ...], dims: int, seed: int, channels: int = 16) -> Tensor:
    """(N, C, *spatial) in float64: channels and samples differ in mean and spread."""
    samples, *spatial = size
    generator = torch.Generator().manual_seed(seed)
    shape = (samples, channels, *spatial[:dims])
    maps = (samples, channels, *[1] * dims)
    spread = 0.5 + torch.rand(maps, generator=generator, dtype=torch.float64)
    return torch.randn(shape, generator=generator, dtype=torch.float64) * spread + spread.log()


def prepared(text: str, dims: int, dtype: torch.dtype = torch.float64) -> nn.Module:
    """A norm of 16 channels with weights off their start and running statistics seen."""
    norm = build_norm(text, 16, dims).to(dtype)
    norm(draw((4, 5, 7, 3), dims, seed=99).to(dtype))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in norm.parameters():
            drawn = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(0.1 + 0.8 * drawn)
    return norm


def close(one: Tensor, other: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def test_every_kind_is_here() -> None:
    assert {NormSpec.parse(text).kind for text in ALL} == set(NORMS)


@pytest.mark.usefixtures("both_kernels")
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("text", ALL)
@given(size=SIZES, training=st.booleans(), half=st.booleans())
@SMALL
def test_shape_dtype_and_memory_format_are_kept(
    text: str, dims: int, size: tuple[int, ...], training: bool, half: bool
) -> None:
    norm = build_norm(text, 16, dims).train(training)
    x = draw(size, dims, seed=1).float()
    want = norm(x)
    assert want.shape == x.shape
    assert want.dtype == torch.float32
    assert want.is_contiguous()
    if dims in FORMATS:
        last = x.to(memory_format=FORMATS[dims])
        got = norm(last)
        assert got.is_contiguous(memory_format=FORMATS[dims])
    if half and text not in ("BN", "WS+BN"):
        assert norm.bfloat16()(x.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("text", ALL)
def test_channels_last_changes_no_number(text: str, dims: int) -> None:
    x = draw((3, 5, 7, 4), dims, seed=2)
    for training in (True, False):
        results = []
        for given_x in (x, x.to(memory_format=FORMATS[dims])):
            norm = prepared(text, dims).train(training)
            leaf = given_x.clone().requires_grad_()
            y = norm(leaf)
            results.append((y, *torch.autograd.grad(y.sin().sum(), leaf)))
        for one, other in zip(*results, strict=True):
            close(one, other)


@pytest.mark.usefixtures("both_kernels")
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("mean", [0.0, 1e3, 1e4])
@pytest.mark.parametrize("text", ALL)
def test_float32_holds_at_large_means(text: str, mean: float, layout: torch.memory_format) -> None:
    x = (draw((3, 5, 7), 2, seed=4) + mean).float().to(memory_format=layout)
    for training in (True, False):
        outs, grads = [], []
        for dtype in (torch.float32, torch.float64):
            norm = build_norm(text, 16, 2).to(dtype)
            norm.momentum = 1.0  # so that eval has statistics of this input
            leaf = x.to(dtype).requires_grad_()
            norm(leaf)
            outs.append(norm.train(training)(leaf))
            dy = torch.sin(3 * torch.arange(x.numel(), dtype=dtype)).view(x.shape)
            grads.append(torch.autograd.grad(outs[-1], leaf, dy)[0])
        assert (outs[0] - outs[1]).abs().max() < 1e-2
        assert (grads[0] - grads[1]).abs().max() <= 1e-2 * grads[1].abs().max()  # DyT's are 0


@pytest.mark.parametrize("text", BATCH)
@given(size=SIZES, seed=st.integers(0, 99))
@SMALL
def test_batch_norms_treat_samples_alike_and_apart_in_eval(
    text: str, size: tuple[int, ...], seed: int
) -> None:
    x = draw(size, 2, seed)
    order = torch.arange(size[0]).flip(0)
    norm = prepared(text, 2).eval()
    close(norm(x)[order], norm(x[order]))
    close(norm(x)[:1], norm(x[:1]))
    if not text.startswith("GBGN"):
        close(prepared(text, 2)(x)[order], prepared(text, 2)(x[order]))
    if text != "BRN":  # far from its limits it computes what eval does: that is its purpose
        alone = torch.cat([prepared(text, 2)(sample[None]) for sample in x])
        assert (prepared(text, 2)(x) - alone).abs().max() > 1e-3


@pytest.mark.parametrize("text", SINGLE)
@given(size=SIZES, seed=st.integers(0, 99), training=st.booleans())
@SMALL
def test_other_norms_know_no_other_sample(
    text: str, size: tuple[int, ...], seed: int, training: bool
) -> None:
    x = draw(size, 2, seed)
    norm = prepared(text, 2).train(training)
    close(norm(x), torch.cat([norm(sample[None]) for sample in x]))


@pytest.mark.parametrize(
    ("text", "over"),
    [
        *((text, "channels") for text in ("IN", "BN", "SyncBN", "BKN", "BCN-4", "IBN", *ILNS)),
        ("IN(track=true)", "channels"),
        *((text, "all") for text in ("LN", "IN-axisnone", "BGN-1", "slabGN-4", "SN", "SSN")),
        *(("LN2d", "all"), ("RMS2d", "scale of all"), ("RMSGN-4", "scale of groups")),
        *((text, "groups") for text in ("GN-4", "BGN-4", "GBGN-2x4", "GBGN-1x4", "WS+GN-4")),
    ],
)
@given(size=SIZES, seed=st.integers(0, 99), scale=st.floats(0.5, 20), shift=st.floats(-9, 9))
@SMALL
def test_affine_invariance(
    text: str, over: str, size: tuple[int, ...], seed: int, scale: float, shift: float
) -> None:
    """Up to eps: scale and shift of each channel, each group or the whole change nothing."""
    parts = {"channels": 16, "groups": 4, "all": 1}[over.removeprefix("scale of ")]
    if over.startswith("scale of "):
        shift = 0.0
    ramp = torch.linspace(1, 2, parts, dtype=torch.float64).repeat_interleave(16 // parts)
    ramp = ramp.reshape(1, 16, 1, 1)
    if over == "channels" and text.startswith("ILN"):
        ramp = torch.ones_like(ramp)  # its LN mixes the channels
    x = 30 * draw(size, 2, seed)
    norms = [prepared(text, 2), prepared(text, 2)]
    close(norms[0](x), norms[1](scale * ramp * x + shift * ramp), 1e-3)


@pytest.mark.usefixtures("both_kernels")
@pytest.mark.parametrize("text", BATCH + SINGLE)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_keeps_statistics_in_float32(text: str, dtype: torch.dtype) -> None:
    # 300² overflows float16
    x = (300 * draw((3, 5, 7), 2, seed=6)).to(dtype)
    want = build_norm(text, 16, 2)(x.float())
    with torch.autocast("cpu", dtype=dtype):
        got = build_norm(text, 16, 2)(x.requires_grad_())
    step = torch.finfo(dtype).eps
    assert (got.float() - want).abs().max() <= step * want.abs().max()
    got.float().sin().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("text", ALL)
def test_gradcheck(text: str, training: bool) -> None:
    norm = prepared(text, 2).train(training)
    norm.momentum = 0.0  # the running moments, which BRN looks at, must not move
    names = list(dict(norm.named_parameters()))
    x = draw((3, 2, 5), 2, seed=7).requires_grad_()

    def call(x: Tensor, *values: Tensor) -> Tensor:
        made = dict(zip(names, values, strict=True))
        return torch.sin(torch.func.functional_call(norm, made, (x,))).sum((2, 3))

    inputs = [x, *(p.detach().clone().requires_grad_() for p in norm.parameters())]
    if text == "BRN" and training:
        norm.rmax, norm.dmax = 1.0, 0.0  # r and d take no gradient, so numbers would differ
    assert torch.autograd.gradcheck(call, inputs, fast_mode=True)


@pytest.mark.parametrize("text", ALL)
def test_an_activation_may_work_in_place(text: str) -> None:
    grads = []
    for activation in (nn.LeakyReLU(0.1), nn.LeakyReLU(0.1, inplace=True)):
        x = draw((3, 5, 7), 2, seed=11).requires_grad_()
        norm = prepared(text, 2)
        grads.append(torch.autograd.grad(activation(norm(x * 1)).sin().sum(), x)[0])
    close(*grads)


@pytest.mark.parametrize(
    "text",
    [
        *("none", "BN", "LN", "GN-4", "MBN", "slabGN-4", "IN-axisnone", "LN2d", "RMS2d", "DyT"),
        *("Derf", "EvoNorm-S0-4", "EvoNorm-B0"),
    ],
)
def test_second_derivatives_where_the_pass_has_them(text: str) -> None:
    """The moment norms have first derivatives only; those of single passes by torch have both."""
    x = draw((3, 2, 5), 2, seed=7).requires_grad_()
    assert torch.autograd.gradgradcheck(prepared(text, 2), x, fast_mode=True)


@pytest.mark.usefixtures("both_kernels")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "text",
    ["SN", "SSN", "BIN", "ILN", "BRN", "BGN-4", "BCN-4", "IBN", "RMSGN-4", "GRN", "FRN", "MABN"],
)
def test_second_derivatives_are_refused_where_there_are_none(text: str, dtype: torch.dtype) -> None:
    """A penalty on a gradient, whose own gradient would lack the part through the norm."""
    norm = build_norm(text, 16, 2).to(dtype)
    x = draw((3, 5, 7), 2, seed=8).to(dtype).requires_grad_()
    weights = torch.rand(x.shape, dtype=dtype)
    (first,) = torch.autograd.grad((norm(x) * weights).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="first derivatives only"):
        first.square().sum().backward()


@pytest.mark.parametrize("text", [*SINGLE, *COMPILED])
def test_compiled_whole_it_computes_the_same(text: str) -> None:
    torch.compiler.reset()
    x = draw((3, 5, 7), 2, seed=10)
    results = []
    for compiled in (False, True):
        norm = prepared(text, 2)
        call = torch.compile(norm, backend="aot_eager", fullgraph=True) if compiled else norm
        leaf = x.clone().requires_grad_()
        y = call(leaf)
        results.append((y, *torch.autograd.grad(y.sin().sum(), leaf), *norm.buffers()))
    for one, other in zip(*results, strict=True):
        close(one, other)


@pytest.mark.usefixtures("both_kernels")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("text", ALL)
def test_norms_of_16_bits_train(text: str, dtype: torch.dtype) -> None:
    norm = build_norm(text, 16, 2).to(dtype)
    x = (30 * draw((3, 5, 7), 2, seed=14)).to(dtype).requires_grad_()
    y = norm(x)
    y.float().sin().sum().backward()
    assert y.dtype == dtype
    for values in (y, x.grad, *(p.grad for p in norm.parameters()), norm.eval()(x)):
        assert values is not None
        assert values.isfinite().all()


@pytest.mark.parametrize("text", ["SN", "EvoNorm-S0-4", "EvoNorm-B0", "MABN", "GRN", "FRN"])
def test_a_batch_of_nothing_is_refused_and_not_tracked(text: str) -> None:
    norm = build_norm(text, 16, 2)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    with pytest.raises(NormError, match=r"needs at least one value, got \(0, 16, 5, 7\)"):
        norm(torch.zeros(0, 16, 5, 7))
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())


@pytest.mark.parametrize("text", ALL)
def test_state_survives_a_round_trip(text: str) -> None:
    norm = prepared(text, 2)
    copy = build_norm(text, 16, 2).double()
    copy.load_state_dict(norm.state_dict())
    x = draw((3, 5, 7), 2, seed=8)
    assert torch.equal(norm.eval()(x), copy.eval()(x))


#: Refused in training at batch 1 and one pixel, and at one pixel always; docs/norms.md says so.
ONE_VALUE = [
    *("BN", "SyncBN", "BRN", "BIN", "BCN-4", "MBN", "BGN-16", "GBGN-2x16", "WN+MBN", "WS+BN"),
    *("BKN", "IBN"),
]
ONE_PIXEL = ["IN", "SN(official=true)"]
ONE_PIXEL_IN_TRAINING = ["IN(track=true)"]


@pytest.mark.usefixtures("both_kernels")
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("text", [*ALL, "BGN-16", "GBGN-2x16"])
def test_batch_one_and_one_pixel_are_never_nan(text: str, training: bool) -> None:
    for size in ((1, 5, 7), (3, 1, 1), (1, 1, 1)):
        norm = prepared(text, 2, torch.float32).train(training)
        x = draw(size, 2, seed=9).float().requires_grad_()
        refused = text in ONE_PIXEL or (training and text in ONE_VALUE and size[0] == 1)
        refused = refused or (training and text in ONE_PIXEL_IN_TRAINING)
        if refused and size[1:] == (1, 1):
            with pytest.raises(ValueError, match=r"more than (1|one) "):
                norm(x)
            continue
        y = norm(x)
        y.sin().sum().backward()
        assert y.isfinite().all()
        assert x.grad is not None
        assert x.grad.isfinite().all()
