"""The labels in dataset.json of the Medical Segmentation Decathlon and nnU-Net."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from normsearch.data.faults import Fault

#: Keys of dataset.json that do not matter for training.
DESCRIPTIVE = {
    *("name", "description", "reference", "licence", "license", "release", "relase", "author"),
    *("authors", "contact", "citation", "converted_by", "tensorImageSize", "url", "version"),
}


@dataclass(frozen=True)
class Labels:
    """The label values of dataset.json.

    Attributes:
        names: the name of each value that is not ignored; several regions are joined by commas.
        ignored: the values of the name ``ignore``, in upper or lower case.
        regions: the values of names that have several.
    """

    names: dict[int, str]
    ignored: tuple[int, ...]
    regions: dict[str, tuple[int, ...]]


def read_labels(raw: Mapping[str, Any]) -> Labels:
    """Read ``labels``, from values to names (Decathlon) or from names to values (nnU-Net).

    Raises:
        ValueError, TypeError, AttributeError: it is neither.
    """
    names: dict[int, list[str]] = defaultdict(list)
    ignored: set[int] = set()
    regions = {}
    for key, value in raw.items():
        inverse = str(key).strip().isdecimal()
        name = str(value if inverse else key).strip()
        values = _values(key if inverse else value)
        if name.casefold() == "ignore":
            ignored |= set(values)
            continue
        if len(values) > 1:
            regions[name] = values
        for one in values:
            names[one].append(name)
    told = {value: ", ".join(dict.fromkeys(found)) for value, found in names.items()}
    return Labels(
        {v: name for v, name in told.items() if v not in ignored}, tuple(sorted(ignored)), regions
    )


def background_fault(path: Path, labels: Labels) -> list[Fault]:
    """Return a fault if the label ``background`` does not have the value 0."""
    named = [v for v, name in labels.names.items() if name.casefold() == "background"]
    if not any(named):
        return []
    expected, cure = "give the value 0 to the background", "renumber the masks and the labels"
    return [Fault("values", "", str(path), expected, str(named[0]), cure)]


def count_fault(path: Path, raw: Mapping[str, Any], cases: int) -> list[Fault]:
    """Return a warning if numTraining is not the number of cases."""
    said = raw.get("numTraining")
    if said is None or str(said) == str(cases):
        return []
    cure = "copy the missing cases, or correct the number"
    expected = f"give numTraining as {cases}, the number of cases"
    return [Fault("count", "", str(path), expected, str(said), cure, "warning")]


def unused_keys(path: Path, raw: Mapping[str, Any], used: set[str]) -> tuple[str, ...]:
    """Return the keys that are neither used nor descriptive."""
    return tuple(f"{key} of {path.name}" for key in raw if key not in used | DESCRIPTIVE)


def _values(value: object) -> tuple[int, ...]:
    several = value if isinstance(value, list) else [value]
    numbers = [int(str(one)) for one in several]
    if not numbers or not all(0 <= one <= 255 for one in numbers):
        raise ValueError(f"a label value must be from 0 to 255, got {value}")
    return tuple(numbers)
