"""A MONAI training loop, searched per layer: ``python monai_loop.py``.

The network, the loss and the inference by sliding window are MONAI's. Lines that a loop without a
search would not have are marked with #.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from circles import load
from monai.data import DataLoader
from monai.inferers import SlidingWindowInferer
from monai.losses import DiceCELoss
from monai.metrics import DiceMetric
from monai.networks.nets import UNet

import normsearch


def train(trial: normsearch.Trial) -> Iterator[dict[str, Any]]:  #
    """Train one trial, one pass over the data an evaluation; yield Dice by subject."""
    training, scored = load(trial.scored_on)  #
    unet = UNet(spatial_dims=2, in_channels=1, out_channels=1, channels=(8, 16), strides=(2,))
    network = trial.place_norms(unet).to(trial.device)  #
    optimizer = torch.optim.AdamW(trial.parameter_groups(network), lr=trial.learning_rate)  #
    measure, infer = DiceMetric(), SlidingWindowInferer(roi_size=(32, 32))
    loss_of = DiceCELoss(sigmoid=True)
    first = 0
    if trial.restored:  #
        network.load_state_dict(trial.restored["network"])  #
        optimizer.load_state_dict(trial.restored["optimizer"])  #
        first = trial.restored["epoch"]  #
    for epoch in range(first, trial.evaluations):
        network.train()
        for images, labels in DataLoader(training, batch_size=trial.batch_size):
            optimizer.zero_grad()
            loss = loss_of(network(images.to(trial.device)), labels.to(trial.device))
            loss.backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            masks = [infer(image[None].to(trial.device), network) > 0 for _, image, _ in scored]
        cases = {
            name: float(measure(mask.cpu(), label[None]))
            for mask, (name, _, label) in zip(masks, scored, strict=True)
        }
        state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}  #
        trial.save({**state, "epoch": epoch + 1})  #
        yield {"cases": cases, "loss": loss.item()}  #


def study(**options: Any) -> normsearch.Study:
    """Return the study: which norm in each layer of MONAI's U-Net, at which setting."""
    return normsearch.Study(
        "monai_loop",
        trainer=train,
        space={
            "norm": {"choices": ["BN", "IN", "GN"], "groups": [4]},
            "learning_rate": {"low": 0.001, "high": 0.1, "default": 0.01},
            "batch_size": {"choices": [1, 2], "default": 2},
        },
        training={"samples": 18, "evaluations": 3},  # three passes over six subjects
        search={"trials": 6},
        **options,
    )


if __name__ == "__main__":
    found = study().run()
    print(found, found.norm_map(), sep="\n")
