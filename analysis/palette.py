"""One colour for each norm, one order of norms and one style, used by every figure and report.

The first eight colours follow Okabe & Ito ("Color Universal Design", 2008); the rest were chosen
to lie far from them and from each other in CIELAB for normal, deuteranope and protanope vision.
Colours never stand alone: every figure also prints the norm's name.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

#: Colour of each kind of norm, in the order in which axes and legends list them.
KINDS: dict[str, str] = {
    "none": "#EDEDED",
    "BN": "#0072B2",
    "IN": "#E69F00",
    "LN": "#CC79A7",
    "GN": "#009E73",
    "BIN": "#56B4E9",
    "ILN": "#D55E00",
    "SN": "#F0E442",
    "SyncBN": "#002D87",
    "BRN": "#0096FF",
    "WN": "#693C00",
    "SSN": "#D2E169",
    "BGN": "#C3F096",
    "GBGN": "#69B45A",
    "WS": "#4B0000",
    "BCN": "#001E4B",
    "LRN": "#5A4B69",
    "BKN": "#87E1FF",
    "FRN": "#0000FF",
    "EvoNorm-S0": "#B4FFC3",
    "EvoNorm-B0": "#3CD287",
    "MABN": "#F0A5D2",
    "IBN": "#1E5AC3",
    "LN2d": "#4B3C78",
    "RMSGN": "#1E0FB4",
    "RMS2d": "#5A5AFF",
    "GRN": "#5A7878",
    "DyT": "#00005A",
    "Derf": "#000087",
    "slabGN": "#69783C",
    "IN-axisnone": "#1E1E2D",
}

#: Shades of GN's green: fewer groups are lighter. Other counts take the nearest one below.
GN_SHADES: dict[int, str] = {
    2: "#97E0C3",
    4: "#48C49B",
    8: "#009E73",
    16: "#00714F",
    32: "#00422E",
}

#: Colour of a norm that is not in `KINDS`.
OTHER = "#7F7F7F"

_SHAPE = re.compile(r"^(?P<head>[^(]*?)(?:-(?P<numbers>\d+(?:x\d+)?))?(?P<brackets>\(.*\))?$")


def norm_kind(spec: str) -> str:
    """Return the kind of norm a spec names, without its numbers and brackets.

    >>> [norm_kind(spec) for spec in ("GN-8", "ILN(gate=clip)", "WS+GN-8", "IN-axisnone")]
    ['GN', 'ILN', 'WS', 'IN-axisnone']
    """
    return _parts(spec)[0]


def norm_colour(spec: str) -> str:
    """Return the colour of a norm spec as ``#RRGGBB``; unknown kinds get the grey `OTHER`.

    >>> norm_colour("GN-8"), norm_colour("ILN(regroup=none)")
    ('#009E73', '#D55E00')
    """
    kind, numbers, _ = _parts(spec)
    if kind == "GN" and numbers:
        return GN_SHADES[max((g for g in GN_SHADES if g <= numbers[0]), default=2)]
    return KINDS.get(kind, OTHER)


def norm_order(specs: Iterable[str]) -> list[str]:
    """Return the distinct specs in the order of `KINDS`, group counts ascending, unknown ones last.

    >>> norm_order(["SN", "GN-16", "GN-8", "none", "BN", "BN"])
    ['none', 'BN', 'GN-8', 'GN-16', 'SN']
    """
    rank = {kind: position for position, kind in enumerate(KINDS)}

    def key(spec: str) -> tuple[int, str, tuple[int, ...], str]:
        kind, numbers, _ = _parts(spec)
        return rank.get(kind, len(rank)), kind, numbers, spec

    return sorted(set(specs), key=key)


def line_colour(spec: str, brightest: float = 0.45) -> str:
    """Return the colour of a norm, darkened to this luminance at most so that it reads on white.

    Args:
        spec: a norm spec.
        brightest: relative luminance (WCAG), 0 to 1: 0.45 for lines, 0.179 for letters.
    """
    colour = norm_colour(spec)
    while _luminance(colour) > brightest:
        red, green, blue = to_rgb(colour)
        colour = str(to_hex((0.92 * red, 0.92 * green, 0.92 * blue))).upper()
    return colour


def norm_marker(spec: str) -> str:
    """Return the marker of a norm, for those who cannot tell the colours apart.

    >>> norm_marker("BN"), norm_marker("GN-8"), norm_marker("GN-9")
    ('o', 'P', 'd')
    """
    kind, numbers, brackets = _parts(spec)
    if kind == "GN":
        return {2: "^", 4: "v", 8: "P", 16: "X", 32: "*"}.get(numbers[0] if numbers else 0, "d")
    if brackets:
        return "h"
    return {"none": "8", "BN": "o", "IN": "D", "LN": "s", "BIN": "<", "ILN": ">", "SN": "p"}.get(
        kind, "H"
    )


def number_colours(values: Iterable[float]) -> dict[float, tuple[float, ...]]:
    """Return a colour for each number (a batch size, a depth), dark for the least."""
    ordered = sorted(set(values))
    shades = sns.color_palette("viridis", n_colors=max(len(ordered), 2) + 1)
    return dict(zip(ordered, map(tuple, shades), strict=False))


def slot_label(name: str) -> str:
    """Return a slot's name as axes show it.

    >>> slot_label("enc1.conv1.norm")
    'enc1.conv1'
    """
    return name.removesuffix(".norm")


def text_colour(background: str) -> str:
    """Return black or white, whichever reads better (WCAG contrast) on a background colour."""
    return "#000000" if _luminance(background) > 0.179 else "#FFFFFF"


def _luminance(colour: str) -> float:
    """Return the relative luminance of a colour (WCAG), 0 to 1."""
    light = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2]


def style() -> None:
    """Set the theme of every figure; to be called before its axes are made."""
    sns.set_theme(
        context="paper",
        style="ticks",
        rc={
            "font.size": 9,
            "axes.labelsize": 10,
            "axes.titlesize": 10,
            "xtick.labelsize": 8.5,
            "ytick.labelsize": 8.5,
            "legend.fontsize": 8.5,
            "figure.facecolor": "white",
            "axes.facecolor": "white",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "svg.hashsalt": "normsearch",
            "text.parse_math": False,  # a case may be called a$b$c
        },
    )


def caption(ax: Axes, text: str, indent: float = 0.0) -> None:
    """Write a caption under the x label, as wide as the figure; `indent` in points."""
    width = int((72 * root(ax).get_figwidth() - 36) / 4.6)  # characters of 8.5 points
    ax.annotate(
        textwrap.fill(text, width),
        xy=(0, 0),
        xycoords=("axes fraction", ax.xaxis.label),
        xytext=(indent, -7),
        textcoords="offset points",
        va="top",
        ha="left",
        fontsize=8.5,
        color="#333333",
        linespacing=1.3,
    )


def caption_below(figure: Figure, text: str) -> None:
    """Write a caption under all axes of a figure, as wide as the figure."""
    width = int((72 * figure.get_figwidth() - 16) / 4.4)
    figure.supxlabel(
        textwrap.fill(text, width),
        x=0.01,
        ha="left",
        fontsize=8.5,
        color="#333333",
        linespacing=1.3,
    )


def root(ax: Axes) -> Figure:
    """Return the whole figure that axes stand in."""
    figure = ax.get_figure(root=True)
    if figure is None:
        raise ValueError("the axes must stand in a figure, got axes that were removed from theirs.")
    return figure


def _parts(spec: str) -> tuple[str, tuple[int, ...], str]:
    """Split ``GBGN-2x8(x=y)`` into its kind, its numbers and its brackets."""
    match = _SHAPE.match(spec.strip().split("+")[0])
    if match is None:
        return spec, (), ""
    numbers = tuple(int(n) for n in (match["numbers"] or "").split("x") if n)
    return match["head"], numbers, match["brackets"] or ""
