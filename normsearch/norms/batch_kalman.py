"""Batch Kalman Normalization (Wang et al. 2018): BN with a prior from the preceding layer."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.modules.conv import _ConvNd
from torch.utils.hooks import RemovableHandle

from normsearch.errors import NormError
from normsearch.norms.base import RunningMomentNorm
from normsearch.norms.batch_moments import bessel
from normsearch.norms.compiled import Recipe
from normsearch.norms.moments import Affine, Moments, normalize, pool
from normsearch.norms.propagation import can_propagate, rectify, through_convolution

_NOT_CREDIBLE = (
    100.0  # the prior is ignored if mean(σ²_prior / σ²_B) reaches this; the authors' value
)


class _Probe(NamedTuple):
    """The shape of a tensor and a few of its values, to recognize it without a full comparison."""

    shape: torch.Size
    values: Tensor

    @classmethod
    def of(cls, x: Tensor) -> _Probe:
        """Take up to 3 pixels per axis from the middle of the first sample, all channels."""
        middle = [slice(max(0, side // 2 - 1), side // 2 + 2) for side in x.shape[2:]]
        return cls(x.shape, x.detach()[:1][(slice(None), slice(None), *middle)].clone())

    def same(self, other: _Probe) -> Tensor | None:
        """Return whether all values agree, as a 0-dim bool; None if the shapes differ."""
        if self.shape != other.shape or self.values.device != other.values.device:
            return None
        return (self.values == other.values).all()


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

    Source: Wang et al., arXiv 1802.03133 and NeurIPS 2018 ("Kalman Normalization"). Both formulas,
    p = 0.9, the bound of 100 and the unstopped gradient follow the authors' code
    (github.com/wanggrun/Kalman-Normalization). That code draws one random map from the prior and
    convolves it; this implementation uses the expectation. That code draws the map with the
    moments before the preceding BKN's normalization, which the convolution never sees; this one
    uses the moments after it. The paper's text on this point was not available.

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
        self._prior: _Prior | None = None
        self._feeds = False  # whether another is linked to this one
        self._left: _Probe | None = None  # kept until the next pass, for gradient checkpointing

    def link(self, convolution: _ConvNd, before: BatchKalmanNorm) -> None:
        """Use the prior from `before`, through ReLU and `convolution`.

        Nothing is linked if the three do not fit (other channels, or a transposed convolution with
        groups or dilation).
        """
        self.unlink()
        ends = (convolution.in_channels, convolution.out_channels)
        if ends == (before.channels, self.channels) and can_propagate(convolution):
            self._handle = convolution.register_forward_hook(_Link(before, self))
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
        if self._prior is not None:
            self._prior = self._prior.confirmed(x) if self.training else None
        try:
            out = super().forward(x)
        finally:
            self._prior = None  # it holds a graph that ends with this step
        self._left = _Probe.of(out) if self.training and self._feeds else None
        return out

    def coefficients(self, moments: Moments, pixels: int) -> Affine:
        if not self.training:
            return normalize(moments, self.running(), self.eps)
        unbias = bessel(len(moments.mean) * pixels, self.spec_text)
        batch = pool(moments, 0)
        prior = self._credible(batch)
        posterior = self._filter(batch, prior)
        with torch.no_grad():
            unbiased = self._filter(Moments(batch.mean, batch.variance * unbias), prior)
            self.track(*unbiased)
        return normalize(moments, posterior, self.eps)

    def recipe(self, samples: int, pixels: int) -> Recipe | None:
        # With a prior, the algebra involves the convolution before.
        return self.batch_recipe(samples, pixels) if self._prior is None else None

    def _credible(self, batch: Moments) -> tuple[Moments, Tensor] | None:
        """Return the prior, (1, C), and whether to use it, 0-dim; None without a prior."""
        if self._prior is None:
            return None
        prior, fed, _ = self._prior
        ratio = (prior.variance / batch.variance).detach().mean()
        return prior, fed & (ratio < _NOT_CREDIBLE)

    def _filter(self, batch: Moments, given: tuple[Moments, Tensor] | None) -> Moments:
        """Return the posterior moments; those of the batch if the prior is not used."""
        if given is None:
            return batch
        prior, counts = given
        # With the batch's moments as the prior, the formulas return the batch's moments.
        mean, variance = (torch.where(counts, own, b) for own, b in zip(prior, batch, strict=True))
        away = batch.mean - mean
        return Moments(
            batch.mean - self.p * away,
            self.p * variance
            + (1 - self.p) * batch.variance
            + self.p * (1 - self.p) * away.square(),
        )


class _Prior(NamedTuple):
    """The prior that a convolution passes to the BKN after it in one forward pass."""

    moments: Moments  # (1, C), with a graph
    fed: Tensor  # whether the convolution's input was ReLU of the preceding BKN, 0-dim
    given: _Probe  # of the convolution's output

    def confirmed(self, x: Tensor) -> _Prior | None:
        """Return the prior if `x` may be the convolution's output (dropout may lie between)."""
        same = self.given.same(_Probe.of(x))
        return None if same is None else self._replace(fed=self.fed & same)


class _Link:
    """A forward hook on the convolution between two BKNs that computes the prior of the second."""

    def __init__(self, before: BatchKalmanNorm, after: BatchKalmanNorm) -> None:
        self.before = before
        self.after = after

    def __call__(self, convolution: _ConvNd, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        self.after._prior = self._prior(convolution, inputs[0], out)

    def _prior(self, convolution: _ConvNd, x: Tensor, out: Tensor) -> _Prior | None:
        left = self.before._left
        if not self.after.training or left is None:
            return None
        fed = _Probe(left.shape, left.values.relu()).same(_Probe.of(x))
        if fed is None:
            return None
        made = through_convolution(rectify(self.before.bias, self.before.weight), convolution)
        return _Prior(made, fed, _Probe.of(out))
