"""A slot that mixes several norms by learnt weights: what a one-shot search trains."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from normsearch.errors import NormError
from normsearch.norms.base import Norm
from normsearch.norms.registry import build_norm
from normsearch.norms.sparse_switchable import sparsest_max
from normsearch.norms.spec import NormSpec


def reaches_out(text: str) -> bool:
    """Whether a norm needs more than its slot's input, and so cannot be mixed: WN, WS and BKN."""
    spec = NormSpec.parse(text)
    return spec.weights is not None or spec.activation.kind == "BKN"


class MixedNorm(Norm):
    """Σ_k w_k · norm_k(x), w a softmax (DARTS, Liu et al. 2019) or SparsestMax of the logits.

    The candidates are named by their canonical specs; each has weight, bias and running moments of
    its own. The radius of SparsestMax is the share of training done, which `set_progress` tells,
    so that one candidate alone is left when training ends; a softmax keeps all of them.

    Args:
        channels: C.
        dims: the number of spatial axes: 1, 2 or 3.
        specs: the candidates; see `reaches_out` for those that cannot be mixed.
        logits: (K,); slots that choose together share one parameter.
        sparse: SparsestMax in place of the softmax.

    Shape: (N, C, *spatial) -> the same.

    Raises:
        NormError: a candidate that cannot be mixed, or not as many logits as candidates.
    """

    spec_text = "a mixture"
    radius: Tensor

    def __init__(
        self,
        channels: int,
        dims: int,
        specs: Sequence[str],
        logits: nn.Parameter,
        sparse: bool = False,
    ) -> None:
        super().__init__(channels, dims)
        for text in specs:
            if reaches_out(text):
                raise NormError(f"{text} reaches beyond its slot and cannot be mixed; leave it out")
        if logits.shape != (len(specs),):
            raise NormError(f"a mixture of {len(specs)} needs as many logits, got {logits.shape}")
        self.specs = tuple(str(NormSpec.parse(text).canonical(channels)) for text in specs)
        self.norms = nn.ModuleList(build_norm(text, channels, dims) for text in self.specs)
        self.sparse = sparse
        self.logits = logits
        self.register_buffer("radius", torch.tensor(0.0))

    def shares(self) -> Tensor:
        """The weights of the candidates now, (K,), from 0 to 1, of sum 1."""
        return sparsest_max(self.logits, self.radius) if self.sparse else self.logits.softmax(0)

    def set_progress(self, fraction: float) -> None:
        """Take the share of training that is done, 0 to 1."""
        self.radius.fill_(fraction)

    def gates(self) -> list[nn.Parameter]:
        return [self.logits]

    @torch.no_grad()
    def mixing_weights(self) -> dict[str, dict[str, float]]:
        return {"mixture": dict(zip(self.specs, self.shares().tolist(), strict=True))}

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        shares = self.shares()
        out = torch.zeros_like(x)
        for share, norm in zip(shares, self.norms, strict=True):
            out = torch.addcmul(out, share.to(x.dtype), norm(x))
        return out
