"""The setups of the trainings in the recorded tables, for recording and comparisons."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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

NETWORK = NetworkConfig(first_channels=FIRST_CHANNELS, depth=DEPTH)


@dataclass(frozen=True)
class Setup:
    """How the trainings of a table were made, apart from norms and seed.

    Attributes:
        task: data, preparation and split; there is no test fold in a table.
        plan: budget, evaluation points and optimizer.
        batch_size: of the training.
        crop: the rows and columns that are kept of a prepared slice.
        every: which of the validation subjects, and which of their slices, are scored.
        notes: data and image in words, for the table's provenance.
    """

    task: TaskConfig
    plan: Plan
    batch_size: int
    crop: slice
    every: tuple[int, int]
    notes: Mapping[str, str]

    def load_split(self, data: Path | None) -> Split:
        """Return the training and validation cases, cropped.

        Raises:
            DataError: the data are not there.
        """
        split = split_task(self.task, load_task(self.task, data))
        scored = split.validation[:: self.every[0]]
        return Split(tuple(map(self._cropped, split.train)), tuple(map(self._cropped, scored)), ())

    def thinned(self, case: Case) -> ValidationCase:
        """Return the slices of a case that are scored."""
        step = self.every[1]
        truth = torch.from_numpy(case.label[::step].copy())
        return ValidationCase(torch.from_numpy(case.image[::step].copy()), truth[:, None].float())

    def _cropped(self, case: Case) -> Case:
        image = np.ascontiguousarray(case.image[:, :, self.crop, self.crop])
        label = case.label[:, self.crop, self.crop]
        return dataclasses.replace(case, image=image, label=label, own_label=None, own_spacing=None)


SETUPS = {
    "sunnybrook": Setup(
        TaskConfig(data="sunnybrook", size=(64, 64), test_folds=("3",), validation_folds=("2",)),
        Plan(samples=1200, evaluations=9, learning_rate=0.3, statistics_samples=32),
        batch_size=8,
        crop=slice(20, 44),  # contains the left ventricle of every case
        every=(2, 3),
        notes={
            "data": "sunnybrook, fold 1 to train, every second subject of fold 2 to validate",
            "image": "64 x 64, of which the central 24 x 24; every third slice is validated",
        },
    ),
    # Held out: no default of a sampler or pruner is ever chosen by what happens here.
    "hippocampus": Setup(
        TaskConfig(
            data="Task04_Hippocampus",
            size=(32, 24),
            folds=5,
            test_folds=("5",),
            validation_folds=("4",),
        ),
        Plan(samples=900, evaluations=9, learning_rate=0.3, statistics_samples=32),
        batch_size=8,
        crop=slice(None),
        every=(3, 3),
        notes={
            "data": "Task04_Hippocampus, both labels as one; of 5 made folds 1 to 3 to train, "
            "every third subject of fold 4 to validate",
            "image": "axial slices, resized to 32 x 24; every third slice is validated",
        },
    ),
}


def switchable_weights(
    split: Split, *, seeds: range, gate_factor: float
) -> Iterator[dict[str, Any]]:
    """Train SN in every slot as on sunnybrook; yield seed, slot, stage, branch and weight.

    The learning rate of the logits is `gate_factor` times that of the network. Weights are those of
    eval, averaged over both statistics.
    """
    torch.set_num_threads(1)
    setup = SETUPS["sunnybrook"]
    for seed in seeds:
        network = build_trial_network(NETWORK.model_copy(update={"seed": seed}), 1)
        slots = list_norms(network)
        apply_norm_map(network, {"*": "SN"})
        groups = parameter_groups(network, gate_factor * setup.plan.learning_rate)
        validation = {case.id: setup.thinned(case) for case in split.validation[:1]}
        loader = SampleLoader(split.train, setup.batch_size, seed)
        plan = dataclasses.replace(setup.plan, evaluations=1)
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
