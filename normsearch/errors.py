"""The errors a user can mend, each one sentence: where, what must hold, what came, cure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class NormsearchError(Exception):
    """Base of every error that is the user's to mend; on the command line, exit code 1."""


class ConfigError(NormsearchError):
    """A study, space or trial file says something it must not."""


class NormError(NormsearchError, ValueError):
    """A norm spec is unknown, malformed or infeasible for the slot's channels."""


class NetworkError(NormsearchError, ValueError):
    """A network cannot be built, or a norm map does not fit it."""


class ChangedNetworkError(NetworkError):
    """A network is no longer the one that a run, a trial or a model was made with."""


class TrustError(NormsearchError):
    """A file from elsewhere names code that would run, and nobody said that it may."""


class DataError(NormsearchError):
    """An image, label or data set cannot be used."""


class TrainingError(NormsearchError):
    """Training cannot go on as chosen.

    `kind` is ``nan`` (the loss is not finite), ``memory``, ``norm`` or ``timeout``.
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message, kind)
        self.message, self.kind = message, kind

    def __str__(self) -> str:
        return self.message


class CheckpointError(NormsearchError):
    """A checkpoint cannot be read or belongs to another network."""


class DiskFullError(NormsearchError):
    """A file of a run cannot be written, for the disk is full."""


class StudyError(NormsearchError):
    """A study's folder or storage is missing, taken, or not what was asked for."""


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'IN'?`` for the known word closest to `given`, else an empty string.

    >>> did_you_mean("INN", ["BN", "IN"])
    " Did you mean 'IN'?"
    """
    by_lower = {word.lower(): word for word in known}
    close = difflib.get_close_matches(given.lower(), by_lower, n=1, cutoff=0.5)
    return f" Did you mean '{by_lower[close[0]]}'?" if close else ""


def sentence(text: object) -> str:
    """Return `text` with a full stop, unless it ends a sentence already.

    >>> sentence("must be one of BN, IN"), sentence("Did you mean 'IN'?")
    ('must be one of BN, IN.', "Did you mean 'IN'?")
    """
    words = str(text)
    return words if words.endswith((".", "?")) else f"{words}."
