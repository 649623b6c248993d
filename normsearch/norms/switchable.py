"""Switchable Normalization (Luo et al., ICLR 2019), written from the formula."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from normsearch.errors import NormError
from normsearch.norms.base import RunningMomentNorm
from normsearch.norms.batch_moments import is_shared, pool_batch
from normsearch.norms.compiled import SOFTMAX, Recipe
from normsearch.norms.moments import Affine, Moments, Pullback, apart, pool

BRANCHES = ("IN", "LN", "BN")


class SwitchableNorm(RunningMomentNorm):
    """SN: x̂ = (x − Σ w_k μ_k) / sqrt(Σ w'_k σ²_k + eps) over k in IN, LN, BN; then γ and β.

    w and w' are separate softmaxes of logits that are initially 1. All variances are biased, also
    the running variance, which is initially 1 (the authors' code differs in these three points).

    For a batch of one, training omits the BN branch: the softmax is over IN and LN alone, and the
    running moments are not updated. Eval omits the branch if no batch of two or more was tracked
    (`num_batches_tracked` is 0), so that a network trained at batch 1 computes the same in eval.

    Args:
        official: as in the authors' code, all branches use the unbiased IN variance, the running
            variance is initially 0, and the BN branch is never omitted.
        sync: compute the BN branch over the batch of all processes of torch.distributed, weighted
            by their counts.

    Shape: (N, C, *spatial) -> the same. For one pixel the IN variance is 0.

    Raises:
        NormError: one pixel with `official`, whose variance is then undefined.
    """

    spec_text = "SN"

    def __init__(
        self,
        channels: int,
        dims: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        official: bool = False,
        sync: bool = False,
    ) -> None:
        super().__init__(channels, dims, eps, momentum)
        self.official = official
        self.sync = sync
        given = [f"{name}=true" for name in ("official", "sync") if getattr(self, name)]
        if given:
            self.spec_text = f"SN({','.join(given)})"
        self.reset_running_stats()
        self.mean_logits = nn.Parameter(torch.ones(len(BRANCHES)))
        self.variance_logits = nn.Parameter(torch.ones(len(BRANCHES)))

    def reset_running_stats(self) -> None:
        super().reset_running_stats()
        if self.official:
            self.running_var.zero_()

    def shares(self, with_batch: bool | Tensor) -> Tensor:
        """Return the weights of means and of variances, (2, 3), in the order of BRANCHES.

        That of an omitted BN branch is 0.
        """
        logits = torch.stack((self.mean_logits, self.variance_logits))
        if with_batch is True:
            return self.mix(logits)
        without = pad(self.mix(logits[:, :-1]), (0, 1))
        if with_batch is False:
            return without
        return torch.where(with_batch, self.mix(logits), without)

    def mix(self, logits: Tensor) -> Tensor:
        """Return the weights of two rows of logits, (2, 2) for IN and LN or (2, 3)."""
        return logits.softmax(1)

    def coefficients(self, moments: Moments, pixels: int) -> Affine:
        if self.official:
            moments = _unbiased(moments, pixels)
        batch, with_batch = self._batch(moments, pixels)
        return self._mixed(moments, batch, self.shares(with_batch))[0]

    def linearize(self, moments: Moments, pixels: int) -> tuple[Affine, Pullback]:
        if self.official or (self.training and is_shared(self.sync)):
            return super().linearize(moments, pixels)  # `_mixed` is for plain SN only
        batch, with_batch = self._batch(moments, pixels)
        shares, pull_gates = apart(partial(self.shares, with_batch), self.gates())
        affine, pull_back = self._mixed(moments, batch, shares)

        def pullback(gradient: Affine) -> tuple[Moments, tuple[Tensor | None, ...]]:
            d_moments, d_shares = pull_back(gradient)
            return d_moments, pull_gates(d_shares)

        return affine, pullback

    def recipe(self, samples: int, pixels: int) -> Recipe | None:
        if self.official or (self.training and is_shared(self.sync)):
            return None
        pools, running = ((1, 1), (1, self.channels)), None
        if samples > 1 or not self.training:
            pools, running = (*pools, (samples if self.training else 0, 1)), self.as_data()
        seen = None if self.training else self.num_batches_tracked
        return Recipe(pools, running=running, seen=seen, **self._gating(samples))

    def _gating(self, samples: int) -> dict[str, Any]:
        """Return the fields of the recipe for the weights of means and variances."""
        logits = {"shares": self.mean_logits, "variance_shares": self.variance_logits}
        return {**logits, "gate": SOFTMAX}

    def _mixed(
        self, moments: Moments, batch: Moments, shares: Tensor
    ) -> tuple[Affine, Callable[[Affine], tuple[Moments, Tensor]]]:
        """Return the affine map, and its pullback to the moments and the weights."""
        mean, layer, training = moments.mean, pool(moments, 1), self.training
        means, variances = (
            [own, *(values.expand_as(mean) for values in others)]
            for own, *others in zip(moments, layer, batch, strict=True)
        )
        distances = mean - torch.stack(means)  # from the means of IN (its own), LN and BN
        parts = torch.cat((distances, *(values[None] for values in variances)))
        parts = parts.view(2, 3, *mean.shape)
        weights = shares[..., None, None]
        away, mixed = (parts * weights).sum(1)
        scale = torch.rsqrt(mixed + self.eps)

        def pullback(gradient: Affine) -> tuple[Moments, Tensor]:
            d_away = gradient.shift * scale
            d_mixed = torch.addcmul(gradient.scale, gradient.shift, away) * scale.pow(3) * -0.5
            both = torch.stack((d_away, d_mixed))
            # Through the moments of LN, over channels, and of BN, over samples.
            through = [
                weights[:, k] * both.mean(axis, keepdim=True)
                for k, axis in ((1, 2), (2, 1))[: 1 + training]
            ]
            total = torch.addcmul(through[0], weights[:, 0], both)
            for part in through[1:]:
                total += part
            d_mean = d_away - total[0]
            for distance, part in zip(distances[1:], through, strict=False):
                d_mean.addcmul_(distance, part[1], value=2)
            return Moments(d_mean, total[1]), (parts * both[:, None]).sum((2, 3))

        return Affine(scale, away * scale), pullback

    def _batch(self, moments: Moments, pixels: int) -> tuple[Moments, bool | Tensor]:
        """Return the batch's moments (tracked) or the running ones, and whether to use them."""
        if not self.training:
            return self.running(), self._seen()
        batch, _ = pool_batch(moments, pixels, self.sync)
        with_batch = len(moments.mean) > 1 or self.official or is_shared(self.sync)
        if with_batch:
            self.track(batch.mean, batch.variance)
        return batch, with_batch

    def _seen(self) -> bool | Tensor:
        """Return whether eval has the BN branch, as a tensor to avoid a GPU synchronization."""
        return True if self.official else self.num_batches_tracked > 0

    def gates(self) -> list[nn.Parameter]:
        return [self.mean_logits, self.variance_logits]

    @torch.no_grad()
    def mixing_weights(self) -> dict[str, dict[str, float]]:
        """Return the weights of eval; that of BN is 0 if no batch of two or more was tracked."""
        rows = self.shares(self._seen()).tolist()
        return {
            name: dict(zip(BRANCHES, row, strict=True))
            for name, row in zip(("mean", "variance"), rows, strict=True)
        }


def _unbiased(moments: Moments, pixels: int) -> Moments:
    if pixels < 2:
        raise NormError("SN(official=true) needs more than one pixel, got 1; use SN")
    return Moments(moments.mean, moments.variance * (pixels / (pixels - 1)))
