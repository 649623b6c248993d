"""Losses of segmentation and classification, from logits.

All sums and means leave out voxels whose truth is `IGNORED` (255): their gradient is 0, and a batch
without other voxels has the loss 0. Class weights make the mean of a cross-entropy one over the
weights of the true classes, as in torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from normsearch.errors import ConfigError, TrainingError
from normsearch.labels import IGNORED
from normsearch.networks.importing import load, parameters_of, users_code

Loss = Callable[[Tensor, Tensor], Tensor]


def bce_dice_loss(
    logits: Tensor, truth: Tensor, smooth: float = 1.0, *, weights: Tensor | None = None
) -> Tensor:
    """Return binary cross-entropy + (1 − soft Dice), the loss of the spine study (seed 000).

    The soft Dice is computed over the whole batch, so that single slices without foreground do not
    increase the loss; `smooth` keeps it defined if the batch has none.

    Args:
        logits: (N, 1, *spatial) before the sigmoid.
        truth: 0, 1 or `IGNORED`, float, of the same shape.
        smooth: pixels added to numerator and denominator.
        weights: (2,), of background and foreground in the cross-entropy.

    Returns:
        A scalar, at least 0.
    """
    known = _known(truth)
    probability = logits.sigmoid()
    if known is not None:
        probability, truth = probability * known, truth * known
    overlap = (probability * truth).sum()
    soft_dice = (2 * overlap + smooth) / (probability.sum() + truth.sum() + smooth)
    return _binary_cross_entropy(logits, truth, known, weights) + 1 - soft_dice


def cross_entropy_loss(logits: Tensor, truth: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """Return the mean over samples and voxels of −log p(true class).

    Args:
        logits: (N, K, *spatial) of K classes, or (N, 1, *spatial) of foreground.
        truth: class indices (N, *spatial), int64; or 0 and 1, float, (N, 1, *spatial); voxels may
            be `IGNORED`.
        weights: (K,) of the classes, or (2,) of background and foreground.

    Returns:
        A scalar, at least 0.
    """
    known = _known(truth)
    if logits.shape[1] == 1:
        return _binary_cross_entropy(logits, truth, known, weights)
    return _cross_entropy(logits, truth, known, weights)


def dice_cross_entropy_loss(
    logits: Tensor, truth: Tensor, smooth: float = 1.0, *, weights: Tensor | None = None
) -> Tensor:
    """Return cross-entropy + (1 − mean soft Dice of the classes except background).

    The loss of nnU-Net (Isensee et al. 2021), with softmax and each class's Dice over the whole
    batch; for one foreground channel it is `bce_dice_loss`.

    Args:
        logits: (N, K, *spatial), channel 0 the background, or (N, 1, *spatial).
        truth: as for `cross_entropy_loss`.
        smooth: voxels added to numerator and denominator.
        weights: as for `cross_entropy_loss`.

    Returns:
        A scalar, at least 0.
    """
    if logits.shape[1] == 1:
        return bce_dice_loss(logits, truth, smooth, weights=weights)
    known = _known(truth)
    probability = logits.softmax(1)
    wanted = _one_hot(probability, truth, known)
    if known is not None:
        probability, wanted = probability * known[:, None], wanted * known[:, None]
    voxels = [axis for axis in range(logits.dim()) if axis != 1]
    overlap, total = (probability * wanted).sum(voxels), (probability + wanted).sum(voxels)
    soft_dice = (2 * overlap + smooth) / (total + smooth)
    return _cross_entropy(logits, truth, known, weights) + 1 - soft_dice[1:].mean()


def focal_loss(
    logits: Tensor, truth: Tensor, gamma: float = 2.0, *, weights: Tensor | None = None
) -> Tensor:
    """Return the mean over voxels of −(1 − p)^γ · log p, p the probability of the true class.

    Lin et al., ICCV 2017, computed by MONAI; for γ = 0 it is `cross_entropy_loss`.

    Args:
        logits: (N, K, *spatial) of K classes, or (N, 1, *spatial) of foreground.
        truth: as for `cross_entropy_loss`.
        gamma: at least 0; the larger, the less voxels count that are already right.
        weights: as for `cross_entropy_loss`.

    Returns:
        A scalar, at least 0.
    """
    from monai.losses.focal_loss import FocalLoss

    known, several = _known(truth), logits.shape[1] > 1
    wanted = _one_hot(logits, truth, known) if several else _annotated(truth, known)
    each = FocalLoss(gamma=gamma, reduction="none", use_softmax=several)(logits, wanted).sum(1)
    classes = _annotated(truth, known) if several else wanted[:, 0]
    if weights is None:
        weights = logits.new_ones(max(2, logits.shape[1]))
    there = known if several or known is None else known[:, 0]
    return _mean(each, classes, there, weights)


def tversky_loss(logits: Tensor, truth: Tensor, smooth: float = 1.0) -> Tensor:
    """Return 1 − the mean of TP / (TP + 0.3·FP + 0.7·FN) over the classes except background.

    Salehi et al. 2017, with the weights of their best result, computed by MONAI over the whole
    batch. Missed voxels cost more than false ones.

    Args:
        logits: (N, K, *spatial), channel 0 the background, or (N, 1, *spatial).
        truth: as for `cross_entropy_loss`.
        smooth: voxels added to numerator and denominator.

    Returns:
        A scalar, from 0 to 1.
    """
    from monai.losses.tversky import TverskyLoss

    known, several = _known(truth), logits.shape[1] > 1
    probability = logits.softmax(1) if several else logits.sigmoid()
    wanted = _one_hot(probability, truth, known) if several else _annotated(truth, known)
    if known is not None:
        there = known[:, None] if several else known
        probability, wanted = probability * there, wanted * there
    loss: Tensor = TverskyLoss(
        include_background=not several, alpha=0.3, beta=0.7, smooth_nr=smooth, smooth_dr=smooth,
        batch=True,
    )(probability, wanted)  # fmt: skip
    return loss


LOSSES: dict[str, Loss] = {
    "bce_dice": bce_dice_loss,
    "cross_entropy": cross_entropy_loss,
    "dice_cross_entropy": dice_cross_entropy_loss,
    "focal": focal_loss,
    "tversky": tversky_loss,
}


def choose_loss(
    name: str,
    outputs: int,
    kind: Literal["segmentation", "classification"] = "segmentation",
    weights: Sequence[float] | None = None,
) -> Loss:
    """Return a loss of `LOSSES` or at ``module:name``, or for ``auto`` the default of the task.

    The default is bce_dice for one output channel, dice_cross_entropy for several classes and
    cross_entropy for classes of whole images. ``module:name`` is a function of logits and labels
    (as for `cross_entropy_loss`) that returns a scalar, or a class of such modules. A loss of MONAI
    is built for logits and class indices.

    Args:
        name: of the loss.
        outputs: channels of the logits.
        kind: of the task.
        weights: of the classes, the background first; the loss must have a parameter `weights`.

    Raises:
        ConfigError: the loss does not fit the task, or the weights do not fit the loss.
    """
    usual = "bce_dice" if outputs == 1 else "dice_cross_entropy"
    fitting = [usual, *(loss for loss in ("cross_entropy", "dice_cross_entropy") if loss != usual)]
    fitting += ["focal", "tversky"]
    if kind == "classification":
        fitting = ["cross_entropy"]
    if ":" not in name and name != "auto" and name not in fitting:
        raise ConfigError(
            f"training.loss: must be auto or one of {', '.join(fitting)} for {kind} with "
            f"{outputs} output channel{'s' if outputs > 1 else ''}, got {name!r}."
        )
    name = fitting[0] if name == "auto" else name
    loss = _users_loss(name, outputs) if ":" in name else LOSSES[name]
    return loss if weights is None else _weighted(loss, name, outputs, weights)


def _users_loss(name: str, outputs: int) -> Loss:
    found = load(name, "training.loss")
    if isinstance(found, type) and issubclass(found, nn.Module):
        of_monai = found.__module__.startswith("monai.losses.")
        with users_code(f"training.loss: {name} must need no arguments, and raises"):
            found = _monai_loss(found, name, outputs) if of_monai else found()
    if not callable(found):
        raise ConfigError(f"training.loss: must be a function of logits and truth, got {found!r}.")

    def loss(logits: Tensor, truth: Tensor, **weights: Tensor) -> Tensor:
        rule = f"training.loss: {name} must accept logits and truth of a sample, and raises"
        with users_code(rule, partial(TrainingError, kind="loss")):
            value: Tensor = found(logits, truth, **weights)
            return value

    loss.__wrapped__ = found  # type: ignore[attr-defined]  # its own parameters count
    return loss


def _monai_loss(found: type[nn.Module], name: str, outputs: int) -> Loss:
    """Return a loss of MONAI, which by default takes no logits, and classes only as channels."""
    usual = ["sigmoid"] if outputs == 1 else ["softmax", "use_softmax", "to_onehot_y"]
    made = found(**{key: True for key in usual if key in parameters_of(found)})

    def loss(logits: Tensor, truth: Tensor) -> Tensor:
        if truth.dim() > 1 and (truth == IGNORED).any():
            raise TrainingError(
                f"training.loss: {name} must leave out ignored voxels, and counts them; choose a "
                f"loss of normsearch, one of {', '.join(LOSSES)}",
                kind="loss",
            )
        value: Tensor = made(logits, truth if truth.dim() == logits.dim() else truth[:, None])
        return value

    return loss


def _weighted(loss: Loss, name: str, outputs: int, weights: Sequence[float]) -> Loss:
    """Return a loss with class weights."""
    if "weights" not in parameters_of(loss):
        raise ConfigError(
            f"training.class_weights: must be left out for the loss {name}, which takes no "
            "parameter `weights`; choose a loss with a cross-entropy in it, such as cross_entropy."
        )
    if len(weights) != max(2, outputs):
        raise ConfigError(
            f"training.class_weights: must be {max(2, outputs)} weights, one for each class "
            f"including the background, got {len(weights)}."
        )
    keywords = {"weights": torch.tensor(weights)}
    return partial(loss, **keywords)


def _known(truth: Tensor) -> Tensor | None:
    """Return where voxels are not ignored; None if there can be no ignored ones, or there are none.

    On a GPU the result is a mask in any case, as checking its values would wait for the GPU.
    """
    if truth.dim() < 2:  # a whole image's class
        return None
    if truth.device.type == "cpu" and truth.max() < IGNORED:
        return None
    return truth != IGNORED


def _annotated(truth: Tensor, known: Tensor | None) -> Tensor:
    """Return the truth with ignored voxels as background."""
    return truth if known is None else truth.masked_fill(~known, 0)


def _one_hot(like: Tensor, truth: Tensor, known: Tensor | None) -> Tensor:
    """Return the truth as a tensor like the logits, 1 in the channel of each voxel's class."""
    return torch.zeros_like(like).scatter_(1, _annotated(truth, known)[:, None], 1.0)


def _binary_cross_entropy(
    logits: Tensor, truth: Tensor, known: Tensor | None, weights: Tensor | None
) -> Tensor:
    truth = _annotated(truth, known)
    if weights is not None:
        each = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        return _mean(each, truth, known, weights)
    if known is None:
        return functional.binary_cross_entropy_with_logits(logits, truth)
    each = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1)


def _cross_entropy(
    logits: Tensor, truth: Tensor, known: Tensor | None, weights: Tensor | None
) -> Tensor:
    if weights is not None:
        classes = _annotated(truth, known)
        each = functional.cross_entropy(logits, classes, reduction="none")
        return _mean(each, classes, known, weights)
    if known is None:
        return functional.cross_entropy(logits, truth)
    total = functional.cross_entropy(logits, truth, ignore_index=IGNORED, reduction="sum")
    return total / known.sum().clamp(min=1)


def _mean(each: Tensor, classes: Tensor, known: Tensor | None, weights: Tensor) -> Tensor:
    """Return the mean of `each` voxel's value, by the weight of its class; 0 if all weights are 0.

    Args:
        each: a value for each voxel.
        classes: the class of each, of the same shape.
        known: the voxels that are not ignored; None for all.
        weights: (K,).
    """
    shares = weights.to(each)[classes.long()]
    if known is not None:
        shares = shares * known
    return (each * shares).sum() / shares.sum().clamp(min=torch.finfo(shares.dtype).tiny)
