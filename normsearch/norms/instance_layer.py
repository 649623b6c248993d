"""Instance-Layer Normalization (Zhou et al. 2019, U-Net Training with ILN)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from normsearch.errors import NormError
from normsearch.norms.base import MomentNorm
from normsearch.norms.moments import Affine, Moments, normalize, pool

GATES = ("sigmoid", "clip", "softmax")


class InstanceLayerNorm(MomentNorm):
    """ILN: g·IN(x) + (1 − g)·LN(x), then GN with `regroup` groups (Eqs. 4 to 6), then γ and β.

    g = sigmoid(ρ), clip(ρ, 0, 1) or softmax(ρ1, ρ2)[0]; one ρ (or pair) a layer, from 0.5.
    Outside [0, 1] the clip gate has no gradient: that is the fault the paper holds against it, so
    its ρ is left free. With `regroup` = C the result is IN whatever ρ (see NormSpec.canonical).

    Args:
        gate: "sigmoid" (default), "clip" or "softmax".
        regroup: the groups of the second normalization; None leaves it out.

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
        if regroup is not None and channels % regroup:
            raise NormError(f"ILN: regroup must divide the {channels} channels, got {regroup}")
        self.gate = gate
        self.regroup = regroup
        self.spec_text = f"ILN(gate={gate},regroup={regroup or 'none'})"
        self.rho = nn.Parameter(torch.full((2 if gate == "softmax" else 1,), 0.5))

    def share(self) -> Tensor:
        """g, the weight of IN, shape (1,)."""
        if self.gate == "sigmoid":
            return self.rho.sigmoid()
        if self.gate == "clip":
            return self.rho.clamp(0, 1)
        return self.rho.softmax(0)[:1]

    def coefficients(self, moments: Moments, pixels: int) -> Affine:
        by_instance = normalize(moments, moments, self.eps)
        by_layer = normalize(moments, pool(moments, 1), self.eps)
        share = self.share()
        scale = share * by_instance.scale + (1 - share) * by_layer.scale
        mixed = Affine(scale, (1 - share) * by_layer.shift)  # IN shifts by nothing
        return mixed if self.regroup is None else self._regrouped(mixed, moments)

    def _regrouped(self, mixed: Affine, moments: Moments) -> Affine:
        # What was mixed has per channel the mean `shift` and the variance scale²·v: enough for GN.
        shape = (len(mixed.scale), self.regroup or 1, -1)
        per_channel = Moments(mixed.shift, mixed.scale.square() * moments.variance)
        group = pool(Moments(*(values.reshape(shape) for values in per_channel)), 2)
        scale = torch.rsqrt(group.variance + self.eps)
        return Affine(
            (mixed.scale.reshape(shape) * scale).flatten(1),
            ((mixed.shift.reshape(shape) - group.mean) * scale).flatten(1),
        )

    def gates(self) -> list[nn.Parameter]:
        return [self.rho]

    @torch.no_grad()
    def importance(self) -> dict[str, dict[str, float]]:
        share = float(self.share())
        return {"gate": {"IN": share, "LN": 1 - share}}
