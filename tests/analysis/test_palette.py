"""One palette: distinct colours, one order, sensible fall-backs."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from normsearch.analysis import palette
from normsearch.analysis.palette import (
    GN_SHADES,
    KINDS,
    OTHER,
    norm_colour,
    norm_kind,
    norm_order,
    slot_label,
    text_colour,
)
from normsearch.norms import NORMS

ALL = [*(kind for kind in KINDS if kind != "GN"), *(f"GN-{g}" for g in GN_SHADES)]

# Machado, Oliveira & Fernandes 2009, severity 1.0, for linear RGB.
VIEWS = {
    "normal": np.eye(3),
    "deuteranopia": np.array(
        [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]]
    ),
    "protanopia": np.array(
        [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]]
    ),
}


def lab(colour: str, view: np.ndarray) -> np.ndarray:
    """CIELAB (D65) of a colour as it is seen."""
    c = np.array(to_rgb(colour))
    linear = view @ np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    matrix = np.array(
        [[0.41246, 0.35758, 0.18044], [0.21267, 0.71515, 0.07218], [0.01933, 0.11919, 0.95030]]
    )
    xyz = matrix @ np.clip(linear, 0, 1) / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("view", VIEWS)
def test_colours_are_far_apart_for_every_eye(view: str) -> None:
    seen = {spec: lab(norm_colour(spec), VIEWS[view]) for spec in ALL}
    near = [
        (a, b, distance)
        for a, b in combinations(ALL, 2)
        if (distance := float(np.linalg.norm(seen[a] - seen[b]))) < 11
    ]
    assert near == []


def test_shades_of_gn_darken_with_the_groups() -> None:
    light = [lab(norm_colour(f"GN-{g}"), VIEWS["normal"])[0] for g in (2, 4, 8, 16, 32)]
    assert light == sorted(light, reverse=True)
    assert norm_colour("GN-6") == norm_colour("GN-4")
    assert norm_colour("GN-64") == norm_colour("GN-32")
    assert norm_colour("GN-1") == norm_colour("GN-2")
    assert norm_colour("GN") == KINDS["GN"]


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("ILN(gate=clip)", "ILN"),
        ("SN(official=True)", "SN"),
        ("GBGN-2x8", "GBGN"),
        ("WN+MBN", "WN"),
        ("WS+GN-8", "WS"),
        ("slabGN-8", "slabGN"),
        ("IN-axisnone", "IN-axisnone"),
        ("BGN-8", "BGN"),
        ("BCN-8", "BCN"),
        ("SN(official=true,sync=true)", "SN"),
        ("BIN(sync=true)", "BIN"),
        ("LRN(over=space)", "LRN"),
        ("WN", "WN"),
        ("WN+BN", "WN"),
        ("WS", "WS"),
        ("WS+GBGN-2x8", "WS"),
        ("WS+ILN(gate=clip,regroup=none)", "WS"),
        ("SyncBN", "SyncBN"),
        ("BRN", "BRN"),
        ("SSN", "SSN"),
        ("EvoNorm-S0-8", "EvoNorm-S0"),
        ("EvoNorm-B0", "EvoNorm-B0"),
        ("MABN(window=8)", "MABN"),
    ],
)
def test_numbers_and_brackets_fall_back_to_the_kind(spec: str, kind: str) -> None:
    assert norm_kind(spec) == kind
    assert norm_colour(spec) == KINDS[kind]


def test_every_norm_has_a_colour_but_the_one_that_follows_another() -> None:
    assert set(NORMS) - {"MBN"} <= set(KINDS)  # MBN stands in WN+MBN, which is WN's colour


def test_an_unknown_norm_is_grey_and_comes_last() -> None:
    assert norm_colour("XN-3") == OTHER
    assert norm_order(["XN", "SN", "none"]) == ["none", "SN", "XN"]


def test_the_order_of_norms() -> None:
    specs = ["SN", "ILN(regroup=none)", "ILN", "GN-16", "GN-2", "GN-8", "LN", "IN", "BN", "none"]
    expected = ["none", "BN", "IN", "LN", "GN-2", "GN-8", "GN-16", "ILN", "ILN(regroup=none)", "SN"]
    assert norm_order([*specs, "IN"]) == expected


def test_labels_and_ink() -> None:
    assert slot_label("dec4.up.norm") == "dec4.up"
    assert slot_label("norm1") == "norm1"
    assert text_colour("#F0E442") == "#000000"
    assert text_colour("#002D87") == "#FFFFFF"


def test_a_caption_wraps_to_the_figure() -> None:
    figure = Figure(figsize=(4, 3), layout="constrained")
    ax = figure.subplots()
    palette.caption(ax, "word " * 60)
    assert ax.texts[0].get_text().count("\n") >= 5
