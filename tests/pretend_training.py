"""Trains on a pretend device, and prints as JSON how each case differs from the CPU.

    python -m tests.pretend_training

A process of its own for test_pretend_device.py, as torch learns of a device once.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from normsearch.networks import apply_norm_map, build_network, list_norms, mix_norms
from normsearch.norms import (
    SwitchableNorm,
    build_norm,
    clamp_gates,
    initialize_weight_norms,
    norms_to_update,
    set_progress,
)
from normsearch.norms.batch_renorm import BatchRenorm
from normsearch.training import (
    Evaluation,
    Plan,
    bce_dice_loss,
    load_checkpoint,
    probe_memory,
    save_checkpoint,
    train,
    window_logits,
)
from normsearch.trials.training import learnt, parameter_groups
from tests.pretend_device import NAME, READS, on_cpu, pretend_device

SIDES = {"unet2d": (16, 16), "res_unet3d": (8, 8, 8)}
DEPTH = {"unet2d": 3, "res_unet3d": 2}  # 17 slots, and 10
PLAN = Plan(samples=8, evaluations=2, learning_rate=0.05, statistics_samples=4)


class Noise:
    """Batches of noise, and where it is high as the label."""

    batch_size = 4

    def __init__(self, sides: tuple[int, ...]) -> None:
        self.sides = sides

    def batches(self, start_sample: int) -> Iterator[tuple[Tensor, Tensor]]:
        for seed in itertools.count(start_sample, 4):
            generator = torch.Generator().manual_seed(seed)
            images = torch.randn(4, 1, *self.sides, generator=generator)
            yield images, (images > 0.5).float()


def network_of(name: str, specs: list[str]) -> nn.Module:
    """A network with these specs in its slots, in turn."""
    network = build_network(
        name, in_channels=1, out_channels=1, first_channels=8, depth=DEPTH[name], seed=0
    )
    slots = [slot.name for slot in list_norms(network)]
    assert len(slots) >= len(specs)
    if specs == ["mixed"]:
        half = len(slots) // 2
        mixtures = {tuple(slots[:half]): ("BN", "GN-4", "SN"), tuple(slots[half:]): ("IN", "BIN")}
        mix_norms(network, mixtures, sparse=False)
    else:
        apply_norm_map(network, dict(zip(slots, itertools.cycle(specs), strict=False)))
    return network


def trained(
    name: str, specs: list[str], device: str, folder: Path, state: dict[str, Any] | None = None
) -> tuple[nn.Module, list[Evaluation]]:
    """What a trial does: probe, first weights, steps, evaluations, checkpoints."""
    torch.manual_seed(0)
    network, noise = network_of(name, specs), Noise(SIDES[name])
    if device != "cpu":
        probe_memory(network, next(noise.batches(0)), bce_dice_loss, device, PLAN)
    if state is None:
        network.to(device)
        initialize_weight_norms(network, next(noise.batches(0))[0].to(device))
    norms = norms_to_update(network)
    found = train(
        network,
        noise,
        {"a": next(noise.batches(1000)), "b": next(noise.batches(2000))},
        PLAN,
        parameter_groups=parameter_groups(network, 0.5),
        after_step=lambda: clamp_gates(norms),
        on_progress=lambda share: set_progress(norms, share),
        state=state,
        save=lambda s: save_checkpoint(folder / f"{len(s['history'])}.pt", on_cpu(s)),
        device=device,
    )
    return network, list(found)


def numbers(found: list[Evaluation]) -> list[tuple[float, float, dict[str, float]]]:
    return [(one.loss, one.score, one.cases) for one in found]


def unlike(network: nn.Module, other: nn.Module) -> list[str]:
    """Which of the weights and buffers of a network on the device are not those of the other."""
    state = on_cpu(network.state_dict())
    return [name for name, value in other.state_dict().items() if not value.equal(state[name])]


def elsewhere(network: nn.Module) -> list[str]:
    """What of a network is not on the device."""
    tensors = [*network.named_parameters(), *network.named_buffers()]
    return [name for name, value in tensors if value.device.type != NAME]


def passes(norm: nn.Module, x: Tensor, device: str) -> list[Tensor]:
    """Two outputs of training, the gradients of the second, the output of eval, the buffers."""
    norm, x = norm.to(device).train(), x.detach().to(device).requires_grad_()
    first, second = norm(x), norm(2 * x)
    second.backward(torch.ones_like(second))
    gradients = [parameter.grad for parameter in norm.parameters()]
    outputs = [first, second, x.grad, *gradients, norm.eval()(x), *norm.buffers()]
    found: list[Tensor] = on_cpu([one.detach() for one in outputs if one is not None])
    return found


def of_norm(text: str) -> list[str]:
    """What differs in the passes of a norm, and what the host reads in them."""
    wrong = []
    for dims in (2, 3):
        x = torch.randn(4, 16, *(5, 7, 3)[:dims])
        wanted = passes(build_norm(text, 16, dims), x, "cpu")
        with pretend_device() as device:
            found = passes(build_norm(text, 16, dims), x, device)
        if not all(one.equal(two) for one, two in zip(found, wanted, strict=True)):
            wrong.append(f"{dims}D: other numbers")
        wrong += [f"{dims}D: reads at {line}" for line in READS]
    return wrong


def of_training(name: str, specs: list[str]) -> list[str]:
    """What differs in a training, its resumption and its predictions."""
    with tempfile.TemporaryDirectory() as made, torch.no_grad():
        folder, images = Path(made), next(Noise(SIDES[name]).batches(7))[0]
        with torch.enable_grad():
            other, wanted = trained(name, specs, "cpu", folder)
        weights = learnt(other)
        with pretend_device() as device, torch.enable_grad():
            network, found = trained(name, specs, device, folder)
            reads = sum(n for line, n in READS.items() if line.startswith("training/engine"))
            state = load_checkpoint(folder / "1.pt")
            again, more = trained(name, specs, device, folder, state)
            told = learnt(network)
        with pretend_device() as device:
            logits = on_cpu(window_logits(network.eval(), images, SIDES[name], device))
        differences = {
            "scores": numbers(found) != numbers(wanted),
            "scores of a resumed training": numbers(more) != numbers(wanted),
            "weights": unlike(network, other),
            "weights of a resumed training": unlike(again, other),
            "left on the CPU": elsewhere(network),
            "mixing weights": told != weights,
            "logits": not logits.equal(window_logits(other.eval(), images, SIDES[name], "cpu")),
            "reads beside the loss once an evaluation": max(0, reads - 2),
        }
    return [f"{what}: {value}" for what, value in differences.items() if value]


def constant_on_the_cpu() -> list[str]:
    """What is found where a norm computes with a tensor on the CPU."""
    limits = torch.full((16,), 3.0), torch.full((16,), 5.0)
    with patch.object(BatchRenorm, "limits", lambda self: limits):
        return of_norm("BRN")


def read_by_the_host() -> list[str]:
    """What is found where a norm reads a number in its forward pass."""

    def seen(self: SwitchableNorm) -> bool:
        return float(self.num_batches_tracked) > 0

    with patch.object(SwitchableNorm, "_seen", seen):
        return of_norm("SN")


def main() -> None:
    """Read the cases as JSON from stdin: norms, and pairs of a network and specs."""
    asked = json.load(sys.stdin)
    os.environ["NORMSEARCH_KERNELS"] = "torch"  # what the CPU computes as a GPU does
    torch.set_num_threads(1)
    cases: dict[str, Callable[[], list[str]]] = {
        "constant on the CPU": constant_on_the_cpu,
        "read by the host": read_by_the_host,
        **{text: partial(of_norm, text) for text in asked["norms"]},
        **{label: partial(of_training, *what) for label, what in asked["trainings"].items()},
    }
    found = {}
    for label, case in cases.items():
        try:
            found[label] = case()
        except RuntimeError as error:  # of the device, or of torch
            found[label] = [str(error)]
    print(json.dumps(found), flush=True)
    os._exit(0)  # torch does not end the thread that it keeps for a device of Python


if __name__ == "__main__":
    main()
