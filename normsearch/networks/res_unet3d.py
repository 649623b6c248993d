"""The 3D res-u-net of the spine study (Kolařík et al. 2020, seed 000)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from normsearch.networks.blocks import ConvNormAct
from normsearch.networks.checkpointing import checkpointed
from normsearch.networks.u_shaped import UShapedNetwork


class ResidualBlock(nn.Module):
    """A dilated and a standard 3x3x3 convolution, each with norm and ReLU.

    Shape: (N, in_channels, Z, Y, X) -> (N, channels, Z, Y, X); the network concatenates the
    block's input to it, the residual concatenation.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        dilated = nn.Conv3d(in_channels, channels, 3, padding=2, dilation=2)
        self.conv1 = ConvNormAct(dilated)
        self.conv2 = ConvNormAct(nn.Conv3d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(self.conv1(x))
        return out


class ResUNet3d(UShapedNetwork):
    """3D res-u-net: residual blocks of a dilated and a standard convolution, norm after each.

    At depth 4 it has 18 norm slots, in order of execution ``enc1.conv1.norm``,
    ``enc1.conv2.norm``, ..., ``bottom.conv2.norm``, ``dec4.conv1.norm``, ..., ``dec1.conv2.norm``.

    The paper states: a U-Net with residual concatenations; blocks of dilated and standard Conv3D,
    each followed by a normalization layer; sigmoid output; 16 x 256 x 256 voxels, at batch size 2
    within 11 GB. The rest follows the same authors' published 3D res-u-net for brains
    (github.com/mrkolarik/3D-brain-segmentation), which has no norm and no dilation: 32 channels
    that double at each of four 2x2x2 max-poolings, two convolutions a block, the block's input
    concatenated to its output, up-convolutions without activation, Keras' default weights (Glorot
    uniform, biases 0). Our own choices: the dilated convolution comes first and has rate 2; ReLU
    follows the norm.

    Arguments and errors are those of `UShapedNetwork`.

    Shape: (N, in_channels, Z, Y, X) -> logits (N, out_channels, Z, Y, X); 2**depth divides each
    side. With `checkpointing` set to True, activations are recomputed in the backward pass.
    """

    usual_channels, axes, samples = 32, 3, "slabs or volumes"
    checkpointing = False

    def build(self, in_channels: int, out_channels: int, widths: Sequence[int]) -> None:
        channels = in_channels
        for level, width in enumerate(widths):
            block = f"enc{level + 1}" if level < self.depth else "bottom"
            self.add_module(block, ResidualBlock(channels, width))
            channels += width
        for level in reversed(range(self.depth)):
            width = widths[level]
            self.add_module(f"up{level + 1}", nn.ConvTranspose3d(channels, width, 2, stride=2))
            self.add_module(f"dec{level + 1}", ResidualBlock(2 * width, width))
            channels = 3 * width
        self.head = nn.Conv3d(channels, out_channels, 1)

    def initialize(self, seed: int | None) -> None:
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        for module in self.modules():
            if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
                nn.init.xavier_uniform_(module.weight, generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        self.check_size(x.shape[2:])
        skips = []
        for level in range(1, self.depth + 1):
            skips.append(self._run(f"enc{level}", x))
            x = torch.max_pool3d(torch.cat((x, skips[-1]), dim=1), 2)
        x = torch.cat((x, self._run("bottom", x)), dim=1)
        for level in range(self.depth, 0, -1):
            up = self.get_submodule(f"up{level}")(x)
            x = torch.cat((up, skips.pop()), dim=1)
            x = torch.cat((x, self._run(f"dec{level}", x)), dim=1)
        out: Tensor = self.head(x)
        return out

    def _run(self, name: str, x: Tensor) -> Tensor:
        block = self.get_submodule(name)
        out: Tensor = checkpointed(block, x) if self.checkpointing else block(x)
        return out
