"""The 2D U-Net of the instance-layer normalization paper (Zhou et al. 2019, Sect. 2.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from normsearch.networks.blocks import ConvNormAct, ConvPair, initialize_normal
from normsearch.networks.u_shaped import UShapedNetwork


class DecoderBlock(nn.Module):
    """A 2x2 up-convolution with norm and ReLU, concatenation of the skip, two 3x3 convolutions."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.up = ConvNormAct(nn.ConvTranspose2d(in_channels, channels, 2, stride=2))
        self.conv1 = ConvNormAct(nn.Conv2d(2 * channels, channels, 3, padding=1))
        self.conv2 = ConvNormAct(nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        out: Tensor = self.conv2(self.conv1(torch.cat((skip, self.up(x)), dim=1)))
        return out


class UNet2d(UShapedNetwork):
    """2D U-Net: `depth` max-poolings, two convolutions a block, a norm after each but the output.

    At depth 4 it has 22 norm slots: 18 convolutions and 4 up-convolutions, in order of execution
    ``enc1.conv1.norm``, ``enc1.conv2.norm``, ..., ``bottom.conv2.norm``, ``dec4.up.norm``,
    ``dec4.conv1.norm``, ..., ``dec1.conv2.norm``. Channels double at each pooling, from 16.

    Weights are drawn from a normal distribution cut at two deviations, sqrt(2 / (k·C)), where k is
    the kernel's number of pixels and C its input channels (the paper prints 2 / (9·C), its author's
    code has the root). Biases are 0.1.

    Arguments and errors are those of `UShapedNetwork`.

    Shape: (N, in_channels, H, W) -> logits (N, out_channels, H, W); 2**depth divides H and W.
    """

    usual_channels, axes, samples = 16, 2, "slices"

    def build(self, in_channels: int, out_channels: int, widths: Sequence[int]) -> None:
        for level in range(self.depth):
            block = ConvPair(widths[level - 1] if level else in_channels, widths[level])
            self.add_module(f"enc{level + 1}", block)
        self.bottom = ConvPair(widths[-2], widths[-1])
        for level in reversed(range(self.depth)):
            self.add_module(f"dec{level + 1}", DecoderBlock(widths[level + 1], widths[level]))
        self.head = nn.Conv2d(widths[0], out_channels, 1)

    def initialize(self, seed: int | None) -> None:
        initialize_normal(self, seed)

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
