"""One training step of the 3D res-u-net at 16 x 256 x 256, batch 1: seconds and peak memory.

Run as ``python -m tests.benchmarks.res_unet_step [SPEC...]`` for a table over all norms.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import torch

from normsearch.networks import ResUNet3d, use_checkpointing
from normsearch.training import Plan, bce_dice_loss
from normsearch.training.memory import peak_memory
from normsearch.training.optimizer_step import Stepper
from tests.specs import every_spec

SIZE = (16, 256, 256)
THREADS = 2


def measure(spec: str, checkpointing: bool) -> dict[str, float]:
    """Return seconds, peak (bytes, of the whole process) and loss of one step in a new process."""
    command = [sys.executable, "-m", __name__, "--step", spec, str(int(checkpointing))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def step(spec: str, checkpointing: bool) -> dict[str, float]:
    """Take the step in this process."""
    torch.set_num_threads(THREADS)
    network = ResUNet3d(norm=spec, seed=0)
    if checkpointing:
        use_checkpointing(network)
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 1, *SIZE, generator=generator)
    label = (torch.rand(1, 1, *SIZE, generator=generator) > 0.9).float()
    plan = Plan(samples=1, evaluations=1, learning_rate=5e-5, optimizer="adam")
    stepper = Stepper(network, bce_dice_loss, plan, "cpu")
    started = time.perf_counter()
    loss, _ = stepper.step(iter([(image, label)]), 0.0)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "peak": peak_memory("cpu"), "loss": loss.item()}


def main(specs: list[str]) -> None:
    """Print the table."""
    print(f"{'norm':<12} {'s':>6} {'GiB':>6} {'s, checkpointing':>18} {'GiB':>6}", flush=True)
    for spec in specs:
        cells = []
        for checkpointing in (False, True):
            found = measure(spec, checkpointing)
            width = 18 if checkpointing else 6
            cells.append(f"{found['seconds']:>{width}.1f} {found['peak'] / 2**30:>6.2f}")
        print(f"{spec:<12} {' '.join(cells)}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:
        print(json.dumps(step(sys.argv[2], sys.argv[3] == "1")))
    else:
        main(sys.argv[1:] or every_spec(groups=32))
