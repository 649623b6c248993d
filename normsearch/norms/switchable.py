"""Switchable Normalization (Luo et al., ICLR 2019), written from the formula."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from normsearch.errors import NormError
from normsearch.norms.batch_moments import is_shared, pool_batch
from normsearch.norms.moments import Affine, Moments, RunningMomentNorm, pool

BRANCHES = ("IN", "LN", "BN")


class SwitchableNorm(RunningMomentNorm):
    """SN: x̂ = (x − Σ w_k μ_k) / sqrt(Σ w'_k σ²_k + eps) over k in IN, LN, BN; then γ and β.

    w and w' are separate softmaxes of logits that start at 1. All variances are biased, the
    running variance too, and it starts at 1 (the authors' code differs in these three).

    A batch of one has no batch moments of its own: in training the BN branch is then left out, its
    weight shared among IN and LN by the same softmax, and the running moments are not touched.
    Eval leaves the branch out as long as no batch of two or more was tracked
    (`num_batches_tracked` is 0), so a net trained at batch 1 computes the same in eval.

    Args:
        official: the habits of the authors' code: the unbiased IN variance feeds all three, the
            running variance starts at 0, and the BN branch is never left out.
        sync: the BN branch over the batch of all processes of torch.distributed, by count.

    Shape: (N, C, *spatial) -> the same. One pixel is no error: the IN variance is 0 there.

    Raises:
        NormError: one pixel with `official`, whose variance is not defined there.
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

    def shares(self, logits: Tensor, with_batch: bool | Tensor) -> Tensor:
        """The softmax of the logits, (3,) in the order of BRANCHES; 0 for a BN that is left out."""
        if with_batch is True:
            return logits.softmax(0)
        without = pad(logits[:-1].softmax(0), (0, 1))
        return (
            without if with_batch is False else torch.where(with_batch, logits.softmax(0), without)
        )

    def coefficients(self, moments: Moments, pixels: int) -> Affine:
        if self.official:
            moments = _unbiased(moments, pixels)
        layer = pool(moments, 1)
        with_batch: bool | Tensor
        with_batch = len(moments.mean) > 1 or self.official or is_shared(self.sync)
        if self.training:
            batch, _ = pool_batch(moments, pixels, self.sync)
            if with_batch:
                self.track(batch.mean, batch.variance)
        else:
            batch = self.running()
            with_batch = self._seen()
        _, w_layer, w_batch = self.shares(self.mean_logits, with_batch)
        v_instance, v_layer, v_batch = self.shares(self.variance_logits, with_batch)
        variance = (
            v_instance * moments.variance + v_layer * layer.variance + v_batch * batch.variance
        )
        scale = torch.rsqrt(variance + self.eps)
        # The distance of the channel's mean from the mixed mean; its own (IN's) share of it is 0.
        away = w_layer * (moments.mean - layer.mean) + w_batch * (moments.mean - batch.mean)
        return Affine(scale, away * scale)

    def _seen(self) -> bool | Tensor:
        """Whether eval has the BN branch; kept a tensor, so that no GPU waits for it."""
        return True if self.official else self.num_batches_tracked > 0

    def gates(self) -> list[nn.Parameter]:
        return [self.mean_logits, self.variance_logits]

    @torch.no_grad()
    def importance(self) -> dict[str, dict[str, float]]:
        """The weights of eval: BN's is 0 where no batch of two or more was ever tracked."""
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
