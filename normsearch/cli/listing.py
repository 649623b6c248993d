"""`normsearch list`: the names that studies and other commands accept."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from normsearch.cli.options import RUNS, Json, RunsDir
from normsearch.cli.run_table import show_runs
from normsearch.cli.terminal import say, show
from normsearch.errors import did_you_mean


def _check_kind(kind: str) -> str:
    if kind not in KINDS:
        known, hint = ", ".join(KINDS), did_you_mean(kind, KINDS)
        say(f"normsearch: list: must be one of {known}, got {kind!r}.{hint}")
        raise typer.Exit(2)
    return kind


def _kinds(incomplete: str) -> list[str]:
    return [kind for kind in KINDS if kind.startswith(incomplete)]


def listing(
    *,
    kind: Annotated[
        str,
        typer.Argument(
            help="runs, norms, spaces, studies, networks, samplers, pruners, metrics, losses, "
            "optimizers, schedules, augmentations, loggers, layouts, figures or findings.",
            show_default=False,
            callback=_check_kind,
            autocompletion=_kinds,
        ),
    ],
    runs_dir: RunsDir = RUNS,
    as_json: Json = False,
) -> None:
    """List the runs, or the names that studies and other commands accept.

    Most kinds also accept module:name.

    Example: normsearch list norms
    """
    if kind == "runs":
        show_runs(runs_dir, as_json)
        return
    found = KINDS[kind]()
    if as_json:
        print(json.dumps(found))
    else:
        width = max(map(len, found))
        for name, text in found.items():
            show(f"{name:<{width}}  {text}")


def _nothing() -> Mapping[str, str]:
    return {}  # runs are shown as a table


def _shipped(folder: str) -> dict[str, str]:
    from normsearch.files import shipped

    files = sorted(shipped(folder).glob("*.yaml"))
    return {path.stem: _first_comment(path) for path in files}


def _norms() -> dict[str, str]:
    from normsearch.norms import NORMS

    return {kind: norm.summary for kind, norm in NORMS.items()}


def _summaries(module: str, table: str) -> dict[str, str]:
    """Return the summary of each entry of a registry, or the first line of its docstring."""
    entries = getattr(importlib.import_module(f"normsearch.{module}"), table)
    return {name: getattr(entry, "summary", None) or _first_line(entry)
            for name, entry in entries.items()}  # fmt: skip


def _augmentations() -> dict[str, str]:
    """Return each preset with its transforms, and each transform with its defaults."""
    from normsearch.data import PRESETS, TRANSFORMS

    found = {"none": "no changes"}
    for name, preset in PRESETS.items():
        found[name] = f"{preset.summary}: {preset.told}"
    for name, kind in TRANSFORMS.items():
        found[name] = f"{kind.summary}; by default {kind.drawn}"
    return found


def _first_line(entry: object) -> str:
    return (entry.__doc__ or "").strip().splitlines()[0].removeprefix("Return ")


def _figures() -> dict[str, str]:
    from normsearch.analysis import FIGURES, reading

    return {kind: reading(kind)[0] for kind in FIGURES}


def _findings() -> dict[str, str]:
    """Return each published statement with its verdict at the largest scale that has one."""
    from normsearch.analysis.recorded_results import read_results
    from normsearch.findings.page import SCALES, all_findings

    results, found = read_results(), {}
    for key, (page, finding) in all_findings().items():
        made = [results.get((key, scale), {}) for scale in SCALES]
        own = [result for result in made if result.get("sha256") == page.sha256]
        verdict = f"{own[-1]['verdict']} ({own[-1]['scale']})" if own else "no result yet"
        found[key] = f"{verdict}: {finding.text}"
    for (key, scale), result in results.items():
        if key not in found:  # of a page of the user's own
            found[key] = f"{result['verdict']} ({scale}): {result['text']}"
    return found


def _first_comment(path: Path) -> str:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


#: Each kind of list, and the function that returns its names with a summary of each.
KINDS: dict[str, Callable[[], Mapping[str, str]]] = {
    "runs": _nothing,
    "norms": _norms,
    "spaces": partial(_shipped, "search_spaces"),
    "studies": partial(_shipped, "studies"),
    "networks": partial(_summaries, "networks", "NETWORKS"),
    "samplers": partial(_summaries, "config.search", "SAMPLERS"),
    "pruners": partial(_summaries, "config.search", "PRUNERS"),
    "metrics": partial(_summaries, "training", "METRICS"),
    "losses": partial(_summaries, "training", "LOSSES"),
    "optimizers": partial(_summaries, "training", "OPTIMIZERS"),
    "schedules": partial(_summaries, "training", "SCHEDULES"),
    "augmentations": _augmentations,
    "loggers": partial(_summaries, "config.search", "CALLBACKS"),
    "layouts": partial(_summaries, "data", "LAYOUTS"),
    "figures": _figures,
    "findings": _findings,
}
