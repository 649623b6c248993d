"""The 2D U-Net of the instance-layer normalization paper (Zhou et al. 2019, Sect. 2.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from normsearch.networks.blocks import (
    ConvNormAct,
    ConvPair,
    check_divisible,
    check_positive,
    initialize_normal,
    set_activation,
    u_place,
)
from normsearch.networks.slots import apply_norm_map
from normsearch.norms import NormSpec


class DecoderBlock(nn.Module):
    """A 2x2 up-convolution with norm and ReLU, the skip put beside it, two 3x3 convolutions."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.up = ConvNormAct(nn.ConvTranspose2d(in_channels, channels, 2, stride=2))
        self.conv1 = ConvNormAct(nn.Conv2d(2 * channels, channels, 3, padding=1))
        self.conv2 = ConvNormAct(nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        out: Tensor = self.conv2(self.conv1(torch.cat((skip, self.up(x)), dim=1)))
        return out


class UNet2d(nn.Module):
    """2D U-Net: `depth` max-poolings, two convolutions a block, a norm after each but the output.

    At depth 4 it has 22 norm slots: 18 convolutions and 4 up-convolutions, in order of execution
    ``enc1.conv1.norm``, ``enc1.conv2.norm``, ..., ``bottom.conv2.norm``, ``dec4.up.norm``,
    ``dec4.conv1.norm``, ..., ``dec1.conv2.norm``. Channels double at each pooling.

    Weights start from a normal distribution cut at two deviations, sqrt(2 / (k·C)) with k the
    kernel's pixels and C its input channels (the paper prints 2 / (9·C), its author's code has the
    root), biases from 0.1.

    Args:
        in_channels: channels of the image.
        out_channels: classes; one for a single foreground.
        first_channels: channels at full resolution.
        depth: the number of max-poolings.
        norm: the spec for all slots; `apply_norm_map` changes them one by one.
        seed: of the weights; None draws from torch's global generator.
        activation: after each norm, a name in `ACTIVATIONS`.

    Shape: (N, in_channels, H, W) -> logits (N, out_channels, H, W); 2**depth divides H and W.

    Raises:
        NetworkError: a number below 1, an unknown activation, or an input side that 2**depth does
            not divide.
        NormError: `norm` is unknown or infeasible; the message names the slot.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        first_channels: int = 16,
        depth: int = 4,
        norm: str | NormSpec = "BN",
        seed: int | None = None,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        check_positive("UNet2d", in_channels=in_channels, out_channels=out_channels)
        check_positive("UNet2d", first_channels=first_channels, depth=depth)
        self.depth = depth
        widths = [first_channels * 2**level for level in range(depth + 1)]
        for level in range(depth):
            block = ConvPair(widths[level - 1] if level else in_channels, widths[level])
            self.add_module(f"enc{level + 1}", block)
        self.bottom = ConvPair(widths[-2], widths[-1])
        for level in reversed(range(depth)):
            self.add_module(f"dec{level + 1}", DecoderBlock(widths[level + 1], widths[level]))
        self.head = nn.Conv2d(first_channels, out_channels, 1)
        initialize_normal(self, seed)
        apply_norm_map(self, {"*": norm})
        set_activation(self, activation)

    def forward(self, x: Tensor) -> Tensor:
        self.check_size(x.shape[2:])
        skips = []
        for level in range(1, self.depth + 1):
            skips.append(self.get_submodule(f"enc{level}")(x))
            x = torch.max_pool2d(skips[-1], 2)
        x = self.bottom(x)
        for level in range(self.depth, 0, -1):
            x = self.get_submodule(f"dec{level}")(x, skips[level - 1])
        out: Tensor = self.head(x)
        return out

    def check_size(self, size: Sequence[int]) -> None:
        """Raise NetworkError, with the size to pad to, unless 2**depth divides both sides."""
        check_divisible("UNet2d", self.depth, size, 2, "two", "give it slices")

    def slot_place(self, name: str) -> tuple[str, str]:
        """The (block, stage) of a slot: ``dec1.conv2.norm`` -> ("dec1", "level1").

        The stage is the resolution: level1 is the image's own, level{depth + 1} the bottom's.
        """
        return u_place(name, self.depth)
