"""Judge of costs: seconds and parameters of one norm over another's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from normsearch.findings.measurements import Measured, select
from normsearch.findings.verdicts import Outcome, Verdict, by_t


def cost_below(
    parts: Mapping[str, Measured],
    *,
    part: str,
    of: str,
    over: str,
    seconds: float,
    parameters: int | None = None,
    by: str = "norm",
    where: Mapping[str, Any] | None = None,
) -> Verdict:
    """Judge whether `of` takes less than `seconds` times what `over` takes, in training.

    The logarithm of the ratio of seconds, its median over the evaluations of each seed (a moment
    when the machine was busy otherwise is one of many), then the t interval over seeds. With
    `parameters`, `of` must also learn at most that many numbers more, counted exactly.
    """
    curves = select(parts[part].curves, where).sort_values("evaluation")
    labels = [name for name in ("seed", "fold", "arm") if curves[name].notna().any()]
    spent = curves.assign(took=curves.groupby("number")["seconds"].diff().fillna(curves["seconds"]))
    table = spent.pivot_table(index=[*labels[:-1], "evaluation"], columns=by, values="took")
    logs = (table[of] / table[over]).map(math.log)
    found = by_t("", logs.groupby(level=labels[:-1]).median().to_numpy(float))
    ratio, low, high = np.exp([found.estimate, found.low, found.high]).tolist()
    more = _more_parameters(select(parts[part].trials, where), by, of, over)
    fits = parameters is None or 0 <= more <= parameters
    outcome: Outcome = "not distinguishable"
    if high < seconds and fits:
        outcome = "reproduced"
    elif low > seconds or not fits:
        outcome = "contradicted"
    return Verdict(
        outcome,
        f"seconds of {of} over {over}",
        ratio,
        low,
        high,
        "95%, t over seeds of the median log ratio over evaluations",
        f"{of} takes {ratio:.2f} times as long as {over} and learns {more} numbers more.",
        ({"ratio": ratio, "limit": seconds, "more_parameters": more, "limit_of_them": parameters},),
    )


def _more_parameters(trials: pd.DataFrame, by: str, of: str, over: str) -> int:
    counts = trials.dropna(subset="parameters").groupby(by)["parameters"].first()
    return int(counts[of] - counts[over])
