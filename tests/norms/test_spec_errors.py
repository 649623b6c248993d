"""What is said of texts that are no spec, and of specs that do not fit."""

from __future__ import annotations

import pytest

from normsearch.errors import NormError
from normsearch.norms import NormSpec, build_norm

KNOWN = (
    "must be one of none, BN, SyncBN, BRN, BKN, IN, LN, GN-G, BGN-G, GBGN-SxG, BCN-G, IBN, BIN, "
    "ILN, SN, SSN, LN2d, RMSGN-G, RMS2d, GRN, DyT, Derf, LRN, FRN, EvoNorm-S0-G, EvoNorm-B0, MABN, "
    "MBN, WN, WS, slabGN-G, IN-axisnone, got "
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("INN", f"{KNOWN}'INN'. Did you mean 'IN'?"),
        ("bn", f"{KNOWN}'bn'. Did you mean 'BN'?"),
        ("gn-16", f"{KNOWN}'gn-16'. Did you mean 'GN-16'?"),
        ("GN16", f"{KNOWN}'GN16'. Did you mean 'GN-16'?"),
        ("GN-0", f"{KNOWN}'GN-0'. Did you mean 'GN-8'?"),
        ("GN-08", f"{KNOWN}'GN-08'. Did you mean 'GN-8'?"),
        ("iln(gate=clip)", f"{KNOWN}'iln(gate=clip)'. Did you mean 'ILN(gate=clip)'?"),
        ("ILN()", f"{KNOWN}'ILN()'. Did you mean 'ILN'?"),
        (" BN", f"{KNOWN}' BN'. Did you mean 'BN'?"),
        ("", f"{KNOWN}''."),
        ("GN", "GN needs a number of groups, such as GN-8, got None"),
        ("EvoNorm-S0", "EvoNorm-S0 needs a number of groups, such as EvoNorm-S0-8, got None"),
        ("EvoNorm-B0-8", "EvoNorm-B0 takes no number of groups, got 8"),
        ("evonorm-s0-8", f"{KNOWN}'evonorm-s0-8'. Did you mean 'EvoNorm-S0-8'?"),
        (
            "FRN(eps=learned)",
            "FRN: eps must be one of fixed, learnt, got 'learned'. Did you mean 'learnt'?",
        ),
        ("WS+MABN", "WS takes a norm of activations after it, got MABN; use MABN"),
        ("MABN+GN-8", "only WN and WS may stand before a +, got MABN+GN-8"),
        ("BN-8", "BN takes no number of groups, got 8"),
        ("SSN(gate=clip)", "SSN takes no options, got gate=clip"),
        ("SN(gate=clip)", "SN has the options official, sync, got 'gate'."),
        (
            "SN(official=True)",
            "SN: official must be one of false, true, got 'True'. Did you mean 'true'?",
        ),
        (
            "LRN(over=pixels)",
            "LRN: over must be one of channels, space, got 'pixels'.",
        ),
        ("LN3d", f"{KNOWN}'LN3d'. Did you mean 'LN2d'?"),
        ("LN2d-4", "LN2d takes no number of groups, got 4"),
        ("RMSGN", "RMSGN needs a number of groups, such as RMSGN-8, got None"),
        ("IN(track=yes)", "IN: track must be one of false, true, got 'yes'."),
        (
            "BRN(r=0.5)",
            "BRN: r must be a number of at least 1, such as 3 or 1.5, got '0.5'",
        ),
        (
            "BRN(d=-1)",
            "BRN: d must be a number of at least 0, such as 5 or 0.5, got '-1'",
        ),
        ("BRN(r=1e3)", "BRN: r must be a number of at least 1, such as 3 or 1.5, got '1e3'"),
        (
            "BRN(limits=tight,r=2)",
            "BRN: limits=tight means r=1.5 and d=0.5 and must stand alone, got it beside r=2; "
            "leave it out",
        ),
        ("bgn-4", f"{KNOWN}'bgn-4'. Did you mean 'BGN-4'?"),
        ("GBGN2x4", f"{KNOWN}'GBGN2x4'. Did you mean 'GBGN-2x4'?"),
        ("SynBN", f"{KNOWN}'SynBN'. Did you mean 'SyncBN'?"),
        ("IN-axis-none", f"{KNOWN}'IN-axis-none'. Did you mean 'IN-axisnone'?"),
        ("ws+gn-16", f"{KNOWN}'ws+gn-16'. Did you mean 'WS+GN-16'?"),
        ("WS+GM-16", f"{KNOWN}'GM-16'. Did you mean 'GN-16'?"),
        ("BGN", "BGN needs a number of groups, such as BGN-8, got None"),
        ("GBGN", "GBGN needs a number of groups, such as GBGN-2x8, got None"),
        ("GBGN-8", "GBGN needs samples x groups, such as GBGN-2x8, got 8 alone"),
        ("GN-2x8", "GN takes no number of samples, got 2; use GN-8 or GBGN-2x8"),
        ("BN+GN-8", "only WN and WS may stand before a +, got BN+GN-8"),
        ("BRN(r=2))", f"{KNOWN}'BRN(r=2))'. Did you mean 'BRN(r=2)'?"),
        ("WS+", f"{KNOWN}''."),
        (
            "WS+WN+BN",
            "WS takes a norm of activations after it, got WN+BN; use WS+BN",
        ),
        ("ILN(gat=clip)", "ILN has the options gate, regroup, got 'gat'. Did you mean 'gate'?"),
        (
            "ILN(gate=clp)",
            "ILN: gate must be one of sigmoid, clip, softmax, got 'clp'. Did you mean 'clip'?",
        ),
        ("MABN(window=0)", "MABN: window must be a whole number, got '0'."),
        ("ILN(regroup=0)", "ILN: regroup must be none or a whole number, got '0'."),
        ("ILN(regroup=G)", "ILN: regroup must be none or a whole number, got 'G'."),
        ("ILN(gate)", "'ILN(gate)': must have options of the form name=value, got 'gate'"),
        (
            "ILN(gate=clip,gate=softmax)",
            "ILN takes each option once, got gate=clip, gate=softmax",
        ),
        (
            "ILN(gate=clip",
            "must end with the parenthesis that it opened, got 'ILN(gate=clip'; "
            "in a YAML list, put a spec that holds a comma in quotes",
        ),
    ],
)
def test_malformed_texts_name_the_cure(text: str, message: str) -> None:
    with pytest.raises(NormError) as caught:
        NormSpec.parse(text)
    assert str(caught.value) == message


def test_a_spec_made_by_hand_is_checked_too() -> None:
    with pytest.raises(NormError, match="must be one of none, BN"):
        NormSpec("XN")
    with pytest.raises(NormError, match="GN needs a number of groups, such as GN-8, got 0"):
        NormSpec("GN", 0)


@pytest.mark.parametrize(
    ("text", "channels", "message"),
    [
        (
            "GN-8",
            12,
            "GN-8 needs a channel count that 8 divides, got 12; "
            "use one of GN-1, GN-2, GN-3, GN-4, GN-6, GN-12",
        ),
        (
            "ILN",
            12,
            "ILN needs a channel count that 16 divides, got 12; "
            "use ILN(regroup=none) or a regroup out of 1, 2, 3, 4, 6, 12",
        ),
        (
            "ILN(gate=clip)",
            8,
            "ILN(gate=clip) needs a channel count that 16 divides, got 8; "
            "use ILN(gate=clip,regroup=none) or a regroup out of 1, 2, 4, 8",
        ),
        ("BN", 0, "BN needs at least one channel, got 0"),
        ("LN2d", 1, "LN2d needs at least 2 channels, got 1; use IN"),
        (
            "RMSGN-8",
            12,
            "RMSGN-8 needs a channel count that 8 divides, got 12; "
            "use one of RMSGN-1, RMSGN-2, RMSGN-3, RMSGN-4, RMSGN-6, RMSGN-12",
        ),
        (
            "BGN-8",
            12,
            "BGN-8 needs a channel count that 8 divides, got 12; "
            "use one of BGN-1, BGN-2, BGN-3, BGN-4, BGN-6, BGN-12",
        ),
        (
            "GBGN-2x4",
            6,
            "GBGN-2x4 needs a channel count that 4 divides, got 6; "
            "use one of GBGN-2x1, GBGN-2x2, GBGN-2x3, GBGN-2x6",
        ),
        (
            "WS+BCN-4",
            6,
            "BCN-4 needs a channel count that 4 divides, got 6; "
            "use one of BCN-1, BCN-2, BCN-3, BCN-6",
        ),
    ],
)
def test_infeasible_specs_name_what_fits(text: str, channels: int, message: str) -> None:
    made = NormSpec.parse(text)
    assert not made.feasible(channels)
    for act in (made.check, made.canonical, lambda c: build_norm(text, c, 2)):
        with pytest.raises(NormError) as caught:
            act(channels)
        assert str(caught.value) == message
