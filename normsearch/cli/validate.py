"""`normsearch validate`: check a data set, or a study as `run` does before its first trial."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from normsearch.cli.options import Data, Json, Overrides, known_studies
from normsearch.cli.terminal import show
from normsearch.errors import DataError, count
from normsearch.files import is_there

_SHOWN = 3  # warnings of one kind
_CLASSES = 40

if TYPE_CHECKING:
    from normsearch.data import Fault, Report


def validate(
    *,
    data_set: Annotated[
        str,
        typer.Argument(
            help="A data set's folder, a manifest, or a study: its YAML file, or a name of `list "
            "studies`.",
            show_default=False,
            autocompletion=known_studies,
        ),
    ],
    layout: Annotated[
        str, typer.Option(help="Its layout on disk: auto, or one of `normsearch list layouts`.")
    ] = "auto",
    data: Data = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Read every case of a data set, and list its errors and contents; exit with 1 on errors.

    For the file of a study, make all checks that `run` makes before the first trial.

    Example: normsearch validate hearts --data /data
    """
    from normsearch.data import inspect

    if not data_set.strip():
        raise DataError("A data set or a study's file must be given, got an empty text.")
    path = Path(data_set)
    below = data / path if data else path
    named = data_set in known_studies("") and not (is_there(path) or is_there(below))
    if named or path.suffix in (".yaml", ".yml"):
        _study(data_set, data, overrides or [], as_json)
        return
    report = inspect(below if is_there(below) else path, layout)
    if as_json:
        print(json.dumps(report.to_json()))
    else:
        show("\n".join([*map(_line, report.errors), *_warnings(report), *_summary(report)]))
    if report.errors:
        raise typer.Exit(1)


def _study(study: str, data: Path | None, overrides: list[str], as_json: bool) -> None:
    """Make the checks of `run`, and print the data and network of a study."""
    from normsearch.study import Study

    found = Study.load(study, overrides, data=data).prepare()
    slots = [slot.name for slot in found.space.slots]
    cases = {"training": len(found.split.train), "validation": len(found.split.validation)}
    if as_json:
        facts = {"study": found.config.name, "cases": cases, "slots": slots}
        print(json.dumps({**facts, "notes": found.notes}))
        return
    trainer = found.config.trainer
    data_of = f"{count(cases['training'], 'training case')}, "
    data_of += count(cases["validation"], "validation case")
    parts = "data by the trainer" if trainer and not any(cases.values()) else data_of
    what = f"{trainer or found.config.network.name} with {count(len(slots), 'norm slot')}"
    show(f"{study}: valid; {parts}, {what}")
    for note in found.notes:
        show(f"{study}: {note}")


def _line(fault: Fault) -> str:
    case = f"case {fault.case}: " if fault.case else ""
    return f"{fault.severity}: {case}{fault}"


def _warnings(report: Report) -> list[str]:
    """Return the warnings, the first few of each kind."""
    lines = []
    for rule, number in Counter(fault.rule for fault in report.warnings).items():
        of_rule = [fault for fault in report.warnings if fault.rule == rule]
        lines += [_line(fault) for fault in of_rule[:_SHOWN]]
        if number > _SHOWN:
            lines.append(f"warning: {number - _SHOWN} more of this kind ({rule}); --json lists all")
    return lines


def _summary(report: Report) -> list[str]:
    facts = report.summary()
    folds = ", ".join(f"{name}: {count}" for name, count in facts["folds"].items())
    lines = [
        f"{facts['data']}: {count(facts['cases'], 'case')} of "
        f"{count(facts['subjects'], 'subject')}, layout {facts['layout']}, {facts['kind']}; "
        f"{count(len(report.errors), 'error')}, {count(len(report.warnings), 'warning')}",
        f"folds        {folds or 'none'}",
        f"channels     {', '.join(map(str, facts['channels']))}",
    ]
    for name, unit in (("shapes", "voxels"), ("spacings", "mm")):
        if spread := facts[name]:
            if all(value is None for value in spread["median"]):
                lines.append(f"{name:<12} not known")
                continue
            middle, ends = _row(spread["median"]), (_row(spread["least"]), _row(spread["greatest"]))
            span = "all" if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}, median"
            lines.append(f"{name:<12} {span} {middle} {unit} (slices, rows, columns)")
    if spread := facts["intensities"]:
        lines.append(f"intensities  {spread['lowest']:g} to {spread['highest']:g}")
    classes = list(facts["classes"].items())
    lines += [_class(value, one) for value, one in classes[:_CLASSES]]
    if len(classes) > _CLASSES:
        lines.append(f"and {len(classes) - _CLASSES} more classes; --json lists all")
    if (one := facts["foreground"]) and one["dice_everywhere"] is not None:
        lines.append(
            f"foreground   {_percent(one['share'])} of all voxels; a prediction of foreground "
            f"everywhere has a Dice of {one['dice_everywhere']:.3f}"
        )
    if one := facts["ignored"]:
        values = ", ".join(map(str, one["values"]))
        lines.append(
            f"ignored      value {values}: in {count(one['cases'], 'case')}, "
            f"{count(one['voxels'], 'voxel')}, {_percent(one['share'])} of all; left out of loss "
            "and score"
        )
    lines += [f"not used: {what}" for what in facts["unused"]]
    return lines


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


def _row(values: list[float | None]) -> str:
    return " x ".join("?" if value is None else f"{value:.4g}" for value in values)


def _class(value: str, one: dict[str, Any]) -> str:
    mean = "" if one["mean_ml"] is None else f", {one['mean_ml']:.4g} ml a case on average"
    name = f" ({one['name']})" if one["name"] else ""
    cases, voxels = count(one["cases"], "case"), count(one["voxels"], "voxel")
    return f"class {value}{name}: in {cases}, {voxels}, {_percent(one['share'])} of all{mean}"
