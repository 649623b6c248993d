"""`normsearch list`: what there is to choose from."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from normsearch.cli.options import Json
from normsearch.cli.terminal import show


class Kind(StrEnum):
    """What can be listed."""

    NORMS = "norms"
    SPACES = "spaces"
    STUDIES = "studies"
    NETWORKS = "networks"
    SAMPLERS = "samplers"
    PRUNERS = "pruners"
    METRICS = "metrics"
    LOSSES = "losses"
    OPTIMIZERS = "optimizers"
    SCHEDULES = "schedules"
    LOGGERS = "loggers"
    FIGURES = "figures"
    LAYOUTS = "layouts"
    FINDINGS = "findings"


def listing(
    kind: Annotated[Kind, typer.Argument(help="What to list.", show_default=False)],
    as_json: Json = False,
) -> None:
    """List what there is to choose from; of most kinds module:name may be given, too."""
    found = _LISTS[kind]()
    if as_json:
        print(json.dumps(found))
    else:
        width = max(map(len, found))
        for name, text in found.items():
            show(f"{name:<{width}}  {text}")


def _norms() -> dict[str, str]:
    from normsearch.norms import NORMS

    return {kind: norm.summary for kind, norm in NORMS.items()}


def _summaries(module: str, table: str) -> dict[str, str]:
    """A line on each entry of a table of ours: its summary, or the first of its docstring."""
    entries = getattr(importlib.import_module(f"normsearch.{module}"), table)
    return {name: getattr(entry, "summary", None) or _first_line(entry)
            for name, entry in entries.items()}  # fmt: skip


def _first_line(entry: object) -> str:
    return (entry.__doc__ or "").strip().splitlines()[0].removeprefix("Return ")


def _figures() -> dict[str, str]:
    from normsearch.analysis import FIGURES, reading

    return {kind: reading(kind)[0] for kind in FIGURES}


def _files(folder: str) -> dict[str, str]:
    from normsearch.files import shipped

    return {path.stem: _first_comment(path) for path in sorted(shipped(folder).glob("*.yaml"))}


def _findings() -> dict[str, str]:
    """Each published statement with its verdict at the largest scale there is one for."""
    from normsearch.analysis.recorded_results import read_results
    from normsearch.findings.registration import all_statements
    from normsearch.findings.results import largest_scale

    results, found = read_results(), {}
    for name, (_, statement) in all_statements().items():
        scale = largest_scale(results, name)
        verdict = f"{results[name, scale]['verdict']} ({scale})" if scale else "no result yet"
        found[name] = f"{verdict}: {statement.text}"
    return found


def _first_comment(path: Path) -> str:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


_LISTS: dict[Kind, Callable[[], dict[str, str]]] = {
    Kind.NORMS: _norms,
    Kind.SPACES: partial(_files, "search_spaces"),
    Kind.STUDIES: partial(_files, "studies"),
    Kind.NETWORKS: partial(_summaries, "networks", "NETWORKS"),
    Kind.SAMPLERS: partial(_summaries, "config.search", "SAMPLERS"),
    Kind.PRUNERS: partial(_summaries, "config.search", "PRUNERS"),
    Kind.METRICS: partial(_summaries, "training", "METRICS"),
    Kind.LOSSES: partial(_summaries, "training", "LOSSES"),
    Kind.OPTIMIZERS: partial(_summaries, "training", "OPTIMIZERS"),
    Kind.SCHEDULES: partial(_summaries, "training", "SCHEDULES"),
    Kind.LOGGERS: partial(_summaries, "config.search", "CALLBACKS"),
    Kind.FIGURES: _figures,
    Kind.LAYOUTS: partial(_summaries, "data", "LAYOUTS"),
    Kind.FINDINGS: _findings,
}
