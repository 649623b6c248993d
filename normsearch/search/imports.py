"""Python code that a study names: by ``module:name``, or from OptunaHub."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from normsearch.errors import ConfigError, did_you_mean


def load(path: str, where: str) -> Any:
    """Return what ``module:name`` means; modules in the working folder are found too.

    Raises:
        ConfigError: no such module, an error while it is imported, or no such name in it; `where`
            is the key that holds the path.
    """
    module_name, _, name = path.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError, SyntaxError) as error:
        raise ConfigError(
            f"{where}: must be module:name of a module that can be imported (from {here}, too), "
            f"got {path}: {error}."
        ) from error
    if not hasattr(module, name):
        public = [known for known in vars(module) if not known.startswith("_")]
        raise ConfigError(
            f"{where}: {module_name} must have {name!r}, and has none.{did_you_mean(name, public)}"
        )
    return getattr(module, name)


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
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"{where}: must be optunahub:samplers/PACKAGE:CLASS, got {path}: {reason}."
        ) from error
