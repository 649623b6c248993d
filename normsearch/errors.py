"""Errors that a user can fix. Messages say where, what must hold, what was given, and the cure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class NormsearchError(Exception):
    """Base of all errors that a user can fix; the command line then exits with code 1.

    The message is one line, even if a name or value in it has several.
    """

    def __str__(self) -> str:
        return " ".join(super().__str__().splitlines())


class ConfigError(NormsearchError):
    """A study, a space, a trial or an argument is invalid."""


class NormError(NormsearchError, ValueError):
    """A norm spec is unknown, malformed or infeasible for the slot's channels."""


class NetworkError(NormsearchError, ValueError):
    """A network cannot be built, or a norm map does not fit it."""


class ChangedNetworkError(NetworkError):
    """A network differs from the one that a run, a trial or a model was made with."""


class TrustError(NormsearchError):
    """A file names code to run, and the user has not allowed it."""


class DataError(NormsearchError):
    """An image, label or data set cannot be used."""


class CacheError(DataError):
    """A prepared case in the cache cannot be read where a trial is trained."""


class TrainingError(NormsearchError):
    """A training cannot continue.

    `kind` is ``nan`` (the loss is not finite), ``memory``, ``neighbour`` (other processes take the
    GPU's memory), ``norm``, ``compile``, ``timeout``, ``trainer``, ``loss``, ``metric`` or
    ``schedule``.
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message, kind)
        self.message, self.kind = message, kind

    def __str__(self) -> str:
        return " ".join(self.message.splitlines())


class CheckpointError(NormsearchError):
    """A checkpoint cannot be read or belongs to another network."""


class DiskFullError(NormsearchError):
    """A file of a run cannot be written because the disk is full."""


class StudyError(NormsearchError):
    """A study's folder or storage is missing, in use, or belongs to another study."""


class TakenError(StudyError):
    """Another driver has taken over a trial, so this one must not write its files."""


class GoneError(StudyError):
    """A run's or a trial's folder was deleted while it was in use."""


def ended_by_ray(error: BaseException) -> bool:
    """Return whether an error is Ray's end of a worker, and not a call of sys.exit."""
    return hasattr(error, "ray_terminate_msg")


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'IN'?`` for the known word closest to `given`, else an empty string.

    >>> did_you_mean("INN", ["BN", "IN"])
    " Did you mean 'IN'?"
    """
    by_lower = {word.lower(): word for word in known}
    close = difflib.get_close_matches(given[:100].lower(), by_lower, n=1, cutoff=0.5)
    return f" Did you mean {by_lower[close[0]]!r}?" if close else ""


def sentence(text: object) -> str:
    """Return `text` with a full stop, unless it already ends with one or with a question mark.

    >>> sentence("must be one of BN, IN"), sentence("Did you mean 'IN'?")
    ('must be one of BN, IN.', "Did you mean 'IN'?")
    """
    words = str(text)
    return words if words.endswith((".", "?")) else f"{words}."


def count(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> count(1, "case"), count(2, "case")
    ('1 case', '2 cases')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def one_line(text: object) -> str:
    """Return a text or an error as one line of at most 200 printable characters.

    If an error has almost no text, the name of its type is added.

    >>> one_line("a\\n  b\\x1b.")
    'a b\\\\x1b'
    >>> one_line(KeyError(0))
    'KeyError 0'
    """
    line = " ".join(str(text).split()).rstrip(".")[:200]
    if len(line) <= 3 and (isinstance(text, BaseException) or not line):
        line = f"{type(text).__name__} {line}".strip()
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)


def short(value: object) -> str:
    """Return the repr of a value for a message, cut to 200 characters.

    >>> short("BN"), short([0] * 100)[-7:]
    ("'BN'", '0, 0...')
    """
    try:
        text = repr(value)
    except ValueError:  # Python does not convert integers of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 200 else f"{text[:200]}..."


def visible(text: str) -> str:
    r"""Return `text` with escaped control characters, except tabs and line ends.

    A terminal would interpret them, and characters that change the direction of writing. Bytes of a
    file name that are not UTF-8 are escaped too.

    >>> print(visible("a\x1b[2Jb"))
    a\x1b[2Jb
    """
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)
