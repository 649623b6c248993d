"""Made-up images for the examples: bright circles in noise, ten subjects, one slice each."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

Subject = tuple[str, Tensor, Tensor]  # id, image and label, both (1, 32, 32)


def subject(number: int) -> Subject:
    """Return one subject: its id, a noisy image and the mask of the circle in it."""
    random = torch.Generator().manual_seed(number)
    y, x = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    centre = 10 + 12 * torch.rand(2, generator=random)
    label = ((y - centre[0]) ** 2 + (x - centre[1]) ** 2 < 36).float()[None]
    return f"subject-{number}", label + 0.5 * torch.randn(label.shape, generator=random), label


def load(scored_on: str) -> tuple[TensorDataset, list[Subject]]:
    """Return what to train on, and the subjects to score.

    A search trains on subjects 0 to 5 and scores 6 and 7 (validation). A confirmation trains on
    0 to 7 and scores 8 and 9 (test), which no search has seen.
    """
    count = 8 if scored_on == "test" else 6
    images, labels = zip(*(subject(number)[1:] for number in range(count)), strict=True)
    return TensorDataset(torch.stack(images), torch.stack(labels)), [
        subject(number) for number in (count, count + 1)
    ]


@torch.no_grad()
def dice(network: nn.Module, image: Tensor, label: Tensor) -> float:
    """Return the Dice of a network's mask of one subject."""
    was_training = network.training
    mask = (network.eval()(image[None])[0] > 0).float()
    network.train(was_training)
    return float(2 * (mask * label).sum() / (mask.sum() + label.sum()))
