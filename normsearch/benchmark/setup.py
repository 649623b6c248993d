"""The setup of the trainings in the recorded table, for comparisons with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from normsearch.benchmark.table import DEPTH, FIRST_CHANNELS
from normsearch.config import NetworkConfig, TaskConfig
from normsearch.data import Case, SampleLoader, Split
from normsearch.networks import apply_norm_map, list_norms
from normsearch.norms import Norm
from normsearch.training import Plan, ValidationCase, train
from normsearch.trials.task import load_task, split_task
from normsearch.trials.training import parameter_groups
from normsearch.trials.trial_network import build_trial_network

TASK = TaskConfig(data="sunnybrook", size=(64, 64), test_folds=("3",), validation_folds=("2",))
NETWORK = NetworkConfig(first_channels=FIRST_CHANNELS, depth=DEPTH)
CROP = slice(20, 44)  # contains the left ventricle of every case
BATCH_SIZE = 8
PLAN = Plan(samples=1200, evaluations=9, learning_rate=0.3, statistics_samples=32)


def load_split(data: Path | None) -> Split:
    """Return the table's training and validation cases, cropped.

    Raises:
        DataError: the sunnybrook data are not there.
    """
    split = split_task(TASK, load_task(TASK, data))
    return Split(tuple(map(_cropped, split.train)), tuple(map(_cropped, split.validation[::2])), ())


def thinned(case: Case) -> ValidationCase:
    """Return every third slice of a case, as in the validation of the table."""
    truth = torch.from_numpy(case.label[::3].copy())
    return ValidationCase(torch.from_numpy(case.image[::3].copy()), truth[:, None].float())


def switchable_weights(
    split: Split, *, seeds: range, gate_factor: float
) -> Iterator[dict[str, Any]]:
    """Train SN in every slot with the table's setup; yield seed, slot, stage, branch and weight.

    The learning rate of the logits is `gate_factor` times that of the network. Weights are those of
    eval, averaged over both statistics.
    """
    torch.set_num_threads(1)
    for seed in seeds:
        network = build_trial_network(NETWORK.model_copy(update={"seed": seed}), 1)
        slots = list_norms(network)
        apply_norm_map(network, {"*": "SN"})
        groups = parameter_groups(network, gate_factor * PLAN.learning_rate)
        validation = {case.id: thinned(case) for case in split.validation[:1]}
        loader = SampleLoader(split.train, BATCH_SIZE, seed)
        plan = dataclasses.replace(PLAN, evaluations=1)
        for _ in train(network, loader, validation, plan, parameter_groups=groups):
            pass
        for slot in slots:
            norm = network.get_submodule(slot.name)
            if not isinstance(norm, Norm):
                continue
            found = norm.mixing_weights()
            for branch in found["mean"]:
                weight = (found["mean"][branch] + found["variance"][branch]) / 2
                yield {"seed": seed, "slot": slot.name, "stage": slot.stage, "branch": branch,
                       "weight": weight}  # fmt: skip


def _cropped(case: Case) -> Case:
    image = np.ascontiguousarray(case.image[:, :, CROP, CROP])
    label = case.label[:, CROP, CROP]
    return dataclasses.replace(case, image=image, label=label, own_label=None, own_spacing=None)
