"""Deep supervision: the loss of networks that return logits at several scales."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor
from torch.nn import functional

from normsearch.errors import NetworkError
from normsearch.networks.outputs import scales
from normsearch.training.losses import Loss

DeepSupervision = Literal["auto", False]
OutputLoss = Callable[[object, Tensor], Tensor]
"""A loss of all that a network returns, and labels."""


def scale_weights(count: int) -> list[float]:
    """Return the weights of `count` scales, the largest first: 1, 1/2, 1/4 ..., of sum 1.

    These are the weights of nnU-Net v2 (Isensee et al. 2021). Of three or more scales the lowest
    has the weight 0: nnU-Net's networks return logits at every level of the decoder, and there its
    lowest is too coarse to be of use. Of two scales both count.
    """
    weights = [0.5**scale for scale in range(count)]
    if count > 2:
        weights[-1] = 0.0
    return [weight / sum(weights) for weight in weights]


def labels_at(labels: Tensor, sides: Sequence[int]) -> Tensor:
    """Return labels at another size, each voxel that of the nearest one; ignored ones stay so.

    Args:
        labels: class indices (B, *spatial), int64; or floats (B, 1, *spatial).
        sides: the spatial sides of the result; none for classes of whole images.
    """
    if not sides or labels.shape[-len(sides) :] == tuple(sides):
        return labels
    if labels.is_floating_point():
        return functional.interpolate(labels, tuple(sides), mode="nearest-exact")
    return labels_at(labels[:, None].float(), sides)[:, 0].long()


def over_scales(loss: Loss, mode: DeepSupervision = "auto") -> OutputLoss:
    """Return the loss of all that a network returns: of its logits, or a weighted sum over scales.

    Logits are converted to float32. The weights are those of `scale_weights`; scales of weight 0
    are left out. Several outputs of one size, as MONAI's DynUNet has them, count as scales too.

    Args:
        loss: scalar from the logits of one scale and labels of its size.
        mode: ``auto`` sums over all scales; False takes the first alone.
    """

    def total(out: object, labels: Tensor) -> Tensor:
        axes = labels.dim() - (2 if labels.is_floating_point() else 1)
        found = scales(out, axes, first_alone=not mode)
        if found is None:
            raise NetworkError(
                "a network must return logits, or a list of logits at several scales, in "
                f"training, got a {type(out).__name__}"
            )
        if len(found) == 1:
            return loss(found[0].float(), labels)
        parts = [
            weight * loss(logits.float(), labels_at(labels, logits.shape[2:]))
            for weight, logits in zip(scale_weights(len(found)), found, strict=True)
            if weight
        ]
        return sum(parts[1:], parts[0])

    return total
