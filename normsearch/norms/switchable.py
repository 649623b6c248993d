"""Switchable Normalization (Luo et al., ICLR 2019), written from the formula."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from normsearch.norms.base import RunningMomentNorm
from normsearch.norms.batch_moments import is_shared, pool_batch
from normsearch.norms.compiled import SOFTMAX, Recipe, Running
from normsearch.norms.mixtures import mix_moments, through_gates
from normsearch.norms.moments import Affine, Moments, Pullback, apart, pool

BRANCHES = ("IN", "LN", "BN")
Pools: TypeAlias = tuple[Moments, Moments, Moments]  # (N, C), (N, 1) and (1, C)


class SwitchableNorm(RunningMomentNorm):
    """SN: x̂ = (x − Σ w_k μ_k) / sqrt(Σ w'_k σ²_k + eps) over k in IN, LN, BN; then γ and β.

    w and w' are separate softmaxes of logits that are initially 1. All variances are biased, also
    the running variance, which is initially 1; in all three, OfficialSwitchableNorm differs.

    For a batch of one, training omits the BN branch: the softmax is over IN and LN alone, and the
    running moments are not updated. Eval omits the branch if no batch of two or more was tracked
    (`num_batches_tracked` is 0), so that a network trained at batch 1 computes the same in eval.

    Args:
        sync: compute the BN branch over the batch of all processes of torch.distributed, weighted
            by their counts.

    Shape: (N, C, *spatial) -> the same. For one pixel the IN variance is 0.
    """

    spec_text, shared_text = "SN", "SN(sync=true)"

    def __init__(
        self,
        channels: int,
        dims: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        sync: bool = False,
    ) -> None:
        super().__init__(channels, dims, eps, momentum)
        self.sync = sync
        if sync:
            self.spec_text = self.shared_text
        self.reset_running_stats()
        self.mean_logits = nn.Parameter(torch.ones(len(BRANCHES)))
        self.variance_logits = nn.Parameter(torch.ones(len(BRANCHES)))

    def shares(self, with_batch: bool | Tensor) -> Tensor:
        """Return the weights of means and of variances, (2, 3), in the order of BRANCHES.

        That of an omitted BN branch is 0.
        """
        logits = torch.stack((self.mean_logits, self.variance_logits))
        if with_batch is True:
            return self.mix(logits)
        two = pad(self.mix(logits[:, :-1]), (0, 1))
        return two if with_batch is False else torch.where(with_batch, self.mix(logits), two)

    def mix(self, logits: Tensor) -> Tensor:
        """Return the weights of two rows of logits, (2, 2) for IN and LN or (2, 3)."""
        return logits.softmax(1)

    def coefficients(self, moments: Moments, pixels: int) -> Affine:
        shares = self.shares(self.with_batch(moments.mean.shape[0]))
        return mix_moments(self.pools(moments, pixels), shares, 2, self.eps)[0]

    def linearize(self, moments: Moments, pixels: int) -> tuple[Affine, Pullback]:
        if self.by_autograd_alone():
            return super().linearize(moments, pixels)
        made = partial(self.shares, self.with_batch(moments.mean.shape[0]))
        shares, pull_gates = apart(made, self.gates())
        mixed = mix_moments(self.pools(moments, pixels), shares, 1 + self.training, self.eps)
        return through_gates(mixed, pull_gates)

    def recipe(self, samples: int, pixels: int) -> Recipe | None:
        if self.by_autograd_alone():
            return None
        block = samples if self.training else 0
        batch: tuple[tuple[int, int], ...] = () if block == 1 else ((block, 1),)
        pools, running = ((1, 1), (1, self.channels), *batch), Running.of(self) if batch else None
        seen = None if self.training else self.num_batches_tracked
        return Recipe(pools, running=running, seen=seen, **self.gating(samples))

    def gating(self, samples: int) -> dict[str, Any]:
        """Return the fields of the recipe for the weights of means and variances."""
        logits = {"shares": self.mean_logits, "variance_shares": self.variance_logits}
        return {**logits, "gate": SOFTMAX}

    def pools(self, moments: Moments, pixels: int) -> Pools:
        """Return the moments of BRANCHES; those of BN are tracked in training."""
        batch = pool_batch(moments, pixels, self.sync)[0] if self.training else self.running()
        if self.training and self.with_batch(moments.mean.shape[0]):
            self.track(*batch)
        return moments, pool(moments, 1), batch

    def with_batch(self, samples: int) -> bool | Tensor:
        """Return whether there is a BN branch, in eval a tensor: reading it would stop a GPU."""
        return samples > 1 or is_shared(self.sync) if self.training else self._seen()

    def _seen(self) -> bool | Tensor:
        return self.num_batches_tracked > 0

    def gates(self) -> list[nn.Parameter]:
        return [self.mean_logits, self.variance_logits]

    @torch.no_grad()
    def mixing_weights(self) -> dict[str, dict[str, float]]:
        """Return the weights of eval; that of BN is 0 if no batch of two or more was tracked."""
        rows = self.shares(self._seen()).tolist()
        means, variances = (dict(zip(BRANCHES, row, strict=True)) for row in rows)
        return {"mean": means, "variance": variances}
