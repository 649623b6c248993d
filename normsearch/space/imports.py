"""Import from OptunaHub."""

from __future__ import annotations

from typing import Any

from normsearch.errors import ConfigError, one_line


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
