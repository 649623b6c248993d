"""normsearch: find by search which norm each layer of a segmentation network should use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["StudyRecord", "TrainedModel", "__version__", "load_model", "load_study"]

if TYPE_CHECKING:
    from normsearch.storage.records import StudyRecord, load_study
    from normsearch.trials.model import TrainedModel, load_model


def __getattr__(name: str) -> Any:
    # On demand, so that norms and networks can be used where Optuna is not installed.
    if name in ("load_study", "StudyRecord"):
        from normsearch.storage import records

        return getattr(records, name)
    if name in ("load_model", "TrainedModel"):
        from normsearch.trials import model

        return getattr(model, name)
    raise AttributeError(f"module 'normsearch' has no attribute {name!r}")
