"""A residual network that classifies whole images (He et al. 2016, arXiv 1512.03385)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from normsearch.errors import NetworkError
from normsearch.networks.blocks import (
    ConvNormAct,
    check_positive,
    initialize_normal,
    set_activation,
)
from normsearch.networks.slots import apply_norm_map
from normsearch.norms import NoNorm, NormSpec


class ConvNorm(nn.Module):
    """A convolution and its norm, without an activation."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        self.norm: nn.Module = NoNorm(conv.out_channels, dims=2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(x))
        return out


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with norms, added to the input, then the activation.

    Where the stride or the channels change, the input passes a 1x1 convolution, with a norm unless
    `shortcut_norm` is False.

    Shape: (N, C, H, W) -> (N, C', H/stride, W/stride), rounded up.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, shortcut_norm: bool) -> None:
        super().__init__()
        self.conv1 = ConvNormAct(nn.Conv2d(in_channels, channels, 3, stride, padding=1))
        self.conv2 = ConvNorm(nn.Conv2d(channels, channels, 3, padding=1))
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            conv = nn.Conv2d(in_channels, channels, 1, stride)
            self.shortcut = ConvNorm(conv) if shortcut_norm else conv

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(self.conv1(x)) + self.shortcut(x)
        return self.conv1.activate(out)


class ResNet(nn.Module):
    """2D residual classifier: stem, stages of basic blocks, mean of the maps, one linear layer.

    Norm slots in order of execution: ``stem.norm``, ``stage1.block1.conv1.norm``,
    ``stage1.block1.conv2.norm``, ``stage1.block1.shortcut.norm`` where there is one, and so on.
    Weights start as in `UNet2d`.

    Args:
        in_channels: channels of the image.
        out_channels: classes.
        first_channels: channels of the first stage; they double at each stage.
        depth: the number of stages.
        widths: channels of each stage, in place of `first_channels` and `depth`.
        blocks: basic blocks of each stage, one number for all or one for each.
        strides: of the first block of each stage; 1, then 2, if None.
        stem: ``small``: a 3x3 convolution, as for CIFAR; ``large``: a 7x7 convolution of stride 2
            and a 3x3 max-pooling of stride 2, as for ImageNet, for images from 64 pixels on.
        shortcut_norm: whether a norm follows the 1x1 convolutions of shortcuts.
        norm: the spec for all slots; `apply_norm_map` changes them one by one.
        seed: of the weights; None draws from torch's global generator.
        activation: after each norm, a name in `ACTIVATIONS`.

    Shape: (N, in_channels, H, W) -> logits (N, out_channels).

    Raises:
        NetworkError: a number below 1, `blocks` or `strides` of another length than `widths`, an
            unknown stem or activation, or an input that is no 2D image.
        NormError: `norm` is unknown or infeasible; the message names the slot.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 10,
        first_channels: int = 16,
        depth: int = 4,
        widths: Sequence[int] | None = None,
        blocks: int | Sequence[int] = 1,
        strides: Sequence[int] | None = None,
        stem: Literal["small", "large"] = "small",
        shortcut_norm: bool = True,
        norm: str | NormSpec = "BN",
        seed: int | None = None,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        check_positive("ResNet", in_channels=in_channels, out_channels=out_channels)
        check_positive("ResNet", first_channels=first_channels, depth=depth)
        widths = list(widths or [first_channels * 2**stage for stage in range(depth)])
        counts = _each("blocks", blocks, len(widths))
        steps = _each("strides", strides or [1, *[2] * (len(widths) - 1)], len(widths))
        check_positive("ResNet", **{f"widths[{i}]": width for i, width in enumerate(widths)})
        if stem not in ("small", "large"):
            raise NetworkError(f"ResNet: stem must be small or large, got {stem!r}")
        self.depth = len(widths)
        kernel, stride = (3, 1) if stem == "small" else (7, 2)
        self.stem = ConvNormAct(nn.Conv2d(in_channels, widths[0], kernel, stride, kernel // 2))
        self.pool = nn.Identity() if stem == "small" else nn.MaxPool2d(3, 2, padding=1)
        channels = widths[0]
        for stage, width in enumerate(widths):
            made = nn.Sequential()
            for block in range(counts[stage]):
                step = 1 if block else steps[stage]
                made.add_module(
                    f"block{block + 1}", BasicBlock(channels, width, step, shortcut_norm)
                )
                channels = width
            self.add_module(f"stage{stage + 1}", made)
        self.head = nn.Conv2d(channels, out_channels, 1)
        initialize_normal(self, seed)
        apply_norm_map(self, {"*": norm})
        set_activation(self, activation)

    def forward(self, x: Tensor) -> Tensor:
        self.check_size(x.shape[2:])
        x = self.pool(self.stem(x))
        for stage in range(1, self.depth + 1):
            x = self.get_submodule(f"stage{stage}")(x)
        out: Tensor = self.head(x.mean((2, 3), keepdim=True))
        return out.flatten(1)

    def check_size(self, size: Sequence[int]) -> None:
        """Raise NetworkError unless there are two sides."""
        if len(size) != 2 or min(size) < 1:
            raise NetworkError(
                f"ResNet needs images with two sides, got {' x '.join(map(str, size))}; "
                "give it slices"
            )

    def slot_place(self, name: str) -> tuple[str, str]:
        """The (block, stage) of a slot: ``stage2.block1.conv2.norm`` -> (stage2.block1, stage2)."""
        parts = name.split(".")
        return (".".join(parts[:2]), parts[0]) if parts[0] != "stem" else ("stem", "stem")


def _each(name: str, value: int | Sequence[int], stages: int) -> list[int]:
    """One number a stage."""
    numbers = [value] * stages if isinstance(value, int) else list(value)
    if len(numbers) != stages:
        raise NetworkError(
            f"ResNet: {name} must be one number for each of {stages} stages, got {len(numbers)}"
        )
    check_positive("ResNet", **{f"{name}[{i}]": number for i, number in enumerate(numbers)})
    return numbers
