"""Decides which code may run: import paths in files from others need permission.

Code in a study file that a user runs is allowed. A model runs only code of this package unless it
is trusted. A run's folder, which may come from others, runs modules in sight (in the working folder
or elsewhere outside of the installed packages), and of installed packages only classes of networks,
losses, optimizers, samplers and pruners. Import paths on the command line are allowed.
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
from normsearch.data import is_random_transform
from normsearch.errors import TrustError
from normsearch.networks import import_object, imports_in, is_network_class, locate

_CURE = "if you trust it and the author of the file, allow it by --trust-code (trust_code=True)"


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
    """Raise TrustError if the network of a run needs code that is not allowed."""
    for text in code_of(network):
        place = locate(text)
        if place == "of Python" or (place == "installed" and not _harmless(text)):
            raise _refusal(text, where)


def refuse_unseen_code(study: StudyConfig, where: str) -> None:
    """Raise TrustError if a run needs code that is not allowed."""
    refuse_unseen_network(study.network, where)
    refuse_unseen_training(study, where)
    search, space = study.search, study.space
    if search.sampler.startswith("optunahub:"):
        raise _refusal(search.sampler, where)
    # Installed samplers and pruners may only be classes, which is checked when they are built.
    pruners = [search.pruner.name, search.pruner.wrapped.name if search.pruner.wrapped else ""]
    for text in (search.sampler, *pruners):
        if ":" in text and locate(text) == "of Python":
            raise _refusal(text, where)
    of_space = [space.function] if isinstance(space, PythonSpaceConfig) else []
    _refuse_unless_in_sight([*of_space, *search.callbacks], where)


def refuse_unseen_training(config: StudyConfig | TrialConfig, where: str) -> None:
    """Raise TrustError if a training needs code that is not allowed."""
    training, task = config.training, config.task
    for text in (training.loss, training.optimizer):
        if ":" in text and not (locate(text) == "installed" and _harmless(text)):
            _refuse_unless_in_sight([text], where)
    metric = training.metric.name if training.metric.foreign else None
    others = (config.trainer, metric, training.schedule, task.layout, *_preparing(task))
    _refuse_unless_in_sight([text or "" for text in (*others, *_changing(task))], where)


def _changing(task: TaskConfig) -> list[str]:
    """Return the ``module:name`` that augment samples, but for random transforms of MONAI."""
    found = list[str]()
    for one in task.augmentation.imported:
        found += imports_in(one.arguments)
        ours = one.name.startswith("monai.") and locate(one.name) == "installed"
        if not (ours and is_random_transform(import_object(one.name))):
            found.append(one.name)
    return found


def _refuse_unless_in_sight(texts: Iterable[str], where: str) -> None:
    for text in texts:
        if ":" in text and locate(text) not in (None, "in sight"):
            raise _refusal(text, where)


def _harmless(text: str) -> bool:
    """Return whether an installed object is a class of networks or optimizers, or not callable."""
    found = import_object(text)
    is_optimizer = isinstance(found, type) and issubclass(found, torch.optim.Optimizer)
    return is_network_class(found) or is_optimizer or not callable(found)


def _refusal(text: str, where: str) -> TrustError:
    return TrustError(
        f"{where}: must name code that lies in sight (for example in the working folder) or an "
        f"installed class of networks, losses or optimizers, got {text}; {_CURE}"
    )
