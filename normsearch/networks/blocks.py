"""Building blocks of the networks."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from normsearch.errors import NetworkError
from normsearch.networks.activations import ACTIVATIONS, activation
from normsearch.networks.convolutions import spatial_axes
from normsearch.norms import NoNorm, OwnsActivation


class ConvNormAct(nn.Module):
    """Convolution (or up-convolution), norm, and activation (ReLU, see `set_activation`).

    A norm that owns its activation takes the place of both.

    Shape: (N, C, *spatial) -> (N, C', *spatial').
    """

    def __init__(self, conv: _ConvNd) -> None:
        super().__init__()
        self.conv = conv
        self.activate = ACTIVATIONS["relu"]
        self.norm: nn.Module = NoNorm(conv.out_channels, dims=spatial_axes(conv) or 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(x))
        return out if isinstance(self.norm, OwnsActivation) else self.activate(out)


class ConvPair(nn.Module):
    """Two 3x3 convolutions, each with norm and ReLU, (N, C, H, W) -> (N, C', H, W)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvNormAct(nn.Conv2d(in_channels, channels, 3, padding=1))
        self.conv2 = ConvNormAct(nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(self.conv1(x))
        return out


def set_activation(net: nn.Module, name: str) -> None:
    """Set the activation of every `ConvNormAct` in `net`, by its name.

    Raises:
        NetworkError: the name is unknown.
    """
    activate = activation(name)
    for module in net.modules():
        if isinstance(module, ConvNormAct):
            module.activate = activate


def initialize_normal(net: nn.Module, seed: int | None) -> None:
    """Initialize as the ILN paper: truncated normal, deviation sqrt(2 / (k·C)); biases 0.1.

    k is the kernel's number of pixels and C its input channels. Values are cut at two deviations.
    `seed` None draws from torch's global generator.
    """
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, _ConvNd):
            deviation = math.sqrt(2 / (math.prod(module.kernel_size) * module.in_channels))
            low, high = -2 * deviation, 2 * deviation
            nn.init.trunc_normal_(module.weight, 0.0, deviation, low, high, generator=generator)
            if module.bias is not None:
                nn.init.constant_(module.bias, 0.1)


def check_positive(network: str, **numbers: int) -> None:
    """Raise NetworkError unless every number is 1 or more."""
    for name, number in numbers.items():
        if number < 1:
            raise NetworkError(f"{network}: {name} must be 1 or more, got {number}")
