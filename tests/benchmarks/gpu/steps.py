"""Training steps of both families of networks, with each norm in every slot."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial

import torch

from normsearch.networks import apply_norm_map, build_network
from normsearch.training import Plan, bce_dice_loss
from normsearch.training.optimizer_step import Stepper
from tests.benchmarks.each_norm import kernels_of
from tests.benchmarks.gpu.norms import TRITON, texts
from tests.benchmarks.gpu.timing import Row, peak, row, timed

TITLE = "Training steps: milliseconds and MiB, by the norm in every slot"
SHAPES = {"unet2d": (16, 1, 128, 128), "res_unet3d": (2, 1, 32, 64, 64)}
SMALL = {"unet2d": (2, 1, 16, 16), "res_unet3d": (2, 1, 8, 8, 8)}
AFTER_LAYERS = ["none", "WN", "WS+GN-8", "MABN", "BKN", "WN+MBN"]  # which the first table lacks


def measured(name: str, text: str, amp: str, way: str, device: str) -> Row:
    """Return the time of a step and its memory, without loading."""
    small = device == "cpu"
    size = {"first_channels": 8, "depth": 1} if small else {"first_channels": 16, "depth": 3}
    network = build_network(name, in_channels=1, out_channels=1, seed=0, **size)
    apply_norm_map(network, {"*": text})
    images = torch.randn((SMALL if small else SHAPES)[name]).to(device)
    batches = itertools.repeat((images, (images > 0.5).float()))
    plan = Plan(samples=10**6, evaluations=1, learning_rate=1e-3, amp=amp)
    stepper = Stepper(network.to(device).train(), bce_dice_loss, plan, device)
    step = partial(stepper.step, batches, 0.0)
    with kernels_of("triton" if way == "triton" else "torch"):
        on_device, on_host = timed(step, device, 3 if small else 20)
        extra = None if small else peak(step)
    return {
        "ms": round(on_device, 3),
        "host ms": round(on_host, 3),
        "MiB": extra and round(extra / 2**20),
    }


def measure(device: str) -> Iterator[Row]:
    """Yield the rows of the table; on the CPU, of a rehearsal."""
    specs = ["SN"] if device == "cpu" else [*texts(), *AFTER_LAYERS]
    for name, amp in itertools.product(SHAPES, ("off", "bfloat16")):
        for text in dict.fromkeys(specs):
            adaptive = device != "cpu" and text.partition("-")[0] in TRITON
            for way in ("eager", "triton") if adaptive else ("eager",):
                names: Row = {"network": name, "norm": text, "amp": amp, "way": way}
                yield row(names, partial(measured, name, text, amp, way, device))
