"""One-shot search: a supernet with every norm in every slot, and the norms it prefers.

The supernet has a trial folder, trials/supernet: trial.json trains it again, an interrupted
training resumes from checkpoint.pt, and preference.json holds the weight of every norm in every
slot. It is not a trial of the Optuna study, but the norm map of its largest weights is enqueued.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from normsearch.config import Mixture, StudyConfig, TrialConfig
from normsearch.errors import ConfigError
from normsearch.files import is_there, write_text
from normsearch.files.json_file import read_object
from normsearch.norms import reaches_out
from normsearch.search.coordinator import Coordinator
from normsearch.search.jobs import trial_config
from normsearch.search.rank_correlation import spearman, spearman_interval
from normsearch.search.signals import interruptible
from normsearch.space.choice import Choice
from normsearch.space.interface import AnySpace
from normsearch.space.layered import Space
from normsearch.storage.records import StudyRecord
from normsearch.trials.trainer import AnyData, Trainer

FOLDER = "supernet"
_TRAINING = -2  # the lease under which one driver trains the supernet
_FLOOR = 1e-6  # lower bound of a weight: SparsestMax makes many exactly 0
_ENOUGH = 5  # fewest trials for a correlation

Preference = dict[str, dict[str, float]]
"""Slot -> effective spec -> weight; the weights of a slot sum to 1."""


def mixable(space: AnySpace) -> Space:
    """Return `space` if a supernet can mix its norms.

    Raises:
        ConfigError: the space is in Python, or has a norm that cannot be mixed.
    """
    if not isinstance(space, Space):
        raise ConfigError("search.method: supernet needs a space in YAML, got one in Python.")
    for text in space.texts:
        if reaches_out(text):
            raise ConfigError(
                f"search.method: supernet cannot mix {text}, which reaches beyond its slot; leave "
                "it out of the choices, or use method: trials."
            )
    return space


def supernet_config(config: StudyConfig, space: Space) -> TrialConfig:
    """Return the supernet of a study as a trial: one mixture for each unit of the space."""
    own = config.search.supernet
    values = {name: values.middle for name, values in space.values.items()}
    given = {"learning_rate": own.learning_rate, "batch_size": own.batch_size}
    values.update({name: value for name, value in given.items() if value is not None})
    choice = Choice(norm_map={}, **values)
    training = choice.training(config.training)
    if own.samples is not None:
        update = {"budget": "samples", "samples": own.samples, "steps": None}
        training = training.model_copy(update=update)
    mixtures = tuple(
        Mixture(slots=tuple(slot.name for slot in unit.slots), choices=unit.choices,
                weights=own.weights)
        for unit in space.units
    )  # fmt: skip
    update = {"training": training, "mixtures": mixtures, "gpu_share": 1.0}  # no other trial runs
    return trial_config(config, 0, choice, None).model_copy(update=update)


def run_supernet(
    coordinator: Coordinator, space: AnySpace, data: AnyData, trainer: Trainer[AnyData]
) -> None:
    """Train the study's supernet, unless it is trained, and enqueue its choice.

    Training resumes from a checkpoint. Nothing is done while another driver trains it.

    Raises:
        TrainingError: the supernet cannot be trained (for example, its loss is not finite).
    """
    units, folder = mixable(space), coordinator.folder / "trials" / FOLDER
    path = folder / "preference.json"
    if not is_there(path):
        if not coordinator.leases.claim(_TRAINING):
            return
        with interruptible(coordinator) as fail, coordinator.leases.beating(fail):
            try:
                _train(supernet_config(coordinator.config, units), data, folder, trainer)
            except (KeyboardInterrupt, SystemError):
                coordinator.check_interrupt()  # Ray's code loses which exception a signal raised
                raise
            finally:
                coordinator.leases.release(_TRAINING)
    preference = read_preference(path)
    coordinator.enqueue([(preferred(units, preference), {"source": FOLDER})])


def _train(config: TrialConfig, data: AnyData, folder: Path, trainer: Trainer[AnyData]) -> None:
    config.write(folder / "trial.json")
    learnt: dict[str, Any] = {}
    for record in trainer(config, data, folder, None):
        learnt = record["learnt"]
    write_text(folder / "preference.json", json.dumps(preference_of(config, learnt), indent=2))


def preference_of(config: TrialConfig, learnt: dict[str, Any]) -> Preference:
    """Return the weights of a supernet's candidates from its last record's `learnt`."""
    slots = [name for mixture in config.mixtures for name in mixture.slots]
    return {name: learnt[name]["mixture"] for name in slots}


def read_preference(path: Path) -> Preference:
    """Return the weights of a preference.json.

    Raises:
        ConfigError: the file is not such a table of weights.
    """
    raw = read_object(path)
    weights = [one if isinstance(one, dict) and one else {"": None} for one in raw.values()]
    if not all(type(value) in (int, float) for one in weights for value in one.values()):
        raise ConfigError(f"{path}: must give each slot the weights of its norms; train it again.")
    return raw


def preferred(space: Space, preference: Preference) -> dict[str, Any]:
    """Return the parameters of the norm map of largest weights, with other values at defaults."""
    norms: dict[str, Any] = {}
    for unit in space.units:
        weights = preference.get(unit.slots[0].name, {})
        if len(weights) != len(unit.choices):
            raise ConfigError(
                f"preference.json: must give {unit.slots[0].name} the weights of its "
                f"{len(unit.choices)} choices, got {len(weights)}; delete it to train again."
            )
        best = max(weights, key=lambda spec: weights[spec])
        norms[f"norm.{unit.name}"] = unit.choices[list(weights).index(best)]
    return {**norms, **{name: values.middle for name, values in space.values.items()}}


def agreement(record: StudyRecord) -> dict[str, float | int] | None:
    """Return how well a run's supernet predicts the trials trained from scratch.

    ``rho`` is Spearman's rank correlation over the COMPLETE trials between the score (negated, if
    it is minimized) and the supernet's preference for the trial's norm map (the mean over slots of
    the logarithm of the chosen norm's weight); ``low`` and ``high`` are its 95% confidence interval
    (Bonett and Wright 2000), ``trials`` is the number of trials. None without a supernet or with
    fewer than 5 trials. Learning rate and batch size also differ between trials, which alone keeps
    rho below 1.
    """
    path = record.folder / "trials" / FOLDER / "preference.json"
    numbers = record.ranked()
    if not is_there(path) or len(numbers) < _ENOUGH:
        return None
    preference = read_preference(path)
    scores = record.trials().set_index("number")["score"]
    preferences = [_preference_for(record.norm_map(number), preference) for number in numbers]
    sign = 1 if record.direction == "maximize" else -1
    rho = spearman(preferences, [sign * float(scores[number]) for number in numbers])
    if math.isnan(rho):
        return None
    low, high = spearman_interval(rho, len(numbers))
    return {"rho": rho, "low": low, "high": high, "trials": len(numbers)}


def _preference_for(norm_map: dict[str, str], preference: Preference) -> float:
    weights = [preference.get(slot, {}).get(spec, 0.0) for slot, spec in norm_map.items()]
    return float(np.mean(np.log(np.maximum(weights, _FLOOR))))
