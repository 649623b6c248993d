"""Do neighbouring layers choose together? Pairs of norms among the best trials against chance."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from math import ceil

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import StudyLike, command
from analysis.layer_preference import LEAST_TOP, rank
from analysis.palette import caption_below, norm_order
from normsearch.errors import StudyError

COLUMNS = [
    "norm", "next_norm", "observed", "expected", "difference", "low", "high", "beyond_noise",
    "pairs", "trials",
]  # fmt: skip
SHUFFLES = 400

READING = {
    "cooccurrence": (
        "Whether neighbouring layers choose together",
        "How often one norm is followed by another in the next slot among the best trials, "
        "against what the slots' own preferences alone would give.",
    )
}


def compute(study: StudyLike, top: float = 0.25, seed: int = 0) -> pd.DataFrame:
    """Count how often one norm follows another in the next slot, in the best trials (see `rank`).

    What each slot prefers alone does not count: the choices of each slot are shuffled among the
    best trials many times, which keeps every slot's counts and breaks their company.

    Args:
        study: a study record.
        top: share of the ranked trials that counts as best, in (0, 1]; at least 3 trials.
        seed: of the shuffles.

    Returns:
        One row for each ordered pair of norms that were chosen, with columns norm, next_norm,
        observed (pairs), expected (mean of the shuffles), difference (observed − expected), low
        and high (of the difference, 95 % of the shuffles), beyond_noise (outside of these), pairs
        (all: trials × (slots − 1)), trials (the best). Empty with fewer than 3 ranked trials or 2
        slots.

    Raises:
        StudyError: `top` is not in (0, 1].
    """
    if not 0 < top <= 1:
        raise StudyError(f"cooccurrence: top must lie in (0, 1], got {top}.")
    ranked, slots = rank(study), study.slots
    if len(ranked) < LEAST_TOP or len(slots) < 2:
        return pd.DataFrame(columns=COLUMNS)
    best = ranked.head(max(LEAST_TOP, ceil(top * len(ranked))))
    chosen = best[[f"norm.{slot}" for slot in slots]].to_numpy(str)
    norms = norm_order(chosen.ravel().tolist())
    coded = np.array([[norms.index(norm) for norm in row] for row in chosen])
    observed = _pairs(coded, len(norms))
    random = np.random.default_rng(seed)
    drawn = np.stack([
        _pairs(random.permuted(coded, axis=0), len(norms)) for _ in range(SHUFFLES)
    ])  # fmt: skip
    expected = drawn.mean(axis=0)
    low, high = np.quantile(drawn - expected, (0.025, 0.975), axis=0)
    away = observed - expected
    rows = [
        (norm, follower, observed[i, j], expected[i, j], away[i, j], low[i, j], high[i, j],
         bool(away[i, j] < low[i, j] or away[i, j] > high[i, j]),
         len(best) * (len(slots) - 1), len(best))
        for i, norm in enumerate(norms) for j, follower in enumerate(norms)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def _pairs(coded: np.ndarray, kinds: int) -> np.ndarray:
    """How often kind i is followed by kind j along the rows: (kinds, kinds)."""
    codes = coded[:, :-1] * kinds + coded[:, 1:]
    return np.bincount(codes.ravel(), minlength=kinds * kinds).reshape(kinds, kinds)


def draw(df: pd.DataFrame, ax: Axes) -> None:
    """Draw what `compute` returned: the earlier slot's norm down, the next one's across."""
    norms = list(df["norm"].unique())
    away = df.pivot(index="norm", columns="next_norm", values="difference").loc[norms, norms]
    counts = df.pivot(index="norm", columns="next_norm", values="observed").loc[norms, norms]
    reach = max(1.0, float(df["difference"].abs().max()))
    sns.heatmap(
        away, ax=ax, cmap="RdBu_r", center=0, vmin=-reach, vmax=reach, annot=counts, fmt="d",
        annot_kws={"fontsize": 8.5}, linewidths=0.8, linecolor="white", square=True,
        cbar_kws={"label": "Pairs observed − expected", "shrink": 0.75, "pad": 0.02},
    )  # fmt: skip
    for row in df[df["beyond_noise"]].itertuples():
        x, y = norms.index(row.next_norm) + 0.86, norms.index(row.norm) + 0.2
        ax.scatter(x, y, s=13, color="black", edgecolors="white", linewidths=0.6, zorder=5)
    ax.set_xticklabels(norms, rotation=40, ha="right", rotation_mode="anchor")
    ax.set_yticklabels(norms, rotation=0)
    ax.tick_params(length=0)
    ax.set(xlabel="Norm of the next slot", ylabel="Norm of a slot")


def describe(df: pd.DataFrame) -> str:
    """Return the caption of `draw`."""
    marked, cells = int(df["beyond_noise"].sum()), len(df)
    return (
        f"{df['pairs'].iloc[0]} pairs of neighbouring slots in the best {df['trials'].iloc[0]} "
        "searched trials; numbers count the pairs. Expected: each slot keeps its own counts, its "
        f"choices are shuffled among these trials. Dots: outside 95\u00a0% of {SHUFFLES} shuffles "
        f"({marked} of {cells} cells; about {0.05 * cells:.0f} would be by chance)."
    )


def figure(study: StudyLike) -> Figure:
    """Return the figure cooccurrence; raises StudyError without three searched trials."""
    df = compute(study)
    if df.empty or df["norm"].nunique() < 2:
        raise StudyError(
            f"{study.name}: cooccurrence needs three COMPLETE or PRUNED trials that are no "
            "baselines, two slots and two norms."
        )
    side = 3.2 + 0.4 * df["norm"].nunique()
    fig = Figure(figsize=(max(5.6, side + 0.6), max(4.6, side)), layout="constrained")
    draw(df, fig.subplots())
    caption_below(fig, describe(df))
    return fig


def main(argv: Sequence[str] | None = None) -> int:
    """Draw cooccurrence from the command line: ``STUDY [-o FILE]``."""
    return command("cooccurrence", argv)


if __name__ == "__main__":
    sys.exit(main())
