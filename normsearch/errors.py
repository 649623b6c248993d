"""The errors a user can mend, each one sentence: where, what must hold, what came, cure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class NormsearchError(Exception):
    """Base of every error that is the user's to mend; on the command line, exit code 1.

    Its text is one line, whatever a name or a value in it holds.
    """

    def __str__(self) -> str:
        return " ".join(super().__str__().splitlines())


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
        return " ".join(self.message.splitlines())


class CheckpointError(NormsearchError):
    """A checkpoint cannot be read or belongs to another network."""


class DiskFullError(NormsearchError):
    """A file of a run cannot be written, for the disk is full."""


class StudyError(NormsearchError):
    """A study's folder or storage is missing, taken, or not what was asked for."""


class TakenError(StudyError):
    """Another driver has taken a trial over; what this one still has of it is not written."""


class GoneError(StudyError):
    """A run's or a trial's folder was deleted while it was in use."""


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'IN'?`` for the known word closest to `given`, else an empty string.

    >>> did_you_mean("INN", ["BN", "IN"])
    " Did you mean 'IN'?"
    """
    by_lower = {word.lower(): word for word in known}
    close = difflib.get_close_matches(given[:100].lower(), by_lower, n=1, cutoff=0.5)
    return f" Did you mean {by_lower[close[0]]!r}?" if close else ""


def sentence(text: object) -> str:
    """Return `text` with a full stop, unless it ends a sentence already.

    >>> sentence("must be one of BN, IN"), sentence("Did you mean 'IN'?")
    ('must be one of BN, IN.', "Did you mean 'IN'?")
    """
    words = str(text)
    return words if words.endswith((".", "?")) else f"{words}."


def one_line(text: object) -> str:
    """Return a text, or an error's, in one line of at most 200 characters, all of them printable.

    If an error has almost no text, the name of its type comes first.

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
    """Return a value for a message: the beginning of a long one, and whole numbers of any size.

    >>> short("BN"), short([0] * 100)[-7:]
    ("'BN'", '0, 0...')
    """
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 200 else f"{text[:200]}..."


def visible(text: str) -> str:
    r"""Return `text` with its control characters written out, all but tabs and ends of lines.

    A terminal obeys them, and those that turn the direction of writing. Bytes of a file's name that
    are no UTF-8 are written out too.

    >>> print(visible("a\x1b[2Jb"))
    a\x1b[2Jb
    """
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)
