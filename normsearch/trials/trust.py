"""Whose code runs: what a file from elsewhere names is not imported unless somebody says so.

A study file that a user gives names code of their own choice: it runs. A model runs code of this
package alone unless it is trusted. A run's folder, which may be another's, runs what lies in the
user's sight (a module in the working folder or elsewhere outside of the installed packages), and of
installed packages only what can do little harm: classes of networks, losses, optimizers, samplers
and pruners. What a user says on the command line, such as a figure, is theirs, too.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from normsearch.config import (
    NetworkConfig,
    PythonSpaceConfig,
    StudyConfig,
    TaskConfig,
    TrialConfig,
)
from normsearch.errors import TrustError
from normsearch.networks import import_object, imports_in, is_network_class, locate

_CURE = "if you know it, and whoever made the file, allow it by --trust-code (trust_code=True)"


def code_of(network: NetworkConfig) -> list[str]:
    """Return every ``module:name`` outside of this package that building a network imports."""
    return [network.name, *imports_in(network.arguments)] if ":" in network.name else []


def refuse_foreign_code(model: TrialConfig, where: str) -> None:
    """Raise TrustError if a model needs code outside of this package to predict."""
    if code := [*code_of(model.network), *_preparing(model.task)]:
        raise TrustError(
            f"{where}: must need no code but that of normsearch, and would run "
            f"{', '.join(code)}; {_CURE}"
        )


def _preparing(task: TaskConfig) -> list[str]:
    """Return the ``module:name`` of the functions that prepare a task's images."""
    return [str(text) for text in (task.intensity, task.fit) if ":" in text]


def refuse_unseen_network(network: NetworkConfig, where: str) -> None:
    """Raise TrustError if the network of a run names code that the user may never have seen."""
    for text in code_of(network):
        place = locate(text)
        if place == "of Python" or (place == "installed" and not _harmless(text)):
            raise _unseen(text, where)


def refuse_unseen_code(study: StudyConfig, where: str) -> None:
    """Raise TrustError if a run names code that the user may never have seen."""
    refuse_unseen_network(study.network, where)
    refuse_unseen_training(study, where)
    search, space = study.search, study.space
    if search.sampler.startswith("optunahub:"):
        raise _unseen(search.sampler, where)
    # Of installed samplers and pruners only classes of theirs are called.
    pruners = [search.pruner.name, search.pruner.wrapped.name if search.pruner.wrapped else ""]
    for text in (search.sampler, *pruners):
        if ":" in text and locate(text) == "of Python":
            raise _unseen(text, where)
    of_space = [space.function] if isinstance(space, PythonSpaceConfig) else []
    _refuse_unless_in_sight([*of_space, *search.callbacks], where)


def refuse_unseen_training(config: StudyConfig | TrialConfig, where: str) -> None:
    """Raise TrustError if a training names code that the user may never have seen."""
    training, task = config.training, config.task
    for text in (training.loss, training.optimizer):
        if ":" in text and not (locate(text) == "installed" and _harmless(text)):
            _refuse_unless_in_sight([text], where)
    metric = training.metric.name if training.metric.foreign else None
    others = (config.trainer, metric, training.schedule, task.layout, *_preparing(task))
    _refuse_unless_in_sight(
        [text or "" for text in (*others, *task.augmentation.transforms)], where
    )


def _refuse_unless_in_sight(texts: Iterable[str], where: str) -> None:
    for text in texts:
        if ":" in text and locate(text) not in (None, "in sight"):
            raise _unseen(text, where)


def _harmless(text: str) -> bool:
    """Whether an installed name is a class of networks or optimizers, or nothing to be called."""
    found = import_object(text)
    is_optimizer = isinstance(found, type) and issubclass(found, torch.optim.Optimizer)
    return is_network_class(found) or is_optimizer or not callable(found)


def _unseen(text: str, where: str) -> TrustError:
    return TrustError(
        f"{where}: must name code that lies in sight (in the working folder, say) or an installed "
        f"class of networks, losses or optimizers to be used without a word, got {text}; {_CURE}"
    )
