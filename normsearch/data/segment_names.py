"""Compares the names of segments in the headers of a data set's labels."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from normsearch.data.cases import CaseFiles
from normsearch.data.faults import Fault
from normsearch.data.picture_file import palette_of
from normsearch.data.segments import same_name, segments_named
from normsearch.errors import DataError, did_you_mean

_SHOWN = 5  # cases in one message
_ALIKE = 0.8  # difflib's ratio from which a name is a misspelling of another

Named = dict[str, dict[str, int]]


def named_segments(cases: Iterable[CaseFiles]) -> Named:
    """Return the label value of each segment by case, without cases that name no segments."""
    found = {}
    for case in cases:
        try:
            names = segments_named(case.label) if case.index is None else None
        except DataError:  # reported when the file is read
            continue
        if names is not None:
            found[case.id] = names
    return found


def class_names(named: Named) -> dict[int, str]:
    """Return the name of each label value, or nothing if the cases disagree."""
    return {} if _clashes(named) else {v: n for own in named.values() for n, v in own.items()}


def clash_fault(root: Path, named: Named) -> list[Fault]:
    """Return a fault if a label value has different names in different cases."""
    clashes = _clashes(named)
    if not clashes:
        return []
    names = sorted({name for own in named.values() for name in own}, key=str.casefold)
    return [
        Fault(
            "segments",
            "",
            str(root),
            "have one label value for each segment in all cases, or a task that names segments",
            "; ".join(clashes[:_SHOWN]),
            f"name the segments in the task, as in task.segments: [{', '.join(names)}], which "
            "makes them label values 1, 2, ... in this order",
        )
    ]


def unnamed_fault(cases: Sequence[CaseFiles], named: Named) -> list[Fault]:
    """Return a warning if some labels name their segments and others do not."""
    unnamed = [case for case in cases if case.id not in named]
    if not named or not unnamed:
        return []
    shown = ", ".join(case.id for case in unnamed[:_SHOWN])
    more = f" and {len(unnamed) - _SHOWN} more" if len(unnamed) > _SHOWN else ""
    expected = "name the segments in all labels or in none"
    cure = "their values are assumed to mean the same as in the other cases; check this"
    where = str(unnamed[0].label)
    found = f"no names in {shown}{more}"
    return [Fault("unnamed segments", "", where, expected, found, cure, "warning")]


def nameless_fault(
    cases: Iterable[CaseFiles], named: Named, values: Mapping[str, Collection[int]]
) -> list[Fault]:
    """Return a warning where labels that name their segments hold values without a name.

    Args:
        cases: of the data set.
        named: the label value of each segment, by case.
        values: the label values that occur, by case.
    """
    nameless = {
        case: sorted(set(values[case.id]) - {0, *named[case.id].values()})
        for case in cases
        if case.id in named and case.id in values
    }
    found = [f"{', '.join(map(str, own))} in {case.id}" for case, own in nameless.items() if own]
    if not found:
        return []
    where = next(str(case.label) for case, own in nameless.items() if own)
    more = f" and {len(found) - _SHOWN} more cases" if len(found) > _SHOWN else ""
    expected = "name the segment of each label value"
    cure = "name them in 3D Slicer, or set them to 0 if they are not segments"
    told = f"no name for {'; '.join(found[:_SHOWN])}{more}"
    return [Fault("nameless values", "", where, expected, told, cure, "warning")]


def colour_faults(root: Path, cases: Iterable[CaseFiles]) -> list[Fault]:
    """Return a fault if a colour of palette masks has different values in different cases."""
    shown: Named = {}
    for case in cases:
        try:
            colours = palette_of(case.label) if case.index is None else None
        except DataError:  # reported when the file is read
            continue
        if colours:
            shown[case.id] = colours
    clashes = _clashes(shown)
    if not clashes:
        return []
    expected = "have one palette index for each colour of a mask in all cases"
    cure = "save the masks in grey values, one for each class"
    found = "; ".join(clashes[:_SHOWN])
    return [Fault("palettes", "", str(root), expected, found, cure)]


def absent_faults(cases: Sequence[CaseFiles], named: Named, wanted: Sequence[str]) -> list[Fault]:
    """Return a fault for each segment of a task that no case has.

    If some cases lack a segment, it is empty there and one warning lists them. It is an error if
    such a case has a segment with a similar name.
    """
    files = {case.id: case for case in cases}
    faults: list[Fault] = []
    known = {name for own in named.values() for name in own}
    for name in wanted:
        lacking = [case for case, own in named.items() if same_name(name, own) is None]
        if named and len(lacking) == len(named):
            found = f"{', '.join(sorted(known))}.{did_you_mean(name, known)}"
            where, expected = str(next(iter(files.values())).label), f"have the segment '{name}'"
            faults.append(Fault("segments", "", where, expected, found, "correct task.segments"))
            continue
        meant = [(case, near) for case in lacking if (near := _near(name, named[case], wanted))]
        for case, near in meant:
            cure = "rename it in 3D Slicer"
            expected = f"have the segment '{name}' or none with a similar name"
            faults.append(
                Fault("segments", case, str(files[case].label), expected, f"'{near}'", cure)
            )
        if lacking and not meant:
            faults.append(_absent(name, lacking, str(files[lacking[0]].label)))
    return faults


def _absent(name: str, lacking: list[str], file: str) -> Fault:
    more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
    return Fault(
        "absent segment",
        lacking[0] if len(lacking) == 1 else "",
        file,
        f"have the segment '{name}' unless it is empty",
        f"none in {', '.join(lacking[:_SHOWN])}{more}",
        "it counts as empty there; add it if it exists",
        "warning",
    )


def _near(name: str, own: Iterable[str], wanted: Sequence[str]) -> str | None:
    """Return a segment of a case that is not in `wanted` and has nearly the name `name`."""
    others = [
        other
        for other in own
        if same_name(other, wanted) is None
        and re.findall(r"\d+", other) == re.findall(r"\d+", name)
    ]
    by_lower = {other.casefold(): other for other in others}
    close = difflib.get_close_matches(name.casefold(), by_lower, n=1, cutoff=_ALIKE)
    return by_lower[close[0]] if close else None


def _clashes(named: Named) -> list[str]:
    """Return descriptions of names with several values and values with several names."""
    values: dict[str, dict[int, str]] = defaultdict(dict)  # name -> value -> a case
    names: dict[int, dict[str, str]] = defaultdict(dict)  # value -> name -> a case
    spelt: dict[str, str] = {}
    for case, own in named.items():
        for name, value in own.items():
            plain = name.casefold()
            spelt.setdefault(plain, name)
            values[plain].setdefault(value, case)
            if list(own.values()).count(value) == 1:  # values may repeat on other layers
                names[value].setdefault(plain, case)
    told = [
        f"'{spelt[name]}' is " + " and ".join(f"{value} in {case}" for value, case in found.items())
        for name, found in values.items()
        if len(found) > 1
    ]
    return told or [
        f"{value} is "
        + " and ".join(f"'{spelt[name]}' in {case}" for name, case in list(found.items())[:2])
        for value, found in names.items()
        if len(found) > 1
    ]
