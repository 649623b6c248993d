"""Training a segmentation network, one result per evaluation point."""

from normsearch.training.checkpoint import (
    load_checkpoint,
    load_newest,
    save_checkpoint,
    save_newest,
)
from normsearch.training.engine import Evaluation, Loader, Plan, train
from normsearch.training.losses import bce_dice_loss
from normsearch.training.memory import limit_memory, probe_memory
from normsearch.training.metrics import dice, mean_dice
from normsearch.training.statistics import recompute_statistics

__all__ = [
    "Evaluation",
    "Loader",
    "Plan",
    "bce_dice_loss",
    "dice",
    "limit_memory",
    "load_checkpoint",
    "load_newest",
    "mean_dice",
    "probe_memory",
    "recompute_statistics",
    "save_checkpoint",
    "save_newest",
    "train",
]
