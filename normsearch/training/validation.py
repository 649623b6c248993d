"""Scores whole validation cases: small ones in joint passes, large ones by sliding window."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from normsearch.training.acceleration import to_device
from normsearch.training.metrics import Score

VOXELS_AT_ONCE = 2**20  # one slab of 16 x 256 x 256, or 16 such slices
_OVERLAP = 0.5  # of neighbouring windows along each axis


class ValidationCase(NamedTuple):
    """A case to score.

    Attributes:
        samples: images of all samples, (S, C, *spatial).
        truth: in the form that the score takes, or a function that reads it once it is needed.
        restore: converts the logits of all samples to the order and grid of the truth; None if each
            sample is a slice or an image of the truth.
        window: the spatial sides of the network's inputs; those of the samples if None.
        spacing: mm per voxel along z, y and x of the truth, NaN if unknown; None if not given.
    """

    samples: Tensor
    truth: Tensor | Callable[[], Tensor]
    restore: Callable[[Tensor], Tensor] | None = None
    window: tuple[int, ...] | None = None
    spacing: tuple[float, ...] | None = None

    @property
    def whole(self) -> bool:
        """Whether each sample is one window."""
        return self.window in (None, tuple(self.samples.shape[2:]))


Validation = Mapping[str, ValidationCase | tuple[Tensor, Tensor]]
"""The cases by their ids; a pair is samples and truth."""

Value = TypeVar("Value", covariant=True)


class OnAccess(Mapping[str, Value]):
    """A mapping that builds a value each time that it is asked for, and keeps none.

    Args:
        names: the keys, in their order.
        build: returns the value of a key.
    """

    def __init__(self, names: Iterable[str], build: Callable[[str], Value]) -> None:
        self._names, self._build = dict.fromkeys(names), build

    def __getitem__(self, name: str) -> Value:
        if name not in self._names:
            raise KeyError(name)
        return self._build(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@torch.no_grad()
def score_cases(
    network: nn.Module, validation: Validation, score: Score, *, device: str = "cpu"
) -> dict[str, dict[str, float]]:
    """Return the results of `score` by case; `network` is in eval mode afterwards.

    Each case is asked for once. One that is larger than a joint pass is in memory alone.

    Args:
        network: maps (S, C, *spatial) to logits (S, K, ...), each sample independently.
        validation: the cases.
        score: from a case's logits (float32), truth on the same device, and spacing.
        device: the device of the network.
    """
    network.eval()
    found: dict[str, dict[str, float]] = {}
    for group in _groups(validation):
        found |= _scored(network, group, score, device)
    return found


def _scored(
    network: nn.Module, group: dict[str, ValidationCase], score: Score, device: str
) -> dict[str, dict[str, float]]:
    """Return the results of a group, and empty it: nothing stays while the next one is read."""
    sizes, found = [len(case.samples) for case in group.values()], {}
    logits = _logits(network, group, device)
    rest = [(name, *case[1:]) for name, case in group.items()]
    group.clear()  # the images are no longer needed
    for (name, truth, restore, _, spacing), own in zip(
        rest, torch.split(logits, sizes), strict=True
    ):
        whole = restore(own) if restore else own
        known = truth() if callable(truth) else truth
        found[name] = score(whole, known.to(whole.device), spacing)
    return found


def _logits(network: nn.Module, group: Mapping[str, ValidationCase], device: str) -> Tensor:
    """Return the logits of all samples of a group."""
    inputs = [case.samples for case in group.values()]
    images = torch.cat(inputs) if len(inputs) > 1 else inputs[0]
    return window_logits(network, images, next(iter(group.values())).window, device)


def window_logits(
    network: nn.Module,
    samples: Tensor,
    window: tuple[int, ...] | None,
    device: str,
    gathered_on: str | None = None,
    *,
    overlap: float = _OVERLAP,
) -> Tensor:
    """Return the logits (S, K, *spatial) of samples, in float32.

    Larger samples are processed by MONAI's sliding window, with Gaussian weights; their logits are
    on the CPU.

    Args:
        network: in eval mode.
        samples: (S, C, *spatial), with spatial sides of at least the window.
        window: the spatial sides of the network's inputs; those of the samples if None.
        device: the device of the network.
        gathered_on: the device of the logits; `device` if None.
        overlap: of neighbouring windows, as a share; with 0 they are tiles, and weights are equal.
    """
    if window is None or tuple(samples.shape[2:]) == tuple(window):
        parts = torch.split(samples, _samples_at_once(samples.shape[2:]))
        target = gathered_on or device
        return torch.cat([network(to_device(part, device)).float().to(target) for part in parts])
    from monai.inferers.utils import sliding_window_inference

    at_once = _samples_at_once(torch.Size(window))
    found: list[Tensor] = []
    for part in torch.split(samples, at_once):
        logits: Any = sliding_window_inference(
            part, window, at_once, network, overlap, mode="gaussian" if overlap else "constant",
            sw_device=device, device="cpu",
        )  # fmt: skip
        found.append(logits.float())
    return torch.cat(found) if len(found) > 1 else found[0]


def _groups(validation: Validation) -> Iterator[dict[str, ValidationCase]]:
    """Yield groups of consecutive cases of one shape for a joint pass, or single cases.

    A case is asked for only when those before it leave room.
    """
    group = dict[str, ValidationCase]()
    for name in validation:
        case = ValidationCase(*validation[name])
        if group and not _joins(case, group):
            yield group
            group = {}
        group[name] = case
        large = len(case.samples) >= _samples_at_once(case.samples.shape[2:])
        del case  # the group alone holds it, and may let go of it
        if large:
            yield group
            group = {}
    if group:
        yield group


def _joins(case: ValidationCase, group: Mapping[str, ValidationCase]) -> bool:
    """Return whether a case has the shape of a group, and room in its pass."""
    first = next(iter(group.values()))
    together = sum(len(one.samples) for one in group.values()) + len(case.samples)
    alike = case.samples.shape[1:] == first.samples.shape[1:] and case.whole and first.whole
    return alike and together <= _samples_at_once(case.samples.shape[2:])


def _samples_at_once(sides: torch.Size) -> int:
    return max(1, VOXELS_AT_ONCE // sides.numel())


def count_windows(sides: Sequence[int], window: Sequence[int]) -> int:
    """Return the number of windows that slide over a sample, as `window_logits` places them.

    Args:
        sides: the spatial sides of the sample.
        window: the spatial sides of the network's inputs.
    """
    steps = (max(int(own * (1 - _OVERLAP)), 1) for own in window)
    each = zip(sides, window, steps, strict=True)
    return math.prod(1 + -(-max(side - own, 0) // step) for side, own, step in each)
