"""Fixed trainings of an experiment, and the study that runs them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from normsearch.config import Arm

_OF_AN_ARM = frozenset(Arm.model_fields)


def arm(norm: str | Mapping[str, str], name: str | None = None, **keys: Any) -> dict[str, Any]:
    """Return an arm: one fixed way of training.

    Args:
        norm: a spec for every slot, or one for each glob of slots.
        name: for people; made of the norm and the batch size if None.
        keys: learning_rate, batch_size and the other hyperparameters of an arm; any other key is
            one of the study's training (``schedule="constant"``).
    """
    size = f", batch {keys['batch_size']}" if "batch_size" in keys else ""
    own = {key: value for key, value in keys.items() if key in _OF_AN_ARM}
    training = {key: value for key, value in keys.items() if key not in _OF_AN_ARM}
    made = {"name": name or f"{norm}{size}", "norm": norm, **own}
    return {**made, "training": training} if training else made


@dataclass(frozen=True)
class Trainings:
    """Every arm trained with every seed, on every fold; keys are those of a study file.

    Attributes:
        arms: made by `arm`.
        seeds: of first weights, order of samples and augmentation.
        task, network, training, search: of the study.
        folds: to test on in turn, in place of the task's own.
    """

    arms: Sequence[Mapping[str, Any]]
    seeds: Sequence[int]
    task: Mapping[str, Any]
    network: Mapping[str, Any]
    training: Mapping[str, Any] = field(default_factory=dict)
    search: Mapping[str, Any] = field(default_factory=dict)
    folds: Sequence[str] = ()

    def study(self, prefix: str) -> dict[str, Any]:
        """Return the study as a study file says it, its name made of `prefix` and its content."""
        space: dict[str, Any] = {"arms": list(self.arms), "seeds": list(self.seeds)}
        if self.folds:
            space["folds"] = list(self.folds)
        return _study(prefix, self, space)

    def factors(self) -> dict[str, dict[str, Any]]:
        """Return what each arm is made of, by its name: norm, batch_size, learning_rate, ..."""
        found = {}
        for made in self.arms:
            own = {key: value for key, value in made.items() if key not in ("name", "training")}
            norm = made["norm"] if isinstance(made["norm"], str) else made["name"]
            found[str(made["name"])] = {**own, "norm": norm, **made.get("training", {})}
        return found


@dataclass(frozen=True)
class Search:
    """A search whose best trial a later part trains again; keys are those of a study file.

    Its table of values has one row: norm (spec of each slot, as JSON), learning_rate, batch_size
    and score of the trial with the best validation score.
    """

    space: Mapping[str, Any]
    search: Mapping[str, Any]
    task: Mapping[str, Any]
    network: Mapping[str, Any]
    training: Mapping[str, Any] = field(default_factory=dict)

    def study(self, prefix: str) -> dict[str, Any]:
        """Return the study as a study file says it, its name made of `prefix` and its content."""
        return _study(prefix, self, dict(self.space))


def _study(prefix: str, made: Trainings | Search, space: dict[str, Any]) -> dict[str, Any]:
    parts = {key: dict(getattr(made, key)) for key in ("task", "network", "training", "search")}
    body = {**parts, "space": space}
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return {"name": f"{prefix}-{digest[:8]}", **body}
