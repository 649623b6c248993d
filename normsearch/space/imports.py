"""Import from OptunaHub, and errors of Python code that a study names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from normsearch.errors import ConfigError, NormsearchError, one_line


def load_hub(path: str, where: str) -> Any:
    """Return a class of an OptunaHub package, downloaded once: ``samplers/PACKAGE:CLASS``.

    Raises:
        ConfigError: the extra is missing, or there is no such package or class.
    """
    package, _, name = path.partition(":")
    try:
        import optunahub
        from git.exc import GitError
        from github import GithubException
    except ImportError as error:
        raise ConfigError(
            f"{where}: optunahub must be installed for {path}; pip install normsearch[optunahub]."
        ) from error
    try:
        return getattr(optunahub.load_module(package), name)
    except (AttributeError, ImportError, OSError, ValueError, GitError, GithubException) as error:
        reason = one_line(error)
        raise ConfigError(
            f"{where}: must be optunahub:samplers/PACKAGE:CLASS, got {path}: {reason}."
        ) from error


@contextmanager
def users_code(rule: str) -> Iterator[None]:
    """Turn any exception of a user's code into one sentence.

    Raises:
        ConfigError: `rule` (where, and what is wrong), and the message of the exception.
    """
    try:
        yield
    except NormsearchError:
        raise
    except (Exception, SystemExit) as error:  # a user's code raises what it likes
        raise ConfigError(f"{rule}: {one_line(error)}.") from error
