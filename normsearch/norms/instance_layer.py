"""Instance-Layer Normalization (Zhou et al. 2019, U-Net Training with ILN)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from normsearch.errors import NormError
from normsearch.norms.base import MomentNorm
from normsearch.norms.compiled import COMPLEMENT, Recipe
from normsearch.norms.groups import check_groups
from normsearch.norms.moments import Affine, Moments, Pullback, pool

Regrouped: TypeAlias = Callable[[Affine], tuple[Affine, Tensor]]
GATES = ("sigmoid", "clip", "softmax")


class InstanceLayerNorm(MomentNorm):
    """ILN: g·IN(x) + (1 − g)·LN(x), then GN with `regroup` groups (Eqs. 4 to 6), then γ and β.

    g = sigmoid(ρ), clip(ρ, 0, 1) or softmax(ρ1, ρ2)[0]; one ρ (or pair) per layer, initially 0.5.
    Outside [0, 1] the clip gate has no gradient. The paper criticizes exactly this, so ρ is not
    clamped. With `regroup` = C the result is IN for any ρ (see NormSpec.canonical).

    Args:
        gate: "sigmoid" (default), "clip" or "softmax".
        regroup: the groups of the second normalization; None omits it.

    Shape: (N, C, *spatial) -> the same.

    Raises:
        NormError: unknown gate, or `regroup` does not divide the channels.
    """

    def __init__(
        self,
        channels: int,
        dims: int,
        gate: str = "sigmoid",
        regroup: int | None = 16,
        eps: float = 1e-5,
    ) -> None:
        super().__init__(channels, dims, eps)
        if gate not in GATES:
            raise NormError(f"ILN: gate must be one of {', '.join(GATES)}, got {gate!r}")
        check_groups("ILN", channels, regroup or 1, "regroup")
        self.gate = gate
        self.regroup = regroup
        self.spec_text = f"ILN(gate={gate},regroup={regroup or 'none'})"
        self.rho = nn.Parameter(torch.full((2 if gate == "softmax" else 1,), 0.5))

    def share(self) -> Tensor:
        """Return g, the weight of IN, shape (1,)."""
        if self.gate == "sigmoid":
            return self.rho.sigmoid()
        if self.gate == "clip":
            return self.rho.clamp(0, 1)
        return self.rho.softmax(0)[:1]

    def coefficients(self, moments: Moments, pixels: int) -> Affine:
        return self.linearize(moments, pixels)[0]

    def recipe(self, samples: int, pixels: int) -> Recipe:
        group = self.channels // self.regroup if self.regroup else 0
        return Recipe(((1, 1), (1, self.channels)), self.share(), gate=COMPLEMENT, group=group)

    def linearize(self, moments: Moments, pixels: int) -> tuple[Affine, Pullback]:
        # By hand for GPUs, and for CPUs without a C compiler: it saves two dozen small operations.
        mixed, pullback = self._mix(moments)
        if self.regroup is None:
            return mixed, pullback
        affine, to_mixed = self._regroup(mixed, moments.variance)

        def whole(gradient: Affine) -> tuple[Moments, tuple[Tensor | None, ...]]:
            d_mixed, d_variance = to_mixed(gradient)
            d_moments, d_rho = pullback(d_mixed)
            return d_moments._replace(variance=d_moments.variance + d_variance), d_rho

        return affine, whole

    def _mix(self, moments: Moments) -> tuple[Affine, Pullback]:
        """Return g·IN + (1 − g)·LN and its pullback."""
        layer, share = pool(moments, 1), self.share()
        slope, rest = self._share_slope(share), 1 - share
        by_layer = torch.rsqrt(layer.variance + self.eps)
        by_instance = torch.rsqrt(moments.variance + self.eps)
        away, gated = moments.mean - layer.mean, rest * by_layer
        scale = torch.addcmul(gated, by_instance, share)

        def pullback(gradient: Affine) -> tuple[Moments, tuple[Tensor]]:
            d_scale, d_shift = gradient
            d_layer = torch.addcmul(d_scale, d_shift, away).sum(1, keepdim=True)
            d_share = torch.addcmul(
                (d_scale * by_instance).sum(1, True), d_layer, by_layer, value=-1
            )
            through = by_layer * by_layer * gated * d_layer / (-2 * away.shape[1])
            d_variance = torch.addcmul(through, by_instance.pow(3) * d_scale, share, value=-0.5)
            d_mean = d_shift * gated
            d_mean -= d_mean.mean(1, keepdim=True)
            return Moments(d_mean.addcmul_(away, through, value=2), d_variance), (
                d_share.sum() * slope,
            )

        return Affine(scale, away * gated), pullback  # the shift of IN is 0

    def _share_slope(self, share: Tensor) -> Tensor:
        """Return the derivative of g by ρ, in the shape of ρ."""
        if self.gate == "clip":
            return (share == self.rho).to(share.dtype)  # 1 at 0 and 1, as in torch
        slope = share - share.square()
        return slope if self.gate == "sigmoid" else torch.cat((slope, -slope))

    def _regroup(self, mixed: Affine, variance: Tensor) -> tuple[Affine, Regrouped]:
        """Return GN of the mixture, whose channels have mean `shift` and variance scale²·v."""
        shape = (variance.shape[0], self.regroup or 1, -1)
        scale, shift, spread = (values.view(shape) for values in (*mixed, variance))
        away = shift - shift.mean(2, keepdim=True)
        scaled = scale * spread
        squares = torch.addcmul(away.square(), scale, scaled)
        by_group = torch.rsqrt(squares.mean(2, keepdim=True) + self.eps)
        affine = Affine((scale * by_group).flatten(1), (away * by_group).flatten(1))

        def pullback(gradient: Affine) -> tuple[Affine, Tensor]:
            d_scale, d_shift = (values.view(shape) for values in gradient)
            d_group = torch.addcmul(d_scale * scale, d_shift, away).sum(2, keepdim=True)
            through = by_group.pow(3) * d_group / -scale.shape[2]  # 2·d(mean of squares)/K
            d_away = torch.addcmul(d_shift * by_group, away, through)
            d_away -= d_away.mean(2, keepdim=True)
            d_scale = torch.addcmul(d_scale * by_group, scaled, through)
            d_variance = (0.5 * through) * scale.square()
            return Affine(d_scale.flatten(1), d_away.flatten(1)), d_variance.flatten(1)

        return affine, pullback

    def gates(self) -> list[nn.Parameter]:
        return [self.rho]

    @torch.no_grad()
    def mixing_weights(self) -> dict[str, dict[str, float]]:
        share = float(self.share())
        return {"gate": {"IN": share, "LN": 1 - share}}
