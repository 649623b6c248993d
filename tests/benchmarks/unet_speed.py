"""One training step of the U-Net with a composite norm in every slot, over the step with GN-8."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import torch
from torch.nn import functional

from normsearch.networks import UNet2d
from tests.benchmarks.norm_speed import pairs, steady

TITLE = "U-Net training step (16 first channels, depth 4, 128x128, batch 8), time over GN-8's"
NORMS = ("SN", "BIN", "ILN")


def stepper(norm: str, device: str) -> Callable[[], None]:
    """Return one step of stochastic gradient descent on a fixed batch."""
    net = UNet2d(norm=norm, seed=0).to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(8, 1, 128, 128, generator=generator).to(device)
    label = (image > 0).float()

    def step() -> None:
        optimizer.zero_grad()
        functional.binary_cross_entropy_with_logits(net(image), label).backward()
        optimizer.step()

    return step


def measure(seconds: float = 8.0) -> pd.DataFrame:
    """One row for each norm and device; `seconds` for each."""
    rows = []
    with steady():
        for device in ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]:
            reference = stepper("GN-8", device)
            for text in NORMS:
                median, fastest = pairs(stepper(text, device), reference, seconds, device)
                rows.append((text, device, round(median, 3), round(fastest, 3)))
    return pd.DataFrame(rows, columns=["norm", "device", "median", "undisturbed"])
