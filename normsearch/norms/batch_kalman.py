"""Batch Kalman Normalization (Wang et al. 2018): BN with a prior from the preceding layer."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor
from torch.nn.modules.conv import _ConvNd
from torch.utils.hooks import RemovableHandle

from normsearch.errors import NormError
from normsearch.norms.base import RunningMomentNorm
from normsearch.norms.batch_moments import bessel
from normsearch.norms.compiled import Recipe
from normsearch.norms.kalman_prior import Prior, Probe
from normsearch.norms.moments import Affine, Moments, normalize, pool
from normsearch.norms.propagation import can_propagate


class BatchKalmanNorm(RunningMomentNorm):
    """BKN: BN with μ = p·μ_prior + (1−p)·μB, σ² = p·σ²_prior + (1−p)·σ²B + p(1−p)(μB−μ_prior)².

    The prior is the distribution that the preceding BKN implies: its output has mean β and variance
    γ² per channel. These moments are propagated through ReLU, as for a Gaussian, and through the
    convolution between the two, with independent inputs and without borders
    (`normsearch.norms.propagation`). `apply_norm_map` calls `link` with that BKN and convolution.

    It is BN without a link, if mean(σ²_prior / σ²B) is 100 or more, and in a forward pass in which
    the convolution's input is not ReLU of that BKN's output, because a pooling, a skip or another
    activation lies between (checked on a few values of each channel). Eval uses running means of μ
    and σ², computed with the unbiased σ²B, as in torch's BatchNorm.

    The gradient flows through the prior to the convolution's weight and the γ, β before it.
    Source: Wang et al., arXiv 1802.03133 and NeurIPS 2018. Formulas, p, the bound and the gradient
    follow their code (github.com/wanggrun/Kalman-Normalization); kalman_prior.py has a difference.

    Args:
        p: the weight of the prior, from 0 (BN) to below 1.

    Shape: (N, C, *spatial) -> the same.

    Raises:
        NormError: p out of range; in training, where a channel has one value, as BN does.
    """

    spec_text = "BKN"

    def __init__(
        self,
        channels: int,
        dims: int,
        p: float = 0.9,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
    ) -> None:
        super().__init__(channels, dims, eps, momentum)
        if not 0 <= p < 1:
            raise NormError(f"BKN: p must be from 0 to below 1, got {p}")
        self.p = p
        self._handle: RemovableHandle | None = None
        self._prior: Prior | None = None
        self._feeds = False  # whether another is linked to this one
        self._left: Probe | None = None  # kept until the next pass, for gradient checkpointing

    def link(self, convolution: _ConvNd, before: BatchKalmanNorm) -> None:
        """Use the prior from `before`, through ReLU and `convolution`, if the three fit.

        They do not with other channels, or a transposed convolution with groups or dilation.
        """
        self.unlink()
        ends = (convolution.in_channels, convolution.out_channels)
        if ends == (before.channels, self.channels) and can_propagate(convolution):
            self._handle = convolution.register_forward_hook(partial(_pass_prior, (before, self)))
            before._feeds = True

    def unlink(self) -> None:
        """Remove the link: the norm is BN until it is linked again."""
        if self._handle is not None:
            self._handle.remove()
        self._handle = self._prior = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out a prior that was not used: it holds a graph, which cannot be copied."""
        return {**self.__dict__, "_prior": None}

    def extra_inputs(self) -> list[Tensor]:
        return [] if self._prior is None else list(self._prior.moments)

    def forward(self, x: Tensor) -> Tensor:
        self._prior = self._prior.confirmed(x) if self._prior and self.training else None
        try:
            out = super().forward(x)
        finally:
            self._prior = None  # it holds a graph that ends with this step
        self._left = Probe.of(out) if self.training and self._feeds else None
        return out

    def coefficients(self, moments: Moments, pixels: int) -> Affine:
        if not self.training:
            return normalize(moments, self.running(), self.eps)
        unbias = bessel(len(moments.mean) * pixels, self.spec_text)
        by = pool(moments, 0)
        unbiased = Moments(by.mean, by.variance * unbias)
        if self._prior is not None:
            by, unbiased = self._prior.posteriors(by, unbiased, self.p)
        self.track(*unbiased)
        return normalize(moments, by, self.eps)

    def recipe(self, samples: int, pixels: int) -> Recipe | None:
        # With a prior, the algebra involves the convolution before.
        return self.batch_recipe(samples, pixels) if self._prior is None else None


def _pass_prior(
    ends: tuple[BatchKalmanNorm, BatchKalmanNorm], convolution: _ConvNd, inputs: Any, out: Tensor
) -> None:
    before, after = ends
    given = before.bias, before.weight, convolution, inputs[0], out
    after._prior = Prior.through(before._left, *given) if after.training else None
