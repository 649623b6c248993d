"""Scores of validation cases, several small cases in one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from normsearch.training.metrics import Score

VOXELS_AT_ONCE = 2**20  # one slab of 16 x 256 x 256, or 16 such slices

Recompose = Callable[[Tensor, int], Tensor]
"""(logits of all samples of a case, len(truth)) -> logits in the order of the truth."""

Validation = Mapping[str, tuple[Tensor, Tensor]]
"""Samples' images (S, C, *spatial) and truth, by case."""


@torch.no_grad()
def score_cases(
    network: nn.Module,
    validation: Validation,
    score: Score,
    *,
    recompose: Recompose | None = None,
    device: str = "cpu",
) -> dict[str, dict[str, float]]:
    """Return what `score` says of each case's logits, by case; `network` is left in eval mode.

    Args:
        network: maps (S, C, *spatial) to logits (S, K, ...), each sample for itself.
        validation: the cases.
        score: of one case's logits, float32 on `device`, and its truth.
        recompose: puts the samples' logits together, where a sample is not a slice.
        device: where the network is.
    """
    network.eval()
    found = {}
    for names in _groups(validation):
        inputs = [validation[name][0] for name in names]
        images = torch.cat(inputs) if len(inputs) > 1 else inputs[0]
        parts = torch.split(images, _samples_at_once(images))
        logits = torch.cat([network(part.to(device)).float() for part in parts])
        for name, own in zip(names, torch.split(logits, [*map(len, inputs)]), strict=True):
            truth = validation[name][1]
            whole = recompose(own, len(truth)) if recompose else own
            found[name] = score(whole, truth.to(device))
    return found


def _groups(validation: Validation) -> Iterator[list[str]]:
    """Neighbouring cases of one shape that fit through the network together, or a single one."""
    group: list[str] = []
    for name, (images, _) in validation.items():
        if group:
            first = validation[group[0]][0]
            together = sum(len(validation[one][0]) for one in group) + len(images)
            if images.shape[1:] != first.shape[1:] or together > _samples_at_once(images):
                yield group
                group = []
        group.append(name)
    if group:
        yield group


def _samples_at_once(images: Tensor) -> int:
    return max(1, VOXELS_AT_ONCE // images.shape[2:].numel())
