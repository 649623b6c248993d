"""Chooses the size of patches by the memory that a training step may take.

The memory is estimated: what one step keeps for its backward pass is counted on the CPU for two
small inputs. It grows in proportion to the voxels of a batch, on every device alike.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from normsearch.config import SpaceConfig, StudyConfig, TaskConfig
from normsearch.config.reading import validate
from normsearch.data import Case
from normsearch.errors import ConfigError, NetworkError, NormError
from normsearch.networks import apply_norm_map, use_checkpointing
from normsearch.networks.checkpointing import kept_storages
from normsearch.networks.outputs import scales
from normsearch.training.precision import autocast
from normsearch.trials.network_memory import check_weights
from normsearch.trials.trial_network import build_trial_network
from normsearch.trials.validation_cost import batch_sizes

_GIB, _USUAL, _USUAL_BATCH = 2**30, 8.0, 2  # GiB and a batch, as in nnU-Net
_COPIES = 4  # of weights: themselves, their gradients, and two of the optimizer
_TRANSIENT = 4  # largest tensors that the backward pass holds besides what was kept
_MARGIN = 1.2  # for what libraries allocate: measured steps took 0.8 to 1 of the estimate
_LARGEST_STEP = 128  # what the sides of a patch may have to be multiples of


@dataclass(frozen=True)
class StepMemory:
    """The memory of a training step in bytes: `fixed`, and `each` voxel of a batch."""

    fixed: float
    each: float

    def of(self, batch: int, size: Sequence[int]) -> float:
        """Return the bytes of a step with a batch of patches of this size."""
        return self.fixed + self.each * batch * math.prod(size)


def with_patch_size(config: StudyConfig, cases: Sequence[Case]) -> tuple[StudyConfig, list[str]]:
    """Return the study with a size in place of `task.size: auto`, and a sentence on the choice.

    The size is the largest of the median image's proportions, with sides that the network accepts,
    whose training step is estimated to fit into `task.memory`; at most the median image itself.

    Args:
        config: the study.
        cases: its training cases.

    Raises:
        ConfigError: no size fits, or the network accepts none.
    """
    task = config.task
    if task.size != "auto":
        return config, []
    if config.trainer:
        raise ConfigError(
            "task.size: must be given for a training loop of your own, whose network is not known, "
            "got auto"
        )
    channels = cases[0].image.shape[1]
    check_weights(config, channels)
    network = build_trial_network(config.network, channels, task.outputs)
    if config.training.checkpointing:
        use_checkpointing(network)
    axes = 3 if any(isinstance(module, nn.Conv3d) for module in network.modules()) else 2
    sides = zip(*((len(case.image), *case.image.shape[2:]) for case in cases), strict=True)
    median = [int(statistics.median(each)) for each in sides][-axes:]
    batch = max(batch_sizes(config), default=_USUAL_BATCH)
    limit = (task.memory or _USUAL) * _GIB
    step = size_step(network, channels, axes)
    memory = heaviest_step(config, network, channels, step, axes)
    size = largest_size(median, step, memory, batch, limit)
    told = (
        f"task.size: auto chose patches of {_text(size)}, for a median image of {_text(median)}; a "
        f"step of {batch} takes an estimated {memory.of(batch, size) / _GIB:.2g} GiB of the "
        f"{limit / _GIB:g} GiB of task.memory"
    )
    new = validate(TaskConfig, {**task.model_dump(), "size": size}, "task")
    return config.model_copy(update={"task": new}), [told]


def largest_size(
    median: Sequence[int], step: int, memory: StepMemory, batch: int, limit: float
) -> tuple[int, ...]:
    """Return the largest size that fits: from the median image on, the longest side is reduced.

    The longest side is meant relative to the median image, so that proportions stay.

    Args:
        median: the median sides of the images.
        step: what sides must be multiples of.
        memory: of a training step.
        batch: patches in a batch.
        limit: in bytes.

    Raises:
        ConfigError: not even the smallest size fits.
    """
    size = [-(-side // step) * step for side in median]
    while memory.of(batch, size) > limit:
        longest = max(
            (axis for axis in range(len(size)) if size[axis] > step),
            key=lambda axis: size[axis] / median[axis],
            default=None,
        )
        if longest is None:
            raise ConfigError(
                f"task.memory: must hold a training step of {batch} patches of {_text(size)}, the "
                f"smallest, which takes an estimated {memory.of(batch, size) / _GIB:.2g} GiB, got "
                f"{limit / _GIB:g}; raise it, or choose a smaller network or batch size"
            )
        size[longest] -= step
    return tuple(size)


def size_step(network: nn.Module, channels: int, axes: int) -> int:
    """Return the smallest power of two whose multiples a network accepts as sides of its input.

    Raises:
        ConfigError: there is none up to 128.
    """
    network = network.eval()
    step = 1
    while step <= _LARGEST_STEP:
        long, short = (next(_odd_multiples(step, least)) for least in (24, 8))
        sides = (long, *(short for _ in range(axes - 1)))
        if _accepts(network, torch.zeros(1, channels, *sides)):
            return step
        step *= 2
    raise ConfigError(
        f"task.size: must be given for {type(network).__name__}, which accepts no multiple of a "
        f"power of two up to {_LARGEST_STEP}, got auto"
    )


def _odd_multiples(step: int, least: int) -> Iterator[int]:
    return (step * odd for odd in range(1, 2 * least, 2) if step * odd >= least)


@torch.no_grad()
def _accepts(network: nn.Module, images: Tensor) -> bool:
    try:
        found = network(images)
    # Foreign code may raise anything for a size that it does not accept.
    except Exception:  # noqa: BLE001
        return False
    return isinstance(found, Tensor) and found.shape[2:] == images.shape[2:]


def heaviest_step(
    config: StudyConfig, network: nn.Module, channels: int, step: int, axes: int
) -> StepMemory:
    """Return the memory of a step with the norm of the study's space that takes most."""
    norms = config.space.norm if isinstance(config.space, SpaceConfig) else None
    specs = (
        {*norms.choices, *(one for own in norms.by_slot.values() for one in own)} if norms else ()
    )
    short = step * -(-8 // step)  # small, and not a single voxel at the bottom of the network
    rest = [short] * (axes - 1)
    shapes = [(1, channels, short * long, *rest) for long in (2, 4)]
    found = [step_memory(network, shapes, config.training.amp)]
    for spec in sorted(specs):
        other = deepcopy(network)
        with suppress(NormError):  # it does not fit every slot, as GN without a number
            apply_norm_map(other, {"*": spec})
            found.append(step_memory(other, shapes, config.training.amp))
    return max(found, key=lambda one: one.each)


def step_memory(network: nn.Module, shapes: Sequence[Sequence[int]], amp: str) -> StepMemory:
    """Estimate the memory of a training step from two inputs of different sizes.

    Counted are the tensors that the forward pass keeps for the backward pass, each once, and four
    times the largest of them for the backward pass itself, with a fifth more for what libraries
    allocate; and four copies of the weights.

    Args:
        network: on the CPU.
        shapes: of the two inputs, (B, C, *spatial).
        amp: name of the precision.
    """
    kept = [_kept_bytes(network, torch.zeros(*shape), amp) for shape in shapes]
    voxels = [shape[0] * math.prod(shape[2:]) for shape in shapes]
    each = _MARGIN * (kept[1] - kept[0]) / (voxels[1] - voxels[0])
    weights = sum(weight.numel() * weight.element_size() for weight in network.parameters())
    return StepMemory(_COPIES * weights + max(kept[0] - each * voxels[0], 0), each)


def _kept_bytes(network: nn.Module, images: Tensor, amp: str) -> float:
    """Return the bytes of a step's tensors, without weights."""
    precision = "off" if amp == "off" else "bfloat16"  # float16 takes as much, and needs a GPU

    def loss() -> Tensor:
        with autocast(precision, "cpu"):
            out = network.train()(images)
            found = scales(out, images.dim() - 2)
            if found is None:
                raise NetworkError(
                    f"{type(network).__name__}: must return logits, or a list of them at several "
                    f"scales, in training, got a {type(out).__name__}; turn other outputs off in "
                    "network.arguments, or wrap it"
                )
            parts = [logits.float().sigmoid().square().mean() for logits in found]
        return torch.stack(parts).sum()

    with torch.random.fork_rng(devices=[]):
        sizes = kept_storages(network, loss)
    return sum(sizes) + _TRANSIENT * max(sizes, default=0)


def _text(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))
