"""What a finding measured, each contrast with its interval, beside what was published.

The default picture of every finding.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from normsearch.analysis import palette
from normsearch.confirmation.contrasts import Contrast
from normsearch.errors import StudyError

#: Outcome -> its colour; each is also written out.
COLOURS = {
    "reproduced": "#009E73",
    "contradicted": "#D55E00",
    "equivalent": "#0072B2",
    "not distinguishable": "#6B6B6B",
}
BAND = "#E3E7EC"


def forest(contrasts: Sequence[Contrast], verdict: str) -> Figure:
    """Return every contrast with its interval, 95 % for all of them together.

    Contrasts of one unit share a panel. A dashed line stands at 0, or at 1 for ratios, which lie on
    a logarithmic axis; a band shows differences that do not matter; a hollow mark is what was
    published.

    Args:
        contrasts: of one finding, one at least.
        verdict: on the finding, or its statement: the title.

    Raises:
        StudyError: there is no contrast.
    """
    if not contrasts:
        raise StudyError("contrasts: must be one at least, got none.")
    palette.style()
    groups: dict[tuple[str, bool], list[Contrast]] = {}
    for contrast in contrasts:
        groups.setdefault((contrast.unit, contrast.ratio), []).append(contrast)
    sizes = [len(group) for group in groups.values()]
    height = 1.5 + 0.62 * len(groups) + 0.46 * sum(sizes)
    fig = Figure(figsize=(9.2, height), layout="constrained")
    axes = fig.subplots(len(groups), 1, squeeze=False, height_ratios=[n + 0.6 for n in sizes])
    for ax, group in zip(axes[:, 0], groups.values(), strict=True):
        _draw(group, len(contrasts), ax)
    bold = {"weight": "bold", "size": 12}
    title = textwrap.fill(verdict[:1].upper() + verdict[1:], 90)
    fig.legend(handles=_marks(contrasts), title=title, ncols=4,
               title_fontproperties=bold, loc="outside upper center", frameon=False)  # fmt: skip
    palette.caption_below(fig, _caption(contrasts))
    return fig


def shown(contrast: Contrast, value: float) -> float:
    """Return a value of a contrast as figures show it: a ratio for a logarithm of one."""
    return math.exp(value) if contrast.ratio else value


def numbers(mean: float, low: float, high: float) -> str:
    """Return a mean and its interval as text, with two digits of the smaller of mean and reach.

    >>> numbers(0.052, 0.047, 0.057), numbers(0.25, math.nan, math.nan)
    ('0.0520 [0.0470, 0.0570]', '0.25')
    """
    known = [abs(value) for value in (mean, (high - low) / 2) if value and math.isfinite(value)]
    digits = min(max(1 - math.floor(math.log10(min(known))), 0), 4) if known else 3
    told = [f"{value:.{digits}f}".replace("-", "−") for value in (mean, low, high)]
    return told[0] if math.isnan(low) else f"{told[0]} [{told[1]}, {told[2]}]"


def _draw(contrasts: Sequence[Contrast], comparisons: int, ax: Axes) -> None:
    """Draw contrasts of one unit, the first at the top."""
    first, heights = contrasts[0], range(len(contrasts))
    for place, contrast in enumerate(contrasts):
        mean, low, high = (shown(contrast, v) for v in contrast.interval(comparisons))
        outcome = contrast.outcome(comparisons)
        colour = COLOURS[outcome]
        if contrast.margin:
            least, most = (shown(contrast, side * contrast.margin) for side in (-1, 1))
            rows = [place - 0.5, place + 0.5]
            ax.fill_betweenx(rows, least, most, color=BAND, zorder=0, linewidth=0)
        ax.hlines(place, low, high, color=colour, linewidth=2.2)
        ax.scatter(mean, place, s=52, color=colour, zorder=4)
        if contrast.published is not None:
            ax.scatter(shown(contrast, contrast.published), place, s=58, marker="D", zorder=3,
                       facecolors="white", edgecolors="#222222", linewidths=1.2)  # fmt: skip
        ax.annotate(f"{numbers(mean, low, high)}\n{outcome}", (1.02, place), va="center",
                    xycoords=ax.get_yaxis_transform(), fontsize=8.5, color=colour,
                    annotation_clip=False)  # fmt: skip
    ax.axvline(shown(first, 0.0), color="black", linewidth=0.9, linestyle=(0, (4, 2)))
    ax.set_yticks(heights, [textwrap.fill(contrast.name, 42) for contrast in contrasts])
    ax.set(ylim=(len(contrasts) - 0.5, -0.5), xlabel=first.unit or None)
    if first.ratio:
        _ratio_axis(ax)
    ax.margins(x=0.08)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color="#E5E5E5", linewidth=0.7)
    ax.set_axisbelow(True)


def _ratio_axis(ax: Axes) -> None:
    """Make the axis logarithmic, with plain numbers on it."""
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    wide = high / low > 8
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)) if wide else MaxNLocator(6))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_xlabel(ax.get_xlabel() or "Ratio")


def _marks(contrasts: Sequence[Contrast]) -> list[Line2D | Patch]:
    """Return what the marks mean, those that there are."""
    dot = Line2D([], [], linewidth=2.2, marker="o", color="#444444", label="ours, with interval")
    handles: list[Line2D | Patch] = [dot]
    if any(contrast.published is not None for contrast in contrasts):
        handles.append(Line2D([], [], linestyle="", marker="D", markerfacecolor="white",
                              color="#222222", label="published"))  # fmt: skip
    if any(contrast.margin for contrast in contrasts):
        handles.append(Patch(facecolor=BAND, label="too small to matter"))
    return handles


def _caption(contrasts: Sequence[Contrast]) -> str:
    several = len(contrasts) > 1
    together = f" for all {len(contrasts)} together (Bonferroni)" if several else ""
    claims = []
    if any(contrast.claim == "above" for contrast in contrasts):
        kinds = {contrast.ratio for contrast in contrasts}
        edge = "0 (ratios: 1)" if len(kinds) == 2 else "1" if True in kinds else "0"
        claims.append(f"a mean above the dashed line at {edge}")
    if any(contrast.claim == "within" for contrast in contrasts):
        claims.append("an interval inside the band")
    counted = [contrast for contrast in contrasts if contrast.exact]
    if len(counted) == len(contrasts):
        return f"Counted, the same in every run. The statement claims {' and '.join(claims)}."
    seeds = sorted({len(contrast.values) for contrast in contrasts if not contrast.exact})
    span = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    noun = "value" if seeds[-1] == 1 else "independent values (seeds, or rounds of timing)"
    if cases := sorted({c.values.shape[1] for c in contrasts if c.values.ndim == 2}):
        noun += f", differences on the same {' or '.join(map(str, cases))} cases,"
    exact = "; what was counted is exact" if counted else ""
    return (
        f"Means over {span} {noun} with intervals of 95\u00a0%{together}{exact}. "
        f"The statement claims {' and '.join(claims)}."
    )
