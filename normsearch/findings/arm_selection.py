"""What a later part takes from an earlier one: the best trial of a search, an argmax of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from normsearch.errors import StudyError
from normsearch.findings.measurements import Measured, select


def taken_arms(
    take: Mapping[str, str], records: Sequence[Any], measured: Measured
) -> list[dict[str, Any]]:
    """Return what ``take: best | argmax`` chose in a part, as one arm without a name.

    ``best`` is the trial with the highest validation score. ``argmax`` gives each slot the norm
    with the largest weight (both statistics, seeds averaged) in the trainings of `arm`, at that
    arm's learning rate and batch size.

    Raises:
        StudyError: `take` is neither, or nothing was completed.
    """
    if take.get("take") == "best":
        return [_best(records[0])]
    if take.get("take") == "argmax":
        return [_argmax(measured, take)]
    raise StudyError(f"take: must be one of best, argmax, got {take.get('take')!r}.")


def _best(record: Any) -> dict[str, Any]:
    if record.best is None:
        raise StudyError(f"{record.name}: must have a COMPLETE trial to take, and has none.")
    values = {
        k: v for k, v in record.values(record.best).items() if k not in ("seed", "fold", "arm")
    }
    return {"norm": record.norm_map(record.best), **values}


def _argmax(measured: Measured, take: Mapping[str, str]) -> dict[str, Any]:
    learnt = select(measured.learnt, {"arm": take["arm"]} if "arm" in take else None)
    means = learnt.groupby(["slot", "branch"])["weight"].mean()
    chosen = means.groupby(level="slot").idxmax()
    norm = dict(chosen.tolist())
    first = learnt.iloc[0]
    return {
        "norm": norm,
        "learning_rate": float(first["learning_rate"]),
        "batch_size": int(first["batch_size"]),
    }
