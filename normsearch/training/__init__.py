"""Trains networks, with one result per evaluation point."""

from normsearch.training.acceleration import check_compiler
from normsearch.training.checkpoint import (
    load_checkpoint,
    load_newest,
    load_tensors,
    network_weights,
    save_checkpoint,
    save_newest,
)
from normsearch.training.deep_supervision import over_scales
from normsearch.training.engine import Loader, train
from normsearch.training.error_conversion import lacks_memory, typed_failures
from normsearch.training.gpu_share import limit_memory
from normsearch.training.losses import (
    LOSSES,
    bce_dice_loss,
    choose_loss,
    cross_entropy_loss,
    dice_cross_entropy_loss,
)
from normsearch.training.memory import probe_memory
from normsearch.training.metric_registry import METRICS, choose_metric
from normsearch.training.metrics import (
    classification_score,
    dice,
    mean_score,
    segmentation_score,
)
from normsearch.training.optimizer_step import OPTIMIZERS
from normsearch.training.plan import Evaluation, Plan
from normsearch.training.precision import PRECISIONS, gpu_settings
from normsearch.training.schedule import SCHEDULES
from normsearch.training.seam import count_tiles, has_seam, seam
from normsearch.training.statistics import recompute_statistics
from normsearch.training.validation import (
    OnAccess,
    ValidationCase,
    count_windows,
    score_cases,
    window_logits,
)

__all__ = [
    "LOSSES",
    "METRICS",
    "OPTIMIZERS",
    "PRECISIONS",
    "SCHEDULES",
    "Evaluation",
    "Loader",
    "OnAccess",
    "Plan",
    "ValidationCase",
    "bce_dice_loss",
    "check_compiler",
    "choose_loss",
    "choose_metric",
    "classification_score",
    "count_tiles",
    "count_windows",
    "cross_entropy_loss",
    "dice",
    "dice_cross_entropy_loss",
    "gpu_settings",
    "has_seam",
    "lacks_memory",
    "limit_memory",
    "load_checkpoint",
    "load_newest",
    "load_tensors",
    "mean_score",
    "network_weights",
    "over_scales",
    "probe_memory",
    "recompute_statistics",
    "save_checkpoint",
    "save_newest",
    "score_cases",
    "seam",
    "segmentation_score",
    "train",
    "typed_failures",
    "window_logits",
]
