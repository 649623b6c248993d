"""Sparse Switchable Normalization (Shao et al., CVPR 2019), from the formulas."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from normsearch.norms.compiled import SPARSEST
from normsearch.norms.kernels import use_triton
from normsearch.norms.moments import full
from normsearch.norms.sparsest_max import corner_distance, sparsest_max
from normsearch.norms.switchable import BRANCHES, SwitchableNorm


class SparseSwitchableNorm(SwitchableNorm):
    """SSN: SN with SparsestMax instead of the softmax; the weights are one-hot when training ends.

    The radius of SparsestMax is the fraction of training done, given to `set_progress`; initially
    it is 0, which is sparsemax. From 0.82 on every weight vector is one-hot. A one-hot vector is
    frozen: later changes of its logits have no effect. Radius and choices are buffers in the
    state_dict. A batch of one is treated as in SN, with SparsestMax of IN and LN.

    Shape: (N, C, *spatial) -> the same.
    """

    spec_text = "SSN"
    radius: Tensor
    choices: Tensor
    places: Tensor

    def __init__(
        self, channels: int, dims: int, eps: float = 1e-5, momentum: float | None = 0.1
    ) -> None:
        super().__init__(channels, dims, eps, momentum)
        self.register_buffer("radius", torch.tensor(0.0))
        self.register_buffer(
            "choices", torch.full((2,), -1, dtype=torch.long)
        )  # -1: not yet frozen
        self.register_buffer("places", torch.arange(len(BRANCHES)), persistent=False)

    @torch.no_grad()
    def set_progress(self, fraction: float) -> None:
        """Set the fraction of training that is done, 0 to 1, and freeze one-hot weights."""
        self.radius.fill_(fraction)
        # As in `shares`, but with few operations: one-hot from the distance of the corners on, or
        # where one logit leads by 1.
        seen = self.num_batches_tracked > 0
        logits = torch.stack((self.mean_logits, self.variance_logits))
        logits[:, -1].masked_fill_(~seen, -torch.inf)
        ordered, order = logits.sort(stable=True, dim=1, descending=True)
        corner = torch.where(seen, corner_distance(3), corner_distance(2))
        settled = (ordered[:, 0] - ordered[:, 1] >= 1) | (self.radius >= corner)
        settled &= self.choices < 0
        self.choices.copy_(torch.where(settled, order[:, 0], self.choices))

    def mix(self, logits: Tensor) -> Tensor:
        # A lead of more than 1 is one-hot, without a gradient.
        frozen = self.choices[:, None] == self.places[: logits.shape[1]]
        return sparsest_max(full(logits).add(frozen, alpha=1e6), self.radius)

    def gating(self, samples: int) -> dict[str, Any]:
        if use_triton():  # it has no SparsestMax
            means, variances = self.shares(self.with_batch(samples))
            return {"shares": means, "variance_shares": variances}
        sparsest = self.radius.item(), *self.choices.tolist()
        return {**super().gating(samples), "gate": SPARSEST, "sparsest": sparsest}
