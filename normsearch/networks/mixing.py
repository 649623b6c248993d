"""Turns a network into a supernet: puts a mixture of norms into each slot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from normsearch.errors import NetworkError, did_you_mean
from normsearch.networks.slots import list_norms, replace_norm
from normsearch.norms import MixedNorm, NormSpec


def mix_norms(
    net: nn.Module, mixtures: Mapping[tuple[str, ...], Sequence[str]], sparse: bool = False
) -> None:
    """Put mixtures of norms into slots, in place; see `MixedNorm`.

    Call it before creating an optimizer. Do not call `list_norms` afterwards: it would find the
    candidates.

    Args:
        net: any network.
        mixtures: slots that share one vector of logits -> the candidates' specs. If a number of
            groups does not divide a slot's channels, the nearest one that does is used.
        sparse: use SparsestMax instead of the softmax.

    Raises:
        NetworkError: a slot does not exist.
        NormError: a candidate is a weight norm.
    """
    slots = {slot.name: slot for slot in list_norms(net)}
    for names, specs in mixtures.items():
        logits = nn.Parameter(torch.zeros(len(specs)))
        for name in names:
            if name not in slots:
                raise NetworkError(f"no norm slot is called {name!r}.{did_you_mean(name, slots)}")
            slot = slots[name]
            own = [str(NormSpec.parse(text).nearest(slot.channels)) for text in specs]
            replace_norm(net, name, MixedNorm(slot.channels, slot.dims, own, logits, sparse))
