"""Faults of a data set, each with its case, file and cure."""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from normsearch.data.volume import SpacingWarning
from normsearch.errors import DataError

_SHOWN = 20  # faults that one error message lists
_SENTENCE = re.compile(r"(?P<expected>.+?),? (?:got|but) (?P<found>.+); (?P<cure>[^;]+)", re.DOTALL)


@dataclass(frozen=True)
class Fault:
    """One fault of a data set.

    Attributes:
        rule: the kind of fault: unreadable, shape, spacing, finite, values, unpaired, twice, ...
        case: the case's id; '' for a fault of the whole data set.
        file: the file or folder.
        expected: the requirement, as in "must EXPECTED".
        found: the actual value.
        cure: how to correct it.
        severity: an error stops a study, a warning does not.
    """

    rule: str
    case: str
    file: str
    expected: str
    found: str
    cure: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        return f"{self.file}: must {self.expected}, got {self.found}; {self.cure}"


def unreadable(case: str, file: Path, error: DataError) -> Fault:
    """Convert a reader's error to a fault."""
    text = str(error).removeprefix(f"{file}: ").rstrip(".")
    told = _SENTENCE.fullmatch(text)
    expected = told["expected"].removeprefix("must ") if told else "be a file that can be read"
    if told and not text.startswith("must "):
        expected = f"be usable ({expected})"
    found, cure = (told["found"], told["cure"]) if told else (text, "export it again")
    return Fault("unreadable", case, str(file), expected, found, cure)


def refuse(root: Path, faults: Sequence[Fault]) -> None:
    """Raise one DataError with all errors of `faults`, or 20 of them and the number of others."""
    errors = [str(fault) for fault in faults if fault.severity == "error"]
    if len(errors) == 1:
        raise DataError(errors[0])
    if errors:
        rest = len(errors) - _SHOWN
        more = f" and {rest} more, which normsearch validate {root} lists" if rest > 0 else ""
        shown = " | ".join(errors[:_SHOWN])
        raise DataError(f"{root}: {len(errors)} faults must be corrected: {shown}{more}")


def warn_once(root: Path, faults: Iterable[Fault]) -> None:
    """Issue one Python warning for each rule among the warnings of `faults`."""
    by_rule: dict[str, list[Fault]] = defaultdict(list)
    for fault in faults:
        if fault.severity == "warning":
            by_rule[fault.rule].append(fault)
    for rule, found in by_rule.items():
        text = str(found[0])
        if len(found) > 1:
            text += f" (and {len(found) - 1} like it; normsearch validate {root} lists them)"
        warnings.warn(text, SpacingWarning if rule == "no spacing" else UserWarning, stacklevel=3)
