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

from normsearch.analysis import StudyLike, command
from normsearch.analysis.layer_preference import LEAST_TOP, rank
from normsearch.analysis.palette import caption_below, norm_order
from normsearch.analysis.uniform import (
    LEAST_UNIFORM,
    LEVEL,
    drawn_uniformly,
    family_p,
    said_of_draws,
)
from normsearch.errors import StudyError

COLUMNS = [
    "norm", "next_norm", "observed", "expected", "difference", "beyond_noise", "pairs", "trials",
    "uniform", "ranked",
]  # fmt: skip
SHUFFLES = 1000
#: Shuffles that are held in memory together.
AT_ONCE = 50

READING = {
    "cooccurrence": (
        "Whether neighbouring layers choose together",
        "How often one norm is followed by another in the next slot among the best trials, "
        "against what the slots' own preferences alone would give. Where several slots matter, "
        "choosing the best trials couples them by itself. Only a dot is a test.",
    )
}


def compute(study: StudyLike, top: float = 0.25, seed: int = 0) -> pd.DataFrame:
    """Count how often one norm follows another in the next slot, in the best trials (see `rank`).

    The preferences of single slots are not counted: the choices of each slot are shuffled among the
    best trials many times, which keeps the counts of every slot and removes dependence.

    Args:
        study: a study record.
        top: share of the ranked trials that counts as best, in (0, 1]; at least 3 trials.
        seed: of the shuffles.

    Returns:
        One row for each ordered pair of norms that were chosen, with columns norm, next_norm,
        observed (pairs), expected (mean of the shuffles), difference (observed − expected),
        beyond_noise, pairs (all: trials × (slots − 1)), trials (the best), uniform (how many of
        the ranked trials were drawn uniformly, see `drawn_uniformly`), ranked (trials). With
        `LEAST_UNIFORM` of these or more beyond_noise is True where the count of a pair among the
        best of them lies further from its mean over shuffles than the furthest pair of 95 % of the
        shuffles does; with fewer it is False everywhere. Empty with fewer than 3 ranked trials or
        2 slots.

    Raises:
        StudyError: `top` is not in (0, 1].
    """
    if not 0 < top <= 1:
        raise StudyError(f"cooccurrence: top must lie in (0, 1], got {top}.")
    ranked, slots = rank(study), study.slots
    if len(ranked) < LEAST_TOP or len(slots) < 2:
        return pd.DataFrame(columns=COLUMNS)
    best = ranked.head(max(LEAST_TOP, ceil(top * len(ranked))))
    norms = norm_order(best[[f"norm.{slot}" for slot in slots]].to_numpy(str).ravel().tolist())
    observed, drawn = _shuffled(best, slots, norms, seed)
    expected = drawn.mean(axis=0)
    uniform = ranked[drawn_uniformly(study, ranked)]
    marked = np.zeros(observed.shape, bool)
    if len(uniform) >= LEAST_UNIFORM:
        own = uniform.head(max(LEAST_TOP, ceil(top * len(uniform))))
        marked = family_p(*_shuffled(own, slots, norms, seed)) <= LEVEL
    pairs = [(norm, follower) for norm in norms for follower in norms]
    return pd.DataFrame({
        "norm": [norm for norm, _ in pairs],
        "next_norm": [follower for _, follower in pairs],
        "observed": observed.astype(int),
        "expected": expected,
        "difference": observed - expected,
        "beyond_noise": marked,
        "pairs": len(best) * (len(slots) - 1),
        "trials": len(best),
        "uniform": len(uniform),
        "ranked": len(ranked),
    })[COLUMNS]  # fmt: skip


def _shuffled(
    trials: pd.DataFrame, slots: Sequence[str], norms: list[str], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return counts of pairs, (norms²,), and of shuffled pairs, (SHUFFLES, norms²).

    Each slot's choices are shuffled among the trials.
    """
    chosen = trials[[f"norm.{slot}" for slot in slots]].to_numpy(str)
    places = {norm: place for place, norm in enumerate(norms)}
    coded = np.array([[places.get(norm, len(norms)) for norm in row] for row in chosen])
    random = np.random.default_rng(seed)
    several = np.repeat(coded[None], AT_ONCE, axis=0)
    drawn = [
        _pairs(random.permuted(several, axis=1), len(norms)) for _ in range(SHUFFLES // AT_ONCE)
    ]
    return _pairs(coded[None], len(norms))[0], np.concatenate(drawn)


def _pairs(coded: np.ndarray, kinds: int) -> np.ndarray:
    """Count how often kind j follows kind i along the last axis.

    Args:
        coded: (shuffles, trials, slots), from 0 to `kinds`, which is counted nowhere.
        kinds: number of norms.

    Returns:
        (shuffles, kinds²), floats.
    """
    shuffles, cells = len(coded), (kinds + 1) ** 2
    codes = coded[..., :-1] * (kinds + 1) + coded[..., 1:]
    places = codes.reshape(shuffles, -1) + cells * np.arange(shuffles)[:, None]
    counts = np.bincount(places.ravel(), minlength=shuffles * cells)
    counts = counts.reshape(shuffles, kinds + 1, kinds + 1)[:, :kinds, :kinds]
    return counts.reshape(shuffles, -1).astype(float)


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
    row = df.iloc[0]
    tested = said_of_draws(int(row["uniform"]), int(row["ranked"])) or (
        f"Dots ({int(df['beyond_noise'].sum())} of {len(df)} cells): beyond what {SHUFFLES} "
        f"shuffles explain among the best of the {row['uniform']} trials drawn uniformly; if no "
        "choice mattered, 5\u00a0% of such figures would have any dot."
    )
    return (
        f"{row['pairs']} pairs of neighbouring slots in the best {row['trials']} searched trials "
        "(without given single norms); numbers count the pairs. Expected: each slot keeps its own "
        f"counts, its choices are shuffled among these trials. {tested}"
    )


def figure(study: StudyLike) -> Figure:
    """Return the figure cooccurrence; raises StudyError without three searched trials."""
    df = compute(study)
    if df.empty or df["norm"].nunique() < 2:
        raise StudyError(
            f"{study.name}: cooccurrence needs three COMPLETE or PRUNED trials that were not "
            "given a single norm, two slots and two norms."
        )
    side = 3.2 + 0.4 * df["norm"].nunique()
    fig = Figure(figsize=(max(5.6, side + 0.6), max(4.6, side)), layout="constrained")
    draw(df, fig.subplots())
    caption_below(fig, describe(df))
    return fig


if __name__ == "__main__":
    sys.exit(command("cooccurrence"))
