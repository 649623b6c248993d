"""`normsearch list`: what there is to choose from."""

from __future__ import annotations

import json
from enum import StrEnum
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
    LAYOUTS = "layouts"
    FINDINGS = "findings"


def listing(
    kind: Annotated[Kind, typer.Argument(help="What to list.", show_default=False)],
    as_json: Json = False,
) -> None:
    """List norms, spaces, studies, networks, samplers, pruners, layouts of data or findings."""
    from normsearch.config.search import PRUNERS, SAMPLERS
    from normsearch.files import shipped

    if kind is Kind.NORMS:
        found = _norms()
    elif kind is Kind.NETWORKS:
        found = _networks()
    elif kind in (Kind.SAMPLERS, Kind.PRUNERS):
        found = SAMPLERS if kind is Kind.SAMPLERS else PRUNERS
    elif kind is Kind.LAYOUTS:
        found = _layouts()
    elif kind is Kind.FINDINGS:
        found = _findings()
    else:
        folder = shipped("studies" if kind is Kind.STUDIES else "search_spaces")
        found = {path.stem: _first_comment(path) for path in sorted(folder.glob("*.yaml"))}
    if as_json:
        print(json.dumps(found))
    else:
        width = max(map(len, found))
        for name, text in found.items():
            show(f"{name:<{width}}  {text}")


def _norms() -> dict[str, str]:
    from normsearch.norms import NORMS

    return {kind: norm.summary for kind, norm in NORMS.items()}


def _networks() -> dict[str, str]:
    from normsearch.networks import NETWORKS

    return {name: (build.__doc__ or "").strip().splitlines()[0] for name, build in NETWORKS.items()}


def _layouts() -> dict[str, str]:
    from normsearch.data import LAYOUTS

    return {name: layout.summary for name, layout in LAYOUTS.items()}


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
