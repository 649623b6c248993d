"""Reads splits_final.json of nnU-Net: lists of training and validation cases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Any

from normsearch.data.cases import SplitLists
from normsearch.data.faults import Fault
from normsearch.data.volume import suffix_of
from normsearch.errors import DataError, did_you_mean
from normsearch.files.json_file import read_json

_SHOWN = 10  # names in one message


def read_splits(path: Path, known: Collection[str]) -> tuple[dict[str, SplitLists], list[Fault]]:
    """Return the splits that list each case of `known`, and the faults of the lists.

    A case in neither list of a split is not used in it, which is a warning.

    Raises:
        DataError: the file is not a list of {train, val}, or both lists of a split share a case.
    """
    splits = [_split(path, number, one) for number, one in enumerate(_whole(path))]
    faults = [*_unknown(path, splits, known), *_other_lists(path)]
    train, validation = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    out: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for number, (mine, held_out) in enumerate(splits):
        for name in mine:
            train[name].append(str(number))
        for name in held_out:
            validation[name].append(str(number))
        if left := tuple(sorted(set(known) - {*mine, *held_out})):
            out[left].append(str(number))
    faults += [_left_out(path, names, numbers) for names, numbers in out.items()]
    lists = {name: SplitLists(tuple(train[name]), tuple(validation[name])) for name in known}
    return lists, faults


def _whole(path: Path) -> list[Any]:
    raw = read_json(path, DataError)
    if not isinstance(raw, list) or not raw:
        raise _no_splits(path, "an empty list" if raw == [] else type(raw).__name__)
    return raw


def _split(path: Path, number: int, raw: Any) -> tuple[list[str], list[str]]:
    lists: list[Any] = [raw.get(key) for key in ("train", "val")] if isinstance(raw, dict) else []
    if not lists or not all(isinstance(names, list) for names in lists):
        raise _no_splits(path, f"{str(raw)[:60]} as split {number}")
    train, val = (list(dict.fromkeys(map(str, names))) for names in lists)
    both = sorted(set(train) & set(val))
    if both:
        raise DataError(
            f"{path}: a split must not train and validate on the same case, got {_few(both)} in "
            f"both lists of split {number}; take it out of one"
        )
    return train, val


def _no_splits(path: Path, found: str) -> DataError:
    return DataError(
        f"{path}: must be a list of {{train, val}}, each a list of cases, got {found}; copy it "
        "again from nnUNet_preprocessed"
    )


def _other_lists(path: Path) -> list[Fault]:
    others = sorted({str(key) for one in _whole(path) for key in one} - {"train", "val"})
    if not others:
        return []
    cure = "other lists are ignored: use test_folds for their cases, or remove them"
    found = ", ".join(others)
    return [Fault("lists", "", str(path), "have only train and val", found, cure, "warning")]


def _unknown(
    path: Path, splits: list[tuple[list[str], list[str]]], known: Collection[str]
) -> list[Fault]:
    where: dict[str, list[str]] = defaultdict(list)
    for number, lists in enumerate(splits):
        for key, names in zip(("train", "val"), lists, strict=True):
            for name in names:
                if name not in known:
                    where[name].append(f"{key} of split {number}")
    if not where:
        return []
    told = []
    for name, places in sorted(where.items()):
        bare = name[: len(name) - len(suffix_of(Path(name)))] or name
        close = f" Did you mean '{bare}'?" if bare in known else did_you_mean(name, known)
        told.append(f"'{name}' ({places[0]}){close.replace(' Did', ', did').rstrip()}")
    cure = "correct the names, or copy the split of these files here"
    expected = "name only cases of the data set"
    return [Fault("splits", "", str(path), expected, "; ".join(told), cure)]


def _left_out(path: Path, names: tuple[str, ...], numbers: list[str]) -> Fault:
    which = f"split {numbers[0]}" if len(numbers) == 1 else f"splits {', '.join(numbers)}"
    return Fault(
        "split",
        names[0] if len(names) == 1 else "",
        str(path),
        "name every case in train or val",
        f"{_few(list(names))} in neither list of {which}",
        "it is neither trained nor validated on there; add it to a list if it should be",
        "warning",
    )


def _few(names: list[str]) -> str:
    told = ", ".join(names[:_SHOWN])
    return f"{told} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else told
