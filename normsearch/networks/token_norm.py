"""A norm of (N, C, *spatial) as a replacement for a transformer's LayerNorm (channels last)."""

from __future__ import annotations

from torch import Tensor, nn

from normsearch.errors import NetworkError
from normsearch.norms import Norm, NormSpec, build_norm


class TokenNorm(Norm):
    """A norm that treats tokens as pixels: (N, *tokens, C) -> the same.

    The moments of LayerNorm are over the channels of one token. Those of this norm are also over
    the tokens: IN over all tokens of a sample, per channel; LN over all tokens and channels.

    Args:
        spec: of the inner norm, which has one spatial axis.
        channels: C, the last axis.
    """

    def __init__(self, spec: NormSpec, channels: int) -> None:
        super().__init__(channels, dims=1)
        self.spec_text = str(spec)
        self.norm = build_norm(spec, channels, dims=1)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(1, -2).transpose(1, 2)
        out: Tensor = self.norm(rows.contiguous())
        return out.transpose(1, 2).reshape(x.shape)


def token_channels(net: nn.Module, name: str) -> int:
    """Return the channels of the LayerNorm at a path.

    Raises:
        NetworkError: a `TokenNorm` cannot replace it.
    """
    norm = net.get_submodule(name)
    parent = net.get_submodule(name.rpartition(".")[0])
    if isinstance(parent, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer):
        raise NetworkError(
            f"{name}: cannot be replaced, {type(parent).__name__} of torch computes its LayerNorms "
            "by itself in eval; leave it out of the norm map"
        )
    shape = tuple(norm.normalized_shape) if isinstance(norm, nn.LayerNorm) else ()
    if len(shape) != 1:
        raise NetworkError(
            f"{name}: must be a LayerNorm over the last axis alone to be replaced, got one over "
            f"{shape}; leave it out of the norm map"
        )
    return int(shape[0])
