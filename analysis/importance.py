"""Which choices mattered? Importance of each slot's norm and each parameter, against chance.

PED-ANOVA (Watanabe et al. 2023) measures what the best trials have in common, and fANOVA (Hutter et
al. 2014) what explains the variance of the scores; both are Optuna's. Both are above 0 even if
nothing matters. Therefore the scores of uniformly drawn trials are shuffled many times: an
importance that shuffled scores also reach is noise. For adaptively chosen trials, importances are
descriptive and not tested.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from normsearch.analysis import StudyLike, command
from normsearch.analysis.arms import searched
from normsearch.analysis.layer_preference import single_norms
from normsearch.analysis.palette import caption_below, slot_label
from normsearch.analysis.uniform import (
    LEAST_UNIFORM,
    LEVEL,
    drawn_uniformly,
    family_p,
    said_of_draws,
)
from normsearch.config.hyperparameters import HYPERPARAMETERS, NumberSpace, offers
from normsearch.errors import StudyError

if TYPE_CHECKING:
    import optuna

COLUMNS = [
    "method", "parameter", "depth", "importance", "noise", "p", "beyond_noise", "trials", "uniform",
]  # fmt: skip
METHODS = ("PED-ANOVA", "fANOVA")
AXES = {"PED-ANOVA": "Divergence of the best from all", "fANOVA": "Share of the scores' variance"}

READING = {
    "importance": (
        "Which choices mattered",
        "Importance of each slot's norm and of each parameter by two methods. Importances are "
        "above 0 where nothing matters: only what exceeds the red mark, where there is one, can "
        "be told from noise.",
    )
}

#: The choices of a search other than norms; those with a single value are left out.
VALUES = HYPERPARAMETERS
#: Those that are numbers on a logarithmic scale; the others are categories.
RATES = tuple(name for name, offered in offers().items() if issubclass(offered.space, NumberSpace))
#: With fewer trials no importance is distinguishable from noise.
LEAST = 10
#: Share of the trials that PED-ANOVA takes as the best.
TOP = 0.25

Array = npt.NDArray[np.float64]


def compute(study: StudyLike, shuffles: int = 39, seed: int = 0) -> pd.DataFrame:
    """Measure each choice's importance among the COMPLETE searched trials, and under chance.

    Single norms are left out: the sampler did not choose them, and one of them sets all slots at
    once. PRUNED trials have no final score. With `LEAST_UNIFORM` COMPLETE trials drawn uniformly
    (see `drawn_uniformly`) importances are those among these, and are tested; else they are those
    among all, and are not.

    Args:
        study: a study record.
        shuffles: how often the scores are shuffled, the same way for both methods; 19 at least.
        seed: of the shuffles and of fANOVA's forest.

    Returns:
        One row a method ("PED-ANOVA", "fANOVA") and parameter, slots in order of depth and then
        the others, with columns method, parameter, depth (0-based, NaN for what is no slot),
        importance (PED-ANOVA: a divergence, 0 and up; fANOVA: share of the scores' variance that
        the parameter explains alone, 0 to 1), noise (where p would be .05), p (adjusted for all
        parameters and both methods, see `family_p`; NaN where nothing is tested, as noise is),
        beyond_noise (p ≤ 0.05), trials (COMPLETE ones), uniform (how many of these were drawn
        uniformly). Empty with fewer than `LEAST` trials, equal scores or nothing that varies.
    """
    table = searched(study)
    if not table.empty:
        table = table[(table["state"] == "COMPLETE") & ~single_norms(table)]
        table = table[table["score"].notna()]
    uniform = drawn_uniformly(study, table) if len(table) else pd.Series(dtype=bool)
    trials, drawn = len(table), int(uniform.sum())
    tested = drawn >= LEAST_UNIFORM
    table = table[uniform] if tested else table
    enough = len(table) >= LEAST and table["score"].nunique() > 1
    choices = _choices(table, study.slots) if enough else {}
    if not choices:
        return pd.DataFrame(columns=COLUMNS)
    sign = -1 if study.direction == "minimize" else 1  # from here on, higher is better
    scores, made = sign * table["score"].to_numpy(float), _study(choices)
    random = np.random.default_rng(seed)
    orders = [scores, *(random.permutation(scores) for _ in range(shuffles if tested else 0))]
    found = np.stack([
        np.concatenate([_measure(method, made, order, seed) for method in METHODS])
        for order in orders
    ])  # fmt: skip
    depths = {slot: float(depth) for depth, slot in enumerate(study.slots)}
    names = [name.removeprefix("norm.") for name in choices]
    p = family_p(found[0], found[1:]) if tested else np.full(found.shape[1], np.nan)
    return pd.DataFrame({
        "method": np.repeat(METHODS, len(names)),
        "parameter": names * len(METHODS),
        "depth": [depths.get(name, np.nan) for name in names] * len(METHODS),
        "importance": found[0],
        "noise": _noise(found) if tested else np.nan,
        "p": p,
        "beyond_noise": p <= LEVEL,
        "trials": trials,
        "uniform": drawn,
    })[COLUMNS]  # fmt: skip


def _noise(found: Array) -> Array:
    """Return the importance at which `family_p` is `LEVEL`, by parameter; row 0 is unshuffled."""
    mean, spread = found.mean(axis=0), found.std(axis=0)
    away = np.divide(np.abs(found - mean), spread, out=np.zeros_like(found), where=spread > 0)
    return np.asarray(mean + spread * np.quantile(away.max(axis=1), 1 - LEVEL, method="higher"))


def _choices(table: pd.DataFrame, slots: Sequence[str]) -> dict[str, list[Any]]:
    """Return name -> each trial's choice, for choices that vary and are known for all trials."""
    names = [name for name in (*(f"norm.{slot}" for slot in slots), *VALUES) if name in table]
    known = [name for name in names if table[name].notna().all() and table[name].nunique() > 1]
    return {name: table[name].tolist() for name in known}


def _study(choices: Mapping[str, Sequence[Any]]) -> optuna.Study:
    """Return an Optuna study of these trials with score 0, without Optuna's log messages."""
    import optuna
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    def distribution(name: str, values: Sequence[Any]) -> optuna.distributions.BaseDistribution:
        if name in RATES and min(values) > 0:
            return FloatDistribution(min(values), max(values), log=True)
        return CategoricalDistribution(sorted(set(values), key=str))

    distributions = {name: distribution(name, values) for name, values in choices.items()}
    rows = [dict(zip(choices, row, strict=True)) for row in zip(*choices.values(), strict=True)]
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study()
    finally:
        optuna.logging.set_verbosity(level)
    study.add_trials(
        [optuna.create_trial(value=0.0, params=row, distributions=distributions) for row in rows]
    )
    return study


def _measure(method: str, study: optuna.Study, scores: Array, seed: int) -> Array:
    """Return the importance of each parameter for these scores."""
    from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator

    evaluator = (
        PedAnovaImportanceEvaluator(target_quantile=TOP)
        if method == "PED-ANOVA"
        else FanovaImportanceEvaluator(n_trees=8, seed=seed)
    )
    names = list(study.get_trials(deepcopy=False)[0].params)
    with warnings.catch_warnings():  # PED-ANOVA warns that low targets count as good
        warnings.simplefilter("ignore")
        found = evaluator.evaluate(study, params=names, target=lambda t: -scores[t.number])
    return np.array([found[name] for name in names])


def draw(df: pd.DataFrame, ax: Axes) -> None:
    """Draw one method: a bar per parameter, slots in order of depth, a mark at the end of noise."""
    places = range(len(df))
    colours = np.where(df["beyond_noise"], "#0072B2", "#B5B5B5")
    ax.barh(places, df["importance"], height=0.78,
            color=np.where(df["p"].notna(), colours, "#7F7F7F"))  # fmt: skip
    ax.scatter(df["noise"], places, marker="|", s=90, color="#CC3311", linewidths=1.6)
    slots = int(df["depth"].notna().sum())
    if 0 < slots < len(df):
        ax.axhline(slots - 0.5, color="black", linewidth=0.8)
    names = [slot_label(name).replace("_", " ") for name in df["parameter"]]
    ax.set_yticks(places, names)
    method = df["method"].iloc[0]
    ax.set(ylim=(len(df) - 0.4, -0.6), xlim=(0, None), xlabel=AXES[method], title=method)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color="#E5E5E5", linewidth=0.7)
    ax.set_axisbelow(True)


def describe(df: pd.DataFrame) -> str:
    """Return the caption of the figure."""
    row = df.iloc[0]
    means = (
        f"PED-ANOVA: what the best {100 * TOP:.0f}\u00a0% have in common; fANOVA: what explains "
        "the scores."
    )
    not_tested = said_of_draws(int(row["uniform"]), int(row["trials"]))
    if not_tested:
        found = f"{row['trials']} COMPLETE searched trials, without given single norms."
        return f"{found} {not_tested} {means}"
    marked = ", ".join(
        f"{int(part['beyond_noise'].sum())} of {len(part)} by {method}"
        for method, part in df.groupby("method", sort=False)
    )
    return (
        f"The {row['uniform']} of {row['trials']} COMPLETE searched trials that were drawn "
        "uniformly. Beyond the red mark (blue bars) lies what shuffling the scores among them "
        f"does not explain: {marked}; if no choice mattered, 5\u00a0% of such figures would have "
        f"any blue bar. {means}"
    )


def figure(study: StudyLike) -> Figure:
    """Return the figure importance; raises StudyError without enough searched trials."""
    df = compute(study)
    if df.empty:
        raise StudyError(
            f"{study.name}: importance needs at least {LEAST} COMPLETE trials that were not "
            "given a single norm and differ in their choices and their scores."
        )
    height = 1.9 + 0.2 * df["parameter"].nunique()
    fig = Figure(figsize=(7.6, max(3.2, height)), layout="constrained")
    axes = cast(Sequence[Axes], fig.subplots(1, 2, sharey=True))
    for ax, method in zip(axes, METHODS, strict=True):
        draw(df[df["method"] == method].reset_index(drop=True), ax)
    axes[0].set_ylabel("Slots in order of depth, then parameters")
    if df["p"].notna().any():
        handles = [
            Line2D([], [], linewidth=6, color="#0072B2", label="beyond noise"),
            Line2D([], [], linewidth=6, color="#B5B5B5", label="within noise"),
            Line2D([], [], linestyle="", marker="|", markersize=9, markeredgewidth=1.6,
                   color="#CC3311", label="end of noise (shuffled scores)"),
        ]  # fmt: skip
        fig.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False)
    caption_below(fig, describe(df))
    return fig


if __name__ == "__main__":
    sys.exit(command("importance"))
