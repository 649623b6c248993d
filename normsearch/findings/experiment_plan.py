"""From a registered part to the studies that are run: grids to arms, earlier outcomes taken up."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from normsearch.config import Arm
from normsearch.errors import ConfigError
from normsearch.findings.measurements import Measured
from normsearch.findings.registration import Experiment, Part, digest

_ARM = tuple(name for name in Arm.model_fields if name != "training")
_LABELS = {"batch_size": "batch {}", "learning_rate": "rate {:g}", "norm": "{}"}


NamedArm = tuple[dict[str, Any], dict[str, Any]]
"""An arm as in a study's space, and what it is made of."""


@dataclass(frozen=True)
class Planned:
    """One run of a part: its study as written in a file, what its arms are made of, its fold."""

    study: dict[str, Any]
    factors: dict[str, dict[str, Any]]
    fold: str | None = None


def plan_part(
    experiment: Experiment,
    name: str,
    scale: str,
    measured: Mapping[str, Measured],
    found: Mapping[str, Sequence[Mapping[str, Any]]],
) -> list[Planned]:
    """Return the runs of a part, their names made from what is trained in them.

    Args:
        experiment: at `scale`.
        name: of the part.
        scale: for the runs' names.
        measured: the earlier parts that have fixed trainings.
        found: arms that were taken from earlier parts, by this part's names for them.

    Raises:
        ConfigError: arms of one name, or a learning rate neither given nor chosen.
    """
    part = experiment.studies[name]
    where = f"{experiment.name}: studies.{name}"
    if part.space is not None:
        return [_named(experiment, name, scale, Planned({**_base(part), "space": part.space}, {}))]
    arms = [arm for grid in part.grid for arm in grid_arms(grid, where)]
    arms += [_split(arm) for arm in part.arms]
    arms += [_split({**arm, "name": label}) for label, some in found.items() for arm in some]
    plans = [_of_arms(part, arms, part.folds, where)]
    if part.rates_from:
        rates = best_rates(measured[part.rates_from])
        plans = [
            replace(_of_arms(part, _with_rates(arms, rates, fold, where), [fold], where), fold=fold)
            for fold in part.folds or [""]
        ]
    return [_named(experiment, name, scale, plan) for plan in plans]


def grid_arms(grid: Mapping[str, Any], where: str = "grid") -> list[NamedArm]:
    """Return every combination of a grid as (arm, factors), named after what varies.

    Keys are those of an arm, ``training.KEY``, or any other name for bundles: a list of mappings of
    such keys, each with a `name`. `reference_batch`: the batch size that `learning_rate` is of; it
    is scaled in proportion to the arm's batch.

    Raises:
        ConfigError: a key that is none of these.
    """
    keys = [key for key in grid if key != "reference_batch"]
    lists = {key: _as_list(grid[key]) for key in keys}
    arms = []
    for combination in itertools.product(*lists.values()):
        values, labels = dict(zip(keys, combination, strict=True)), []
        arm: dict[str, Any] = {}
        factors: dict[str, Any] = {}
        for key, value in values.items():
            label = _put(arm, factors, key, value, where)
            if len(lists[key]) > 1 or key == "norm":
                labels.append(label)
        if reference := grid.get("reference_batch"):
            rate = arm["learning_rate"] * arm["batch_size"] / reference
            arm["learning_rate"] = factors["learning_rate"] = rate
        arms.append(({"name": ", ".join(labels), **arm}, factors))
    return arms


def best_rates(measured: Measured) -> dict[tuple[str, str], float]:
    """Return for each (norm, fold) the learning rate with the best mean score; diverged is 0."""
    trials = measured.trials.assign(fold=measured.trials["fold"].fillna("").astype(str))
    scores = trials.assign(score=trials["score"].fillna(0.0))
    means = scores.groupby(["norm", "fold", "learning_rate"])["score"].mean()
    best: pd.Series[Any] = means.groupby(level=["norm", "fold"]).idxmax()
    return {(norm, fold): float(rate) for norm, fold, rate in best}


def _put(
    arm: dict[str, Any], factors: dict[str, Any], key: str, value: Any, where: str
) -> str:  # fmt: skip
    """Set one value of a grid in an arm; return its label."""
    if key in _ARM:
        arm[key] = factors[key] = value
        return _LABELS.get(key, f"{key} {{}}").format(value)
    section, _, inner = key.partition(".")
    if section == "training" and inner:
        arm.setdefault("training", {})[inner] = value
        factors[inner] = value
        return str(value)
    if not isinstance(value, dict) or "name" not in value:
        raise ConfigError(
            f"{where}: grid.{key}: must be a key of an arm ({', '.join(_ARM)}), training.KEY, or "
            f"a list of mappings with a name, got {value!r}."
        )
    for inner_key, inner_value in value.items():
        if inner_key != "name":
            _put(arm, factors, inner_key, inner_value, where)
    factors[key] = value["name"]
    return str(value["name"])


def _split(arm: Mapping[str, Any]) -> NamedArm:
    """An arm that was written out, and what it is made of."""
    training = arm.get("training", {})
    factors = {key: value for key, value in arm.items() if key in _ARM and key != "name"}
    if not isinstance(arm.get("norm"), str):
        factors["norm"] = arm["name"]
    return dict(arm), {**factors, **training}


def _with_rates(
    arms: Sequence[NamedArm],
    rates: Mapping[tuple[str, str], float],
    fold: str,
    where: str,
) -> list[NamedArm]:
    filled = []
    for arm, factors in arms:
        if (factors["norm"], fold) not in rates:
            raise ConfigError(f"{where}: no learning rate was tried for {factors['norm']}.")
        rate = {"learning_rate": rates[factors["norm"], fold]}
        filled.append(({**arm, **rate}, {**factors, **rate}))
    return filled


def _of_arms(
    part: Part,
    arms: Sequence[NamedArm],
    folds: Sequence[str],
    where: str,
) -> Planned:
    base = _base(part)
    names = [arm["name"] for arm, _ in arms]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(f"{where}: each arm needs a name of its own, got {twice[0]!r} twice.")
    space: dict[str, Any] = {"arms": [arm for arm, _ in arms], "seeds": part.seeds}
    single = part.rates_from is not None and folds != [""]
    if single:
        base["task"] = {**base["task"], "test_folds": list(folds)}
    elif folds and folds != [""]:
        space["folds"] = list(folds)
    return Planned({**base, "space": space}, dict(zip(names, (f for _, f in arms), strict=True)))


def _base(part: Part) -> dict[str, Any]:
    given = {"task": part.task, "network": part.network, "training": part.training}
    return {**given, "search": dict(part.search)}


def _named(experiment: Experiment, name: str, scale: str, plan: Planned) -> Planned:
    """Give the run a name that changes with what is trained."""
    fold = f"-{plan.fold}" if plan.fold else ""
    run = f"finding-{experiment.name}-{scale}-{name}{fold}-{digest(plan.study)[:8]}"
    return replace(plan, study={"name": run, **plan.study})


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
