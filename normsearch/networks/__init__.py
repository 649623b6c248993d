"""Networks by name, and the norm slots of any network."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

from torch import nn

from normsearch.errors import NetworkError, did_you_mean
from normsearch.networks.activations import ACTIVATIONS
from normsearch.networks.checkpointing import use_checkpointing
from normsearch.networks.classifier import Classifier
from normsearch.networks.custom import build_foreign, is_network_class
from normsearch.networks.digest import (
    code_files,
    fixed_output,
    parameters_digest,
    same_output,
    small_sides,
)
from normsearch.networks.dry_run import Tried, dry_run
from normsearch.networks.importing import Place, import_object, imports_in, locate
from normsearch.networks.mixing import mix_norms
from normsearch.networks.res_unet3d import ResUNet3d
from normsearch.networks.resnet import ResNet
from normsearch.networks.slots import (
    NormSlot,
    PlacesSlots,
    apply_norm_map,
    list_norms,
)
from normsearch.networks.unet import UNet2d
from normsearch.networks.verify import verify_norm_map

__all__ = [
    "ACTIVATIONS",
    "NETWORKS",
    "Classifier",
    "NormSlot",
    "Place",
    "PlacesSlots",
    "ResNet",
    "ResUNet3d",
    "Tried",
    "UNet2d",
    "apply_norm_map",
    "build_foreign",
    "build_network",
    "code_files",
    "dry_run",
    "fixed_output",
    "import_object",
    "imports_in",
    "is_network_class",
    "list_norms",
    "locate",
    "mix_norms",
    "parameters_digest",
    "same_output",
    "small_sides",
    "use_checkpointing",
    "verify_norm_map",
]

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "unet2d": UNet2d,
    "res_unet3d": ResUNet3d,
    "classifier": Classifier,
    "resnet": ResNet,
}


def build_network(
    name: str,
    /,
    *,
    in_channels: int = 1,
    out_channels: int = 1,
    seed: int | None = None,
    arguments: Mapping[str, object] | None = None,
    **settings: object,
) -> nn.Module:
    """Build a network of `NETWORKS` by name, or any other by ``module:function``.

    Args:
        name: a key of `NETWORKS`, or ``module:function`` (see `build_foreign`).
        in_channels: channels of the image.
        out_channels: channels of the logits.
        seed: of the weights; None draws from torch's global generator.
        arguments: further arguments, which override those above.
        settings: further arguments.

    A foreign function gets in_channels, out_channels and seed only if it has these parameters.

    Raises:
        NetworkError: unknown name, or a setting that the network does not have.

    >>> build_network("unet2d", depth=2).depth
    2
    >>> build_network("torch.nn:Conv2d", out_channels=3, kernel_size=1).weight.shape
    torch.Size([3, 1, 1, 1])
    """
    ends = {"in_channels": in_channels, "out_channels": out_channels}
    settings = {**settings, **(arguments or {})}
    if ":" in name:
        return build_foreign(name, ends, settings, seed)
    if name not in NETWORKS:
        known = ", ".join(NETWORKS)
        raise NetworkError(
            f"network must be one of {known} or module:function, got {name!r}."
            f"{did_you_mean(name, NETWORKS)}"
        )
    known_settings = list(inspect.signature(NETWORKS[name]).parameters)
    for setting in settings:
        if setting not in known_settings:
            raise NetworkError(
                f"{name} has the settings {', '.join(known_settings)}, "
                f"got {setting!r}.{did_you_mean(setting, known_settings)}"
            )
    return NETWORKS[name](**{**ends, "seed": seed, **settings})
