"""The layouts of data sets on disk, and their detection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from normsearch.data import (
    layout_folders,
    layout_idx,
    layout_manifest,
    layout_msd,
    layout_nnunet,
)
from normsearch.data.cases import CaseFiles
from normsearch.data.faults import Fault, refuse
from normsearch.data.pairing import Found, Pair, with_folds
from normsearch.errors import DataError, did_you_mean, short
from normsearch.files import is_there
from normsearch.networks.importing import load, users_code

Kind = Literal["segmentation", "classification"]


@dataclass(frozen=True)
class Layout:
    """A layout: a summary, its detection, and a function that finds the cases."""

    summary: str
    fits: Callable[[Path], bool]
    find: Callable[[Path], Found]
    kind: Kind = "segmentation"


#: In the order of detection: a folder of nnU-Net also looks like one of the Decathlon.
LAYOUTS: dict[str, Layout] = {
    "manifest": Layout(
        "manifest.csv, .tsv or .json: id, image, label, subject, fold",
        layout_manifest.fits,
        layout_manifest.find,
    ),
    "nnunet": Layout(
        "imagesTr/CASE_0000.nii.gz, labelsTr/CASE.nii.gz, dataset.json of nnU-Net",
        layout_nnunet.fits,
        layout_nnunet.find,
    ),
    "msd": Layout(
        "dataset.json of the Medical Segmentation Decathlon", layout_msd.fits, layout_msd.find
    ),
    "folders": Layout(
        "images/ID.nrrd and labels/ID.nrrd, folds.csv if wanted",
        layout_folders.fits,
        layout_folders.find,
    ),
    "idx": Layout(
        "train-images-idx3-ubyte.gz and so on, as Fashion-MNIST comes",
        layout_idx.fits,
        layout_idx.find,
        "classification",
    ),
}


@dataclass(frozen=True)
class DataSet:
    """A data set on disk; see `Found` for its fields."""

    root: Path
    layout: str
    kind: Kind
    cases: list[CaseFiles]
    faults: list[Fault]
    labels: dict[int, str]
    ignored: tuple[int, ...] = ()
    regions: dict[str, tuple[int, ...]] = field(default_factory=dict)
    channels: int | None = None
    unused: tuple[str, ...] = ()
    channel_names: tuple[str, ...] = ()

    @property
    def values(self) -> list[int]:
        """The allowed label values other than 0; any if empty."""
        return sorted({*self.labels, *self.ignored}) if self.labels else []


def detect_layout(root: Path) -> str | None:
    """Return the name of the first of `LAYOUTS` that `root` has, or None."""
    if not is_there(root):
        return None
    return next((name for name, layout in LAYOUTS.items() if layout.fits(root)), None)


def survey(root: Path, layout: str = "auto") -> DataSet:
    """Return the cases of a data set and the faults of its file names.

    Args:
        root: its folder, or a manifest.
        layout: a name in `LAYOUTS`, ``auto``, or ``module:name``, a function from the folder to
            {id: (image, label)}, paths; folds come from folds.csv, as in the layout folders.

    Raises:
        DataError: no layout fits, or the files cannot be assigned to cases.
    """
    root = Path(root)
    if layout != "auto" and layout not in LAYOUTS and ":" not in layout:
        raise DataError(
            f"layout must be auto or one of {', '.join(LAYOUTS)}, got '{layout}'."
            + did_you_mean(layout, LAYOUTS)
        )
    if ":" in layout:
        return DataSet(root, layout, "segmentation", **vars(_found_by(layout, root)))
    name = layout if layout != "auto" and is_there(root) else detect_layout(root)
    if name is None:
        ways = "; ".join(f"{name}: {layout.summary}" for name, layout in LAYOUTS.items())
        raise DataError(
            f"{root}: must follow one of the layouts ({ways}), got none of them; "
            "check the path, or write a manifest.csv"
        )
    found = LAYOUTS[name].find(root)
    return DataSet(layout_manifest.folder_of(root), name, LAYOUTS[name].kind, **vars(found))


def _found_by(text: str, root: Path) -> Found:
    """Return the cases that the user's function finds in a folder."""
    found = load(text, "task.layout")
    with users_code(f"task.layout: {text} must accept the folder {root}, and raises"):
        pairs = found(root) if callable(found) else found
    try:
        files = {
            str(name): Pair((Path(image),), Path(label)) for name, (image, label) in pairs.items()
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(
            f"{root}: {text} must be a function that returns {{id: (image, label)}}, got "
            f"{short(pairs)}"
        ) from error
    if not files:
        raise DataError(f"{root}: {text} must find at least one case, and found none")
    parts = with_folds(root, files)
    return Found(parts.cases, parts.faults, unused=parts.unused)


def find_cases(root: Path, layout: str = "auto") -> list[CaseFiles]:
    """Return the cases of a data set, in order of their ids.

    Raises:
        DataError: no layout fits, or files have no partner or no fold; all are named.
    """
    data_set = survey(root, layout)
    refuse(data_set.root, data_set.faults)
    return data_set.cases
