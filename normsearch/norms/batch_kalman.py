"""Batch Kalman Normalization (Wang et al. 2018): BN whose moments lean on the layer before."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.modules.conv import _ConvNd
from torch.utils.hooks import RemovableHandle

from normsearch.errors import NormError
from normsearch.norms.base import RunningMomentNorm
from normsearch.norms.batch_moments import bessel
from normsearch.norms.moments import Affine, Moments, normalize, pool
from normsearch.norms.propagation import can_propagate, rectify, through_convolution

_NOT_CREDIBLE = 100.0  # mean(σ²_prior / σ²_B) from which the prior is left out, the authors' number


class _Glimpse(NamedTuple):
    """The shape of a tensor and a few of its values: enough to know it again without a pass."""

    shape: torch.Size
    values: Tensor

    @classmethod
    def of(cls, x: Tensor) -> _Glimpse:
        """Up to 3 pixels each way in the middle of the first sample, all channels."""
        middle = [slice(max(0, side // 2 - 1), side // 2 + 2) for side in x.shape[2:]]
        return cls(x.shape, x.detach()[:1][(slice(None), slice(None), *middle)].clone())

    def same(self, other: _Glimpse) -> Tensor | None:
        """Whether all values agree, as a 0-dim bool; None where the shapes already differ."""
        if self.shape != other.shape or self.values.device != other.values.device:
            return None
        return (self.values == other.values).all()


class BatchKalmanNorm(RunningMomentNorm):
    """BKN: BN with μ = p·μ_prior + (1−p)·μB, σ² = p·σ²_prior + (1−p)·σ²B + p(1−p)(μB−μ_prior)².

    The prior comes from the BKN before: its output, of mean β and variance γ² per channel, goes
    through ReLU as a Gaussian does, and through the convolution between the two with all inputs
    taken as independent and borders left out (`normsearch.norms.propagation`). `link` says which
    BKN and which convolution; `apply_norm_map` calls it. Without a link, in a forward pass where
    that convolution is not fed with exactly ReLU of that BKN's output (seen in a few values of
    each channel: a pooling, a skip or another activation in between), or where
    mean(σ²_prior / σ²B) is 100 or more, it is BN. Eval uses running means of μ and σ²; in those
    σ²B is the unbiased one, as in torch's BatchNorm.

    The gradient flows through the prior to the convolution's weight and the γ, β before it.

    Source: Wang et al., arXiv 1802.03133 and NeurIPS 2018 ("Kalman Normalization"), read in the
    authors' code (github.com/wanggrun/Kalman-Normalization): both formulas, p = 0.9, the bound of
    100, no stopped gradient. That code draws one random map from the prior and convolves it; here
    its expectation is taken. It also draws that map with the moments from before the
    normalization of the BKN before, which the convolution never sees; here they are those after.
    The paper's own text on this point was not at hand.

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
        self._left: _Glimpse | None = None  # kept until the next pass: checkpointing asks again

    def link(self, convolution: _ConvNd, before: BatchKalmanNorm) -> None:
        """Take the prior from now on from `before`, through ReLU and `convolution`.

        Where the three do not fit (other channels, a transposed convolution with groups or
        dilation) nothing is linked.
        """
        self.unlink()
        ends = (convolution.in_channels, convolution.out_channels)
        if ends == (before.channels, self.channels) and can_propagate(convolution):
            self._handle = convolution.register_forward_hook(_Link(before, self))

    def unlink(self) -> None:
        """Be BN again, until linked anew."""
        if self._handle is not None:
            self._handle.remove()
        self._handle = self._prior = None

    def __getstate__(self) -> dict[str, Any]:
        """All but a prior left by a convolution whose output never came here: it holds a graph."""
        return {**self.__dict__, "_prior": None}

    def extra_inputs(self) -> list[Tensor]:
        return [] if self._prior is None else list(self._prior.moments)

    def forward(self, x: Tensor) -> Tensor:
        if self._prior is not None:
            self._prior = self._prior.confirmed(x) if self.training else None
        try:
            out = super().forward(x)
        finally:
            self._prior = None  # it holds a graph, which ends with this step
        self._left = _Glimpse.of(out) if self.training else None
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

    def _credible(self, batch: Moments) -> tuple[Moments, Tensor] | None:
        """The prior, (1, C), and whether it counts, 0-dim; None without one."""
        if self._prior is None:
            return None
        prior, fed, _ = self._prior
        ratio = (prior.variance / batch.variance).detach().mean()
        return prior, fed & (ratio < _NOT_CREDIBLE)

    def _filter(self, batch: Moments, given: tuple[Moments, Tensor] | None) -> Moments:
        """The posterior moments; those of the batch where no prior counts."""
        if given is None:
            return batch
        prior, counts = given
        # With the batch's own moments as the prior the formulas give the batch's moments.
        mean, variance = (torch.where(counts, own, b) for own, b in zip(prior, batch, strict=True))
        away = batch.mean - mean
        return Moments(
            batch.mean - self.p * away,
            self.p * variance
            + (1 - self.p) * batch.variance
            + self.p * (1 - self.p) * away.square(),
        )


class _Prior(NamedTuple):
    """What a convolution hands to the BKN behind it in one forward pass."""

    moments: Moments  # (1, C), with a graph
    fed: Tensor  # whether the convolution saw ReLU of the BKN before, 0-dim
    given: _Glimpse  # of what the convolution gave

    def confirmed(self, x: Tensor) -> _Prior | None:
        """Itself, if `x` is what the convolution gave: dropout may stand between."""
        same = self.given.same(_Glimpse.of(x))
        return None if same is None else self._replace(fed=self.fed & same)


class _Link:
    """The forward hook on a convolution between two BKN: makes the prior of the second."""

    def __init__(self, before: BatchKalmanNorm, after: BatchKalmanNorm) -> None:
        self.before = before
        self.after = after

    def __call__(self, convolution: _ConvNd, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        self.after._prior = self._prior(convolution, inputs[0], out)

    def _prior(self, convolution: _ConvNd, x: Tensor, out: Tensor) -> _Prior | None:
        left = self.before._left
        if not self.after.training or left is None:
            return None
        fed = _Glimpse(left.shape, left.values.relu()).same(_Glimpse.of(x))
        if fed is None:
            return None
        made = through_convolution(rectify(self.before.bias, self.before.weight), convolution)
        return _Prior(made, fed, _Glimpse.of(out))
