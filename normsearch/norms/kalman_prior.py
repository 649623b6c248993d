"""What passes from one Batch Kalman Normalization to the next: the prior, and how it is checked.

The authors' code draws one random map from the prior and convolves it; here it is the expectation.
That code draws the map with the moments before the preceding BKN's normalization, which the
convolution never sees; here they are those after it. The paper's text on this point was not
available.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.modules.conv import _ConvNd

from normsearch.norms.moments import Moments
from normsearch.norms.propagation import rectify, through_convolution

# The prior is ignored if mean(σ²_prior / σ²_B) reaches this; the authors' value.
_NOT_CREDIBLE = 100.0


class Probe(NamedTuple):
    """The shape of a tensor and a few of its values, to recognize it without a full comparison."""

    shape: torch.Size
    values: Tensor

    @classmethod
    def of(cls, x: Tensor) -> Probe:
        """Take up to 3 pixels per axis from the middle of the first sample, all channels."""
        middle = [slice(max(0, side // 2 - 1), side // 2 + 2) for side in x.shape[2:]]
        return cls(x.shape, x.detach()[:1][(slice(None), slice(None), *middle)].clone())

    def same(self, other: Probe) -> Tensor | None:
        """Return whether all values agree, as a 0-dim bool; None if the shapes differ."""
        if self.shape != other.shape or self.values.device != other.values.device:
            return None
        return (self.values == other.values).all()


class Prior(NamedTuple):
    """The prior that a convolution passes to the BKN after it in one forward pass."""

    moments: Moments  # (1, C), with a graph
    fed: Tensor  # whether the convolution's input was ReLU of the preceding BKN, 0-dim
    given: Probe  # of the convolution's output

    @classmethod
    def through(
        cls,
        left: Probe | None,
        bias: Tensor,
        weight: Tensor,
        convolution: _ConvNd,
        x: Tensor,
        out: Tensor,
    ) -> Prior | None:
        """Return the prior that a BKN with this bias and weight, which gave `left`, passes on.

        Args:
            x: the convolution's input; None is returned if it cannot be ReLU of what BKN gave.
            out: its output.
        """
        fed = left and Probe(left.shape, left.values.relu()).same(Probe.of(x))
        if fed is None:
            return None
        return cls(through_convolution(rectify(bias, weight), convolution), fed, Probe.of(out))

    def confirmed(self, x: Tensor) -> Prior | None:
        """Return the prior if `x` may be the convolution's output (dropout may lie between)."""
        same = self.given.same(Probe.of(x))
        return None if same is None else self._replace(fed=self.fed & same)

    def posteriors(self, batch: Moments, unbiased: Moments, p: float) -> tuple[Moments, Moments]:
        """Return both moments of a batch, (1, C), mixed with the prior's weight p.

        They are left as they are if the prior is not credible or was not fed.
        """
        ratio = (self.moments.variance / batch.variance).detach().mean()
        credible = self.fed & (ratio < _NOT_CREDIBLE)
        return self._mixed(batch, credible, p), self._mixed(unbiased, credible, p)

    def _mixed(self, batch: Moments, credible: Tensor, p: float) -> Moments:
        # With the batch's moments as the prior, the formulas return the batch's moments.
        pairs = zip(self.moments, batch, strict=True)
        mean, variance = (torch.where(credible, own, other) for own, other in pairs)
        away = batch.mean - mean
        mixed = p * variance + (1 - p) * batch.variance + p * (1 - p) * away.square()
        return Moments(batch.mean - p * away, mixed)
