"""A plain PyTorch training loop, searched per layer: ``python plain_pytorch.py``.

Lines that a loop without a search would not have are marked with #.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from circles import dice, load
from torch import nn
from torch.utils.data import DataLoader

import normsearch


def build() -> nn.Module:
    """Return a network with Batch Normalization, as one would write it."""
    layers: list[nn.Module] = []
    for inputs in (1, 8, 8):
        layers += [nn.Conv2d(inputs, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(8, 1, 1))


def train(trial: normsearch.Trial) -> Iterator[dict[str, Any]]:  #
    """Train one trial, one pass over the data an evaluation; yield Dice by subject."""
    training, scored = load(trial.scored_on)  #
    network = trial.place_norms(build()).to(trial.device)  #
    groups = trial.parameter_groups(network)  #
    optimizer = torch.optim.SGD(groups, lr=trial.learning_rate, momentum=0.9)
    first = 0
    if trial.restored:  #
        network.load_state_dict(trial.restored["network"])  #
        optimizer.load_state_dict(trial.restored["optimizer"])  #
        first = trial.restored["epoch"]  #
    for epoch in range(first, trial.evaluations):
        order = torch.Generator().manual_seed(trial.seed + epoch)
        for images, labels in DataLoader(training, trial.batch_size, True, generator=order):
            logits = network(images.to(trial.device))
            loss = nn.functional.binary_cross_entropy_with_logits(logits, labels.to(trial.device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        cases = {
            name: dice(network, image.to(trial.device), label.to(trial.device))
            for name, image, label in scored
        }
        state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}  #
        trial.save({**state, "epoch": epoch + 1})  #
        yield {"cases": cases, "loss": loss.item()}  #


def study(**options: Any) -> normsearch.Study:
    """Return the study: which norm in each of the three layers, at which setting."""
    return normsearch.Study(
        "plain_pytorch",
        trainer=train,
        space={
            "norm": {"choices": ["none", "BN", "IN", "GN"], "groups": [4]},
            "learning_rate": {"low": 0.02, "high": 0.5, "default": 0.1},
            "batch_size": {"choices": [1, 2], "default": 2},
        },
        training={"samples": 24, "evaluations": 4},  # four passes over six subjects
        search={"trials": 8},
        **options,
    )


if __name__ == "__main__":
    found = study().run()
    print(found, found.norm_map(), sep="\n")
