"""Instance-Layer Normalization (Zhou et al. 2019, U-Net Training with ILN)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from normsearch.errors import NormError
from normsearch.norms.base import MomentNorm
from normsearch.norms.compiled import COMPLEMENT, Recipe
from normsearch.norms.groups import check_groups, regroup
from normsearch.norms.mixtures import mix_with_instance, regroup_mixed, through_gates
from normsearch.norms.moments import Affine, Moments, Pullback, apart, pool

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
        affine, _ = mix_with_instance(moments, pool(moments, 1), self.share(), None, self.eps)
        return regroup(affine, moments, self.regroup, self.eps) if self.regroup else affine

    def recipe(self, samples: int, pixels: int) -> Recipe:
        group = self.channels // self.regroup if self.regroup else 0
        return Recipe(((1, 1), (1, self.channels)), self.share(), gate=COMPLEMENT, group=group)

    def linearize(self, moments: Moments, pixels: int) -> tuple[Affine, Pullback]:
        share, pull_gates = apart(self.share, self.gates())
        made = mix_with_instance(moments, pool(moments, 1), share, 1, self.eps)
        if self.regroup:
            made = regroup_mixed(made, moments.variance, self.regroup, self.eps)
        return through_gates(made, pull_gates)

    def gates(self) -> list[nn.Parameter]:
        return [self.rho]

    @torch.no_grad()
    def mixing_weights(self) -> dict[str, dict[str, float]]:
        share = float(self.share())
        return {"gate": {"IN": share, "LN": 1 - share}}
