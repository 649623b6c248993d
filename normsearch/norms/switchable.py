"""Switchable Normalization (Luo et al., ICLR 2019), written from the formula."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from normsearch.errors import NormError
from normsearch.norms.base import RunningMomentNorm
from normsearch.norms.batch_moments import is_shared, pool_batch
from normsearch.norms.compiled import SOFTMAX, Recipe
from normsearch.norms.moments import Affine, Moments, Pullback, pool

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
    softmax = True  # whether `shares` is a softmax of the logits

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

    def shares(self, logits: Tensor, with_batch: bool | Tensor) -> Tensor:
        """Return the weights, (3,) in the order of BRANCHES; 0 for an omitted BN branch."""
        if with_batch is True:
            return logits.softmax(0)
        without = pad(logits[:-1].softmax(0), (0, 1))
        return (
            without if with_batch is False else torch.where(with_batch, logits.softmax(0), without)
        )

    def coefficients(self, moments: Moments, pixels: int) -> Affine:
        if self.official:
            moments = _unbiased(moments, pixels)
        return self._by_hand(moments, pixels)[0]

    def linearize(self, moments: Moments, pixels: int) -> tuple[Affine, Pullback]:
        if self.official or not self.softmax or (self.training and is_shared(self.sync)):
            return super().linearize(moments, pixels)  # `_by_hand` is for plain SN only
        return self._by_hand(moments, pixels)

    def recipe(self, samples: int, pixels: int) -> Recipe | None:
        if self.official or (self.training and is_shared(self.sync)):
            return None
        pools = (1, 1), (1, self.channels)
        if not self.training:
            shares, gate = self._gated(self._seen())
            made = Recipe((*pools, (0, 1)), *shares, gate=gate)
            return made._replace(given=self.running(), seen=self.num_batches_tracked)
        with_batch = samples > 1
        shares, gate = self._gated(with_batch)
        if not with_batch:
            return Recipe(pools, *shares, gate=gate)
        return Recipe((*pools, (samples, 1)), *shares, gate=gate, track=self.tracking())

    def _gated(self, with_batch: bool | Tensor) -> tuple[tuple[Tensor, Tensor], int]:
        """Return what the kernels compute the weights of means and variances from, and how."""
        return (self.mean_logits, self.variance_logits), SOFTMAX

    def _by_hand(self, moments: Moments, pixels: int) -> tuple[Affine, Pullback]:
        layer = pool(moments, 1)
        batch, with_batch = self._batch(moments, pixels)
        w = self.shares(self.mean_logits, with_batch)
        v = self.shares(self.variance_logits, with_batch)
        _, w_layer, w_batch = w.unbind()
        v_instance, v_layer, v_batch = v.unbind()
        # Distances of the channel's mean from the other means; that from IN's own mean is 0.
        distances = moments.mean - layer.mean, moments.mean - batch.mean
        away = torch.addcmul(distances[0] * w_layer, distances[1], w_batch)
        variance = torch.addcmul(v_layer * layer.variance, batch.variance, v_batch)
        scale = torch.rsqrt(torch.addcmul(variance, moments.variance, v_instance) + self.eps)
        variances, training = (moments.variance, layer.variance, batch.variance), self.training

        def pullback(gradient: Affine) -> tuple[Moments, tuple[Tensor, ...]]:
            d_away = gradient.shift * scale
            d_mixed = torch.addcmul(gradient.scale, gradient.shift, away)
            d_mixed = d_mixed.mul_(scale).mul_(scale).mul_(scale).mul_(-0.5)
            d_mean, d_variance = d_away * (w_layer + w_batch), d_mixed * v_instance
            pooled = [(1, w_layer, v_layer, distances[0]), (0, w_batch, v_batch, distances[1])]
            for axis, w_part, v_part, distance in pooled if training else pooled[:1]:
                through = v_part * d_mixed.mean(axis, keepdim=True)
                d_variance += through
                d_mean.addcmul_(distance, through, value=2)
                d_mean.addcmul_(w_part, d_away.mean(axis, keepdim=True), value=-1)
            return Moments(d_mean, d_variance), _gates_pullback(
                torch.stack((w, v)), d_away, d_mixed, distances, variances
            )

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
        seen = self._seen()
        logits = {"mean": self.mean_logits, "variance": self.variance_logits}
        return {
            name: dict(zip(BRANCHES, self.shares(values, seen).tolist(), strict=True))
            for name, values in logits.items()
        }


def _unbiased(moments: Moments, pixels: int) -> Moments:
    if pixels < 2:
        raise NormError("SN(official=true) needs more than one pixel, got 1; use SN")
    return Moments(moments.mean, moments.variance * (pixels / (pixels - 1)))


def _gates_pullback(
    shares: Tensor,
    d_away: Tensor,
    d_mixed: Tensor,
    distances: tuple[Tensor, Tensor],
    variances: tuple[Tensor, Tensor, Tensor],
) -> tuple[Tensor, ...]:
    """Return the gradients of the logits: sums over (N, C), then the pullback of the softmax."""
    parts = [d_away * distance for distance in distances]
    parts += [d_mixed * variance for variance in variances]
    d_shares = torch.stack((torch.zeros_like(d_away), *parts)).sum((1, 2)).view(2, 3)
    weighted = d_shares * shares
    return torch.addcmul(weighted, shares, weighted.sum(1, keepdim=True), value=-1).unbind()
