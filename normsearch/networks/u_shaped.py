"""The base of the U-shaped networks: arguments, checks and the places of norm slots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import nn

from normsearch.errors import NetworkError
from normsearch.networks.blocks import check_positive, set_activation
from normsearch.networks.slots import apply_norm_map
from normsearch.norms import NormSpec

_WORDS = {2: "two", 3: "three"}


class UShapedNetwork(nn.Module):
    """A U-Net of `depth` max-poolings whose blocks are called enc1, ..., bottom, ..., dec1.

    A subclass builds its layers in `build` and draws their weights in `initialize`.

    Args:
        in_channels: channels of the image.
        out_channels: classes; one for a single foreground.
        first_channels: channels at full resolution; the class's `usual_channels` if None.
        depth: the number of max-poolings.
        norm: the spec for all slots; `apply_norm_map` changes them one by one.
        seed: of the weights; None draws from torch's global generator.
        activation: after each norm, a name in `ACTIVATIONS`.

    Raises:
        NetworkError: a number below 1, an unknown activation, or an input side that 2**depth does
            not divide.
        NormError: `norm` is unknown or infeasible; the message names the slot.
    """

    usual_channels: ClassVar[int]
    axes: ClassVar[int]
    samples: ClassVar[str]  # what has so many axes, for messages

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        first_channels: int | None = None,
        depth: int = 4,
        norm: str | NormSpec = "BN",
        seed: int | None = None,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        first = self.usual_channels if first_channels is None else first_channels
        name = type(self).__name__
        check_positive(name, in_channels=in_channels, out_channels=out_channels)
        check_positive(name, first_channels=first, depth=depth)
        self.depth = depth
        self.build(in_channels, out_channels, [first * 2**level for level in range(depth + 1)])
        self.initialize(seed)
        set_activation(self, activation)
        apply_norm_map(self, {"*": norm})

    def build(self, in_channels: int, out_channels: int, widths: Sequence[int]) -> None:
        """Add the layers; `widths` are the channels of each level, the bottom's last."""
        raise NotImplementedError

    def initialize(self, seed: int | None) -> None:
        """Draw the weights; None draws from torch's global generator."""
        raise NotImplementedError

    def check_size(self, size: Sequence[int]) -> None:
        """Raise NetworkError, with the size to pad to, unless 2**depth divides every side."""
        step = 2**self.depth
        right = len(size) == self.axes
        if right and all(side >= 1 and side % step == 0 for side in size):
            return
        fitting = " x ".join(str(max(1, -(-side // step)) * step) for side in size)
        cure = f"pad or crop to {fitting}" if right else f"give it {self.samples}"
        raise NetworkError(
            f"{type(self).__name__} of depth {self.depth} needs {_WORDS[self.axes]} image sides "
            f"that {step} divides, got {' x '.join(map(str, size))}; {cure}"
        )

    def slot_place(self, name: str) -> tuple[str, str]:
        """Return the (block, stage) of a slot: ``dec1.conv2.norm`` -> ("dec1", "level1").

        The stage is the resolution: level1 is the image's own, level{depth + 1} the bottom's.
        """
        block = name.partition(".")[0]
        level = self.depth + 1 if block == "bottom" else int(block[3:])
        return block, f"level{level}"
