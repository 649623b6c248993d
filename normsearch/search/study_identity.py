"""Which run a study in a storage belongs to."""

from __future__ import annotations

import optuna

from normsearch.config import StudyConfig
from normsearch.errors import StudyError
from normsearch.search.jobs import identity


def check_identity(study: optuna.Study, config: StudyConfig) -> None:
    """Raise StudyError if the storage's study was begun with other data, network or space.

    A study that has no identity yet, for it is new or of an older version, gets this one.
    """
    own = identity(config)
    known = study.user_attrs.get("identity")
    if known is None:
        study.set_user_attr("identity", own)
    elif known != own:
        raise StudyError(
            f"{config.name}: the storage's study of this name must be of the same data, network, "
            "training and space, and is of another run; give this run a name of its own, or "
            "another --storage."
        )
