"""The preference of each layer: shares of norms among the best trials minus those among all."""

from __future__ import annotations

import sys
from math import ceil

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.transforms import ScaledTranslation

from normsearch.analysis import StudyLike, command
from normsearch.analysis.arms import searched
from normsearch.analysis.palette import caption, norm_colour, norm_order, root, slot_label
from normsearch.analysis.uniform import (
    LEAST_UNIFORM,
    LEVEL,
    drawn_uniformly,
    family_p,
    said_of_draws,
)
from normsearch.errors import StudyError

COLUMNS = [
    "slot", "depth", "norm", "n_all", "n_top",
    "frequency_all", "frequency_top", "preference", "beyond_noise", "uniform",
]  # fmt: skip

READING = {
    "layer_preference": (
        "Which norm the best trials chose in each layer",
        "Each cell compares how often the best trials used a norm in a slot with how often all "
        "searched trials did. These shares are the sampler's habit as well as the norm's merit; "
        "layer_effect says what a norm is worth. A sampler that learns also makes its favourites "
        "more common among all trials, so a pale cell may still be a favourite. A strong colour "
        "alone shows no effect: a sampler that learns repeats what did well once. Only a dot is a "
        "test. A hatched cell was hardly tried: it says nothing against the norm.",
    ),
}

#: With fewer trials the caption says that there are too few.
FEW = 8
#: A norm with fewer trials in a slot was hardly tried there.
HARDLY = 4
#: The minimum number of best trials.
LEAST_TOP = 3
SHUFFLES = 2000


def rank(study: StudyLike) -> pd.DataFrame:
    """Return the searched trials, best first: COMPLETE or PRUNED, with a norm map.

    COMPLETE trials come first, by final score. PRUNED trials follow: those that reached a further
    evaluation first (they survived more comparisons, and scores of different evaluations must not
    be compared), among equals by the score there. A pruned trial was stopped because others did
    better at the same point; its final score is unknown, so it is never put above a finished one,
    even a weak one that ran to the end while the pruner was still warming up. Ties keep the
    trials' order. Single norms are left out, at the default setting and at tuned ones: the sampler
    did not choose them, and one such trial would add the same norm to every slot.
    """
    table = searched(study)
    if table.empty or not study.slots:
        return table
    columns = [f"norm.{slot}" for slot in study.slots]
    complete = table["state"] == "COMPLETE"
    score = table["score"].astype(float).where(complete, table["last_score"].astype(float))
    keep = table["state"].isin(["COMPLETE", "PRUNED"]) & ~single_norms(table)
    keep &= score.notna() & table[columns].notna().all(axis=1)
    history = study.history()
    reached = pd.Series(0.0, index=table.index)
    if not history.empty:
        furthest = history.groupby("number")["evaluation"].max()
        reached = table["number"].map(furthest).fillna(0).astype(float)
    reached = reached.mask(complete, np.inf)
    keyed = table.assign(_reached=reached, _score=score)[keep]
    order = keyed.sort_values(
        ["_reached", "_score", "number"], ascending=[False, study.direction == "minimize", True]
    )
    return order.drop(columns=["_reached", "_score"])


def single_norms(table: pd.DataFrame) -> pd.Series:
    """Return which trials were assigned one norm for all slots (draws by chance do not count)."""
    single = table["baseline"].notna()
    if "single_norm" in table and "drawn" in table:
        single |= table["single_norm"].notna() & (table["drawn"] == "given")
    return single


def compute(study: StudyLike, top: float = 0.25, seed: int = 0) -> pd.DataFrame:
    """Count each norm in each slot, among all searched trials and among the best (see `rank`).

    Args:
        study: a study record.
        top: share of the ranked trials that counts as best, in (0, 1]; at least 3 trials.
        seed: of the shuffles.

    Returns:
        One row for each slot and norm (also those never tried there), with columns slot, depth
        (0-based), norm, n_all and n_top (trials), frequency_all and frequency_top (0 to 1),
        preference (frequency_top − frequency_all, −1 to 1), beyond_noise and uniform. The last is
        how many trials were drawn uniformly (see `drawn_uniformly`): with `LEAST_UNIFORM` of them
        or more, beyond_noise is True where the norm's count among the best of these lies further
        from what it is on average when their order is shuffled than the furthest cell of 95 % of
        the shuffles does; with fewer it is False everywhere. Empty without ranked trials.

    Raises:
        StudyError: `top` is not in (0, 1].
    """
    if not 0 < top <= 1:
        raise StudyError(f"layer_preference: top must lie in (0, 1], got {top}.")
    ranked = rank(study)
    total = len(ranked)
    best = min(total, max(LEAST_TOP, ceil(top * total)))
    names = [f"norm.{slot}" for slot in study.slots]
    norms = norm_order(ranked[names].to_numpy().ravel().tolist()) if total else []
    uniform = drawn_uniformly(study, ranked)
    marked = _marked(ranked[uniform], names, norms, top, seed)
    rows = []
    for depth, (slot, column) in enumerate(zip(study.slots, names, strict=True)):
        for place, norm in enumerate(norms):
            used = (ranked[column] == norm).to_numpy()
            n_all, n_top = int(used.sum()), int(used[:best].sum())
            f_all, f_top = n_all / total, n_top / best
            counts = (n_all, n_top, f_all, f_top, f_top - f_all)
            rows.append((slot, depth, norm, *counts, marked[depth, place], int(uniform.sum())))
    return pd.DataFrame(rows, columns=COLUMNS)


def _marked(
    ranked: pd.DataFrame, columns: list[str], norms: list[str], top: float, seed: int
) -> np.ndarray:
    """Return which norms, (slots, norms), are too common or too rare among the best trials."""
    shape = (len(columns), len(norms))
    if len(ranked) < LEAST_UNIFORM:
        return np.zeros(shape, bool)
    used = np.stack([ranked[columns].to_numpy() == norm for norm in norms], axis=-1)
    used = used.reshape(len(ranked), -1).astype(float)
    best = max(LEAST_TOP, ceil(top * len(ranked)))
    random = np.random.default_rng(seed)
    drawn = random.permuted(np.tile(np.arange(len(ranked)), (SHUFFLES, 1)), axis=1) < best
    p = family_p(used[:best].sum(axis=0), drawn.astype(float) @ used)
    return (p <= LEVEL).reshape(shape)


def draw(df: pd.DataFrame, ax: Axes) -> None:
    """Draw what `compute` returned: slots downwards in order of depth, norms across."""
    slots, norms = list(df["slot"].unique()), list(df["norm"].unique())
    points = 100 * df.pivot(index="slot", columns="norm", values="preference")
    counts = df.pivot(index="slot", columns="norm", values="n_top").loc[slots, norms]
    tried = df.pivot(index="slot", columns="norm", values="n_all").loc[slots, norms] > 0
    reach = max(5.0, float(df["preference"].abs().max()) * 100)
    ax.set_facecolor("#D8D8D8")
    sns.heatmap(
        points.loc[slots, norms], ax=ax, mask=~tried, cmap="RdBu_r", center=0,
        vmin=-reach, vmax=reach, annot=counts, fmt="d", annot_kws={"fontsize": 8.5},
        linewidths=0.8, linecolor="white",
        cbar_kws={"label": "Share among best − share among all\n(percentage points)",
                  "shrink": 0.75, "pad": 0.02, "fraction": 0.05, "aspect": 28},
    )  # fmt: skip
    for row in df[df["beyond_noise"]].itertuples():
        x, y = norms.index(row.norm) + 0.86, slots.index(row.slot) + 0.22
        ax.scatter(x, y, s=13, color="black", edgecolors="white", linewidths=0.6, zorder=5)
    for row in df[(df["n_all"] > 0) & (df["n_all"] < HARDLY)].itertuples():
        corner = norms.index(row.norm), slots.index(row.slot)
        ax.add_patch(Rectangle(corner, 1, 1, fill=False, hatch="///", edgecolor="#B9B9B9",
                               linewidth=0, zorder=1.5))  # fmt: skip
    above = ax.get_xaxis_transform() + ScaledTranslation(0, 9 / 72, root(ax).dpi_scale_trans)
    for x, norm in enumerate(norms):  # the norm's colour above its column
        ax.scatter(
            x + 0.5, 1, s=42, marker="s", color=norm_colour(norm), transform=above,
            edgecolors="#555555", linewidths=0.5, clip_on=False,
        )  # fmt: skip
    ax.set_xticks(
        np.arange(len(norms)) + 0.5, norms, rotation=40, ha="right", rotation_mode="anchor"
    )
    ax.set_yticks(np.arange(len(slots)) + 0.5, [slot_label(s) for s in slots], rotation=0)
    ax.tick_params(length=0)
    ax.set(xlabel="Normalization", ylabel="Slot, in order of depth")
    ax.set_title("What the best trials chose more (red) or less (blue) often", pad=20)
    caption(ax, describe(df), indent=-70)


def describe(df: pd.DataFrame) -> str:
    """Return the caption of `draw`: how many trials, what the marks mean, what is noise."""
    first = df[df["depth"] == df["depth"].min()]
    total, best = int(first["n_all"].sum()), int(first["n_top"].sum())
    cells, marked = int((df["n_all"] > 0).sum()), int(df["beyond_noise"].sum())
    uniform = int(df["uniform"].iloc[0])
    tested = said_of_draws(uniform, total) or (
        f"Dots ({marked} of {cells} cells): more or less often among the best of the {uniform} "
        "trials drawn uniformly than shuffling their order explains; if no choice mattered, "
        "5\u00a0% of such figures would have any dot."
    )
    hardly = int(df["n_all"].between(1, HARDLY - 1).sum())
    text = (
        f"Best {best} of {total} searched trials (without given single norms); numbers count the "
        f"best trials with this norm; grey: never tried there; hatched ({hardly} of {cells} "
        f"cells): hardly tried, in fewer than {HARDLY} trials. {tested} Shares are the sampler's "
        f"habit as well as merit; for what a norm is worth plot layer_effect.{_seldom(df)}"
    )
    if total < FEW:
        text += f" Only {total} searched trials: too few to read a preference from."
    return text


def _seldom(df: pd.DataFrame) -> str:
    """Which norms were hardly tried in most slots, as a sentence; "" for none."""
    share = (df["n_all"] < HARDLY).groupby(df["norm"], sort=False).mean()
    seldom = list(share.index[share > 0.5])
    names = ", ".join(str(norm) for norm in seldom)
    return f" The search hardly tried {names} in most slots." if seldom else ""


def figure(study: StudyLike) -> Figure:
    """Return the figure layer_preference; raises StudyError without a finished searched trial."""
    df = compute(study)
    if df.empty:
        raise StudyError(
            f"{study.name}: layer_preference needs at least one COMPLETE or PRUNED trial "
            "that was not given a single norm."
        )
    size = max(6.2, 3.0 + 0.42 * df["norm"].nunique()), max(5.6, 2.4 + 0.27 * df["slot"].nunique())
    fig = Figure(figsize=size, layout="constrained")
    draw(df, fig.subplots())
    return fig


if __name__ == "__main__":
    sys.exit(command("layer_preference"))
