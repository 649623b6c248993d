from __future__ import annotations

import doctest

import pytest
import torch

from normsearch.errors import NormError
from normsearch.norms import NORMS, MeanOnlyBatchNorm, NoNorm, NormSpec, build_norm, spec


@pytest.mark.parametrize(
    "text",
    [
        "none",
        "BN",
        "IN",
        "LN",
        "GN-8",
        "GN-1",
        "BIN",
        "ILN",
        "ILN(gate=clip)",
        "ILN(gate=softmax)",
        "ILN(regroup=none)",
        "ILN(regroup=8)",
        "ILN(gate=clip,regroup=none)",
        "SN",
        "SN(official=true)",
        "SN(official=true,sync=true)",
        "BIN(sync=true)",
        "SyncBN",
        "BRN",
        "BRN(limits=tight)",
        "BRN(d=0.5,r=1.5)",
        "IN(track=true)",
        *("IBN", "LN2d", "RMSGN-8", "RMS2d", "GRN", "DyT", "Derf", "WS+RMS2d"),
        "BGN-8",
        "GBGN-2x8",
        "BCN-8",
        "SSN",
        "LRN",
        "LRN(over=space)",
        "slabGN-8",
        "IN-axisnone",
        "WN",
        "WN+MBN",
        "WN+BN",
        "WS",
        "WS+GN-8",
        "WS+GBGN-2x8",
        "WS+ILN(gate=clip)",
    ],
)
def test_parse_and_str_are_inverse(text: str) -> None:
    assert str(NormSpec.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "shortest"),
    [
        ("ILN(gate=sigmoid)", "ILN"),
        ("ILN(regroup=16)", "ILN"),
        ("ILN(regroup=16, gate=clip)", "ILN(gate=clip)"),
        ("ILN(regroup=4,gate=clip)", "ILN(gate=clip,regroup=4)"),
        ("SN(official=false)", "SN"),
        ("IN(track=false)", "IN"),
        ("BRN(r=3.0,d=5)", "BRN"),
        ("BRN(r=1.50, d=0.0)", "BRN(d=0,r=1.5)"),
        ("BRN(limits=paper,r=10)", "BRN(r=10)"),
        ("LRN(over=channels)", "LRN"),
        ("WN+none", "WN"),
        ("WS+ILN(gate=sigmoid)", "WS+ILN"),
    ],
)
def test_defaults_are_left_out_and_options_sorted(text: str, shortest: str) -> None:
    assert str(NormSpec.parse(text)) == shortest
    assert NormSpec.parse(text) == NormSpec.parse(shortest)
    assert hash(NormSpec.parse(text)) == hash(NormSpec.parse(shortest))


@pytest.mark.parametrize(
    ("text", "channels", "canonical"),
    [
        ("GN-16", 16, "IN"),
        ("GN-1", 16, "LN"),
        ("GN-8", 16, "GN-8"),
        ("GN-1", 1, "IN"),
        ("LN", 1, "IN"),
        ("LN", 16, "LN"),
        ("ILN", 16, "IN"),
        ("ILN(gate=clip)", 16, "IN"),
        ("ILN", 32, "ILN"),
        ("ILN(regroup=32)", 32, "IN"),
        ("ILN(gate=softmax,regroup=8)", 8, "IN"),
        ("ILN(regroup=none)", 16, "ILN(regroup=none)"),
        ("ILN(regroup=none)", 1, "IN"),
        ("BIN", 1, "BIN"),
        ("IBN", 1, "BN"),
        ("IBN", 2, "IBN"),
        ("BRN(r=1,d=0)", 16, "BN"),
        ("BRN(r=1.5,d=0.5)", 16, "BRN(limits=tight)"),
        ("BRN(r=1.5)", 16, "BRN(r=1.5)"),
        ("IN(track=true)", 16, "IN(track=true)"),
        ("SN", 1, "SN"),
        ("BN", 1, "BN"),
        ("none", 5, "none"),
        ("BGN-16", 16, "BN"),
        ("BGN-8", 16, "BGN-8"),
        ("BGN-1", 1, "BN"),
        ("GBGN-1x8", 16, "GN-8"),
        ("GBGN-1x16", 16, "IN"),
        ("GBGN-1x1", 16, "LN"),
        ("GBGN-2x16", 16, "GBGN-2x16"),
        ("BCN-16", 16, "BCN-16"),
        ("slabGN-1", 16, "LN"),
        ("slabGN-1", 1, "IN"),
        ("slabGN-16", 16, "slabGN-16"),
        ("IN-axisnone", 16, "IN-axisnone"),
        ("IN-axisnone", 1, "IN"),
        ("SyncBN", 16, "SyncBN"),
        ("SSN", 16, "SSN"),
        ("WS+GN-16", 16, "WS+IN"),
        ("WN", 16, "WN"),
        ("WN+BGN-16", 16, "WN+BN"),
    ],
)
def test_canonical(text: str, channels: int, canonical: str) -> None:
    twin = NormSpec.parse(text).canonical(channels)
    assert str(twin) == canonical
    assert twin.canonical(channels) == twin


@pytest.mark.parametrize(
    ("first", "second", "channels", "tolerance"),
    [
        ("GN-16", "IN", 16, 1e-12),
        ("GN-1", "LN", 16, 1e-12),
        ("LN", "IN", 1, 1e-12),
        ("ILN(regroup=none)", "IN", 1, 1e-12),
        ("ILN", "IN", 16, 1e-3),
        ("ILN(gate=clip,regroup=8)", "IN", 8, 1e-3),
        ("BGN-16", "BN", 16, 1e-12),
        ("IBN", "BN", 1, 1e-12),
        ("BRN(r=1,d=0)", "BN", 16, 1e-12),
        ("BRN(r=1.5,d=0.5)", "BRN(limits=tight)", 16, 1e-12),
        ("GBGN-1x8", "GN-8", 16, 1e-12),
        ("slabGN-1", "LN", 16, 1e-12),
        ("IN-axisnone", "IN", 1, 1e-12),
    ],
)
def test_canonical_twins_compute_the_same(
    first: str, second: str, channels: int, tolerance: float, make_input
) -> None:
    x = make_input(channels)
    one, other = (build_norm(text, channels, 2).double() for text in (first, second))
    for rho in (-3.0, 0.5, 4.0):
        if hasattr(one, "rho"):
            torch.nn.init.constant_(one.rho, rho)
        for training in (True, False):
            outs = [norm.train(training)(x) for norm in (one, other)]
            assert (outs[0] - outs[1]).abs().max() < tolerance


def test_feasible() -> None:
    assert NormSpec.parse("GN-4").feasible(12)
    assert NormSpec.parse("ILN(regroup=none)").feasible(7)
    assert NormSpec.parse("SN").feasible(1)
    assert not NormSpec.parse("LN2d").feasible(1)
    assert str(NormSpec.parse("LN2d").nearest(1)) == "IN"
    assert str(NormSpec.parse("RMSGN-16").nearest(8)) == "RMSGN-8"


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize(
    "text", ["none", "BN", "IN", "LN", "GN-8", "BIN", "ILN", "ILN(gate=clip,regroup=none)", "SN"]
)
def test_build_norm_keeps_shape_and_dtype(text: str, dims: int, make_input) -> None:
    norm = build_norm(NormSpec.parse(text), 32, dims)
    x = make_input(32, dims, torch.float32)
    for training in (True, False):
        out = norm.train(training)(x)
        assert out.shape == x.shape
        assert out.dtype == torch.float32


def test_build_norm_refuses_other_dims() -> None:
    with pytest.raises(NormError, match="BN needs 1, 2 or 3 spatial axes, got 4"):
        build_norm("BN", 8, 4)


@pytest.mark.parametrize("text", ["BN", "IN", "LN", "GN-8", "BIN", "ILN", "SN"])
def test_state_survives_a_round_trip(text: str, make_input, randomize) -> None:
    x = make_input()
    norm = randomize(build_norm(text, 32, 2).double())
    norm(x)
    copy = build_norm(text, 32, 2).double()
    copy.load_state_dict(norm.state_dict())
    assert torch.equal(norm.eval()(x), copy.eval()(x))


def test_every_kind_has_a_default_spec() -> None:
    for kind, entry in NORMS.items():
        made = NormSpec(kind, 4 if entry.grouped else None, samples=2 if entry.sampled else None)
        assert str(made).startswith(kind)
        assert NormSpec.parse(str(made)) == made


def test_the_parts_of_a_spec_with_a_weight_norm() -> None:
    made = NormSpec.parse("WS+GN-8")
    assert (made.weights, str(made.activation)) == ("WS", "GN-8")
    assert (NormSpec.parse("WN").weights, str(NormSpec.parse("WN").activation)) == ("WN", "none")
    assert (NormSpec.parse("GN-8").weights, str(NormSpec.parse("GN-8").activation)) == (
        None,
        "GN-8",
    )
    assert isinstance(build_norm("WS+GN-8", 16, 2), torch.nn.GroupNorm)
    assert isinstance(build_norm("WN", 16, 2), NoNorm)
    assert isinstance(build_norm("WN+MBN", 16, 2), MeanOnlyBatchNorm)
    assert not made.feasible(12)


def test_examples_run() -> None:
    assert doctest.testmod(spec).failed == 0
