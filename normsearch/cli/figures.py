"""The way from the command line to the analysis package, which lies beside this one."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import normsearch
from normsearch.errors import NormsearchError


def analysis_module(name: str = "") -> ModuleType:
    """Import ``analysis`` or one module of it.

    Raises:
        NormsearchError: another package called analysis comes first on the path.
    """
    package = importlib.import_module("analysis")
    found = Path(package.__file__ or "").resolve().parent.parent
    expected = Path(normsearch.__file__).resolve().parent.parent
    if found != expected:
        raise NormsearchError(
            f"{found / 'analysis'}: hides normsearch's own package of this name; "
            "start normsearch from another folder."
        )
    return importlib.import_module(f"analysis.{name}") if name else package
