"""normsearch: find by search which norm each layer of a segmentation network should use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"
__all__ = [
    "Study",
    "StudyRecord",
    "TrainedModel",
    "Trial",
    "__version__",
    "init_study",
    "load_model",
    "load_study",
    "open_study",
    "suggest_norms",
]

if TYPE_CHECKING:
    from normsearch.space.suggesting import suggest_norms
    from normsearch.storage.records import StudyRecord, load_study
    from normsearch.study import Study, open_study
    from normsearch.trials.model import TrainedModel, load_model
    from normsearch.trials.new_study import init_study
    from normsearch.trials.trial import Trial

# Imported on demand, so that norms and networks can be used without Optuna.
_PLACES = {
    "Study": "study",
    "StudyRecord": "storage.records",
    "TrainedModel": "trials.model",
    "Trial": "trials.trial",
    "init_study": "trials.new_study",
    "load_model": "trials.model",
    "load_study": "storage.records",
    "open_study": "study",
    "suggest_norms": "space.suggesting",
}


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(f"normsearch.{_PLACES[name]}"), name)
    raise AttributeError(f"module 'normsearch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__]
