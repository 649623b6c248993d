"""A mixture of several norms with learnt weights, for one-shot search."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from normsearch.errors import NormError
from normsearch.norms.base import Norm
from normsearch.norms.registry import build_norm
from normsearch.norms.sparsest_max import sparsest_max
from normsearch.norms.spec import NormSpec


def reaches_out(text: str) -> bool:
    """Return whether a norm needs more than its slot's input, and cannot be mixed.

    WN, WS and MABN change the convolution before it, BKN looks at it, and FRN and EvoNorm own the
    activation behind.
    """
    spec = NormSpec.parse(text)
    return spec.weights is not None or spec.owns_activation or spec.activation.kind == "BKN"


class MixedNorm(Norm):
    """Σ_k w_k · norm_k(x), w a softmax (DARTS, Liu et al. 2019) or SparsestMax of the logits.

    Each candidate has its own weight, bias and running moments, and is named by its canonical spec.
    The radius of SparsestMax is the fraction of training done, given to `set_progress`, so that one
    candidate remains when training ends; a softmax keeps all of them.

    Args:
        channels: C.
        dims: the number of spatial axes: 1, 2 or 3.
        specs: the candidates; see `reaches_out` for those that cannot be mixed.
        logits: (K,); slots with a common choice share one parameter.
        sparse: use SparsestMax instead of the softmax.

    Shape: (N, C, *spatial) -> the same.

    Raises:
        NormError: a candidate cannot be mixed, or the numbers of logits and candidates differ.
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
        """Return the current weights of the candidates, (K,), from 0 to 1, of sum 1."""
        return sparsest_max(self.logits, self.radius) if self.sparse else self.logits.softmax(0)

    def set_progress(self, fraction: float) -> None:
        """Set the fraction of training that is done, 0 to 1."""
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
