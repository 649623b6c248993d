"""Networks by name, and the norm slots of any network."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from torch import nn

from normsearch.errors import NetworkError, did_you_mean
from normsearch.networks.activations import ACTIVATIONS
from normsearch.networks.checkpointing import use_checkpointing
from normsearch.networks.classifier import Classifier
from normsearch.networks.mixing import mix_norms
from normsearch.networks.res_unet3d import ResUNet3d
from normsearch.networks.slots import (
    NormSlot,
    PlacesSlots,
    apply_norm_map,
    list_norms,
    verify_norm_map,
)
from normsearch.networks.unet import UNet2d

__all__ = [
    "ACTIVATIONS",
    "NETWORKS",
    "Classifier",
    "NormSlot",
    "PlacesSlots",
    "ResUNet3d",
    "UNet2d",
    "apply_norm_map",
    "build_network",
    "list_norms",
    "mix_norms",
    "use_checkpointing",
    "verify_norm_map",
]

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "unet2d": UNet2d,
    "res_unet3d": ResUNet3d,
    "classifier": Classifier,
}


def build_network(name: str, **settings: object) -> nn.Module:
    """Build a network of `NETWORKS` by name.

    Args:
        name: a key of `NETWORKS`.
        settings: arguments of its constructor.

    Raises:
        NetworkError: unknown name, or a setting that the network does not have.

    >>> build_network("unet2d", depth=2).depth
    2
    """
    if name not in NETWORKS:
        known = ", ".join(NETWORKS)
        raise NetworkError(
            f"network must be one of {known}, got {name!r}.{did_you_mean(name, NETWORKS)}"
        )
    known_settings = list(inspect.signature(NETWORKS[name]).parameters)
    for setting in settings:
        if setting not in known_settings:
            raise NetworkError(
                f"{name} has the settings {', '.join(known_settings)}, "
                f"got {setting!r}.{did_you_mean(setting, known_settings)}"
            )
    return NETWORKS[name](**settings)
