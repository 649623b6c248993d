"""Training a segmentation network, one result per evaluation point."""

from normsearch.training.checkpoint import load_checkpoint, load_tensors, save_checkpoint
from normsearch.training.engine import Evaluation, Loader, Plan, train
from normsearch.training.losses import bce_dice_loss
from normsearch.training.metrics import dice, mean_dice
from normsearch.training.statistics import recompute_statistics

__all__ = [
    "Evaluation",
    "Loader",
    "Plan",
    "bce_dice_loss",
    "dice",
    "load_checkpoint",
    "load_tensors",
    "mean_dice",
    "recompute_statistics",
    "save_checkpoint",
    "train",
]
