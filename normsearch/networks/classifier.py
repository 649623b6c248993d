"""A small convolutional classifier for images such as those of Fashion-MNIST."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from normsearch.errors import NetworkError
from normsearch.networks.blocks import ConvPair, check_positive, initialize_normal, set_activation
from normsearch.networks.slots import apply_norm_map
from normsearch.norms import NormSpec


class Classifier(nn.Module):
    """2D classifier: `depth` stages of two convolutions, norm after each, 2x2 max-pooling between.

    Channels double at each stage, so that 16 groups fit every slot if there are 16 first channels
    or more. The mean over the last maps goes to one linear layer. Slots in order of execution:
    ``stage1.conv1.norm``, ``stage1.conv2.norm``, ``stage2.conv1.norm``, ...

    Weights are initialized as in `UNet2d`.

    Args:
        in_channels: channels of the image.
        out_channels: classes.
        first_channels: channels of the first stage.
        depth: the number of stages.
        norm: the spec for all slots; `apply_norm_map` changes them one by one.
        seed: of the weights; None draws from torch's global generator.
        activation: after each norm, a name in `ACTIVATIONS`.

    Shape: (N, in_channels, H, W) -> logits (N, out_channels); sides of at least 2**(depth − 1).

    Raises:
        NetworkError: a number below 1, an unknown activation, or an image side that is too small.
        NormError: `norm` is unknown or infeasible; the message names the slot.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 10,
        first_channels: int = 16,
        depth: int = 3,
        norm: str | NormSpec = "BN",
        seed: int | None = None,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        check_positive("Classifier", in_channels=in_channels, out_channels=out_channels)
        check_positive("Classifier", first_channels=first_channels, depth=depth)
        self.depth = depth
        channels = in_channels
        for stage in range(depth):
            width = first_channels * 2**stage
            self.add_module(f"stage{stage + 1}", ConvPair(channels, width))
            channels = width
        self.head = nn.Conv2d(channels, out_channels, 1)
        initialize_normal(self, seed)
        set_activation(self, activation)
        apply_norm_map(self, {"*": norm})

    def forward(self, x: Tensor) -> Tensor:
        self.check_size(x.shape[2:])
        for stage in range(1, self.depth + 1):
            x = self.get_submodule(f"stage{stage}")(x)
            if stage < self.depth:
                x = torch.max_pool2d(x, 2)
        out: Tensor = self.head(x.mean((2, 3), keepdim=True))
        return out.flatten(1)

    def check_size(self, size: Sequence[int]) -> None:
        """Raise NetworkError unless the input has two sides of at least 2**(depth − 1)."""
        least = 2 ** (self.depth - 1)
        if len(size) != 2 or min(size) < least:
            raise NetworkError(
                f"Classifier of depth {self.depth} needs two image sides of at least {least}, "
                f"got {' x '.join(map(str, size))}; resize the images or take fewer stages"
            )

    def slot_place(self, name: str) -> tuple[str, str]:
        """Return the (block, stage) of a slot: ``stage1.conv2.norm`` -> ("stage1", "stage1")."""
        stage = name.partition(".")[0]
        return stage, stage
