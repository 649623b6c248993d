"""Slots that mix several norms: from a network to its supernet."""

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
    """Put a mixture of norms into slots, in place; see `MixedNorm`.

    Do this before an optimizer holds the network's parameters, and do not look for slots in the
    network again: its candidates would be found.

    Args:
        net: any network.
        mixtures: slots that share one vector of logits -> the candidates' specs; where a number of
            groups does not divide a slot's channels, the nearest one that does is taken.
        sparse: SparsestMax in place of the softmax.

    Raises:
        NetworkError: there is no such slot.
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
