"""Folders to cases: images/ID.nrrd, labels/ID.nrrd and folds.csv, checked and made comparable."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch.nn import functional

from normsearch.data.cases import Case, CaseFiles
from normsearch.data.volume import SpacingWarning, Volume, read_volume
from normsearch.errors import DataError, did_you_mean

Array = npt.NDArray[Any]
Intensity = Literal["minmax", "percentile", "zscore"] | tuple[float, float]

_SUFFIXES = (".nrrd", ".nhdr")
_SPACING_MM = 1e-3  # by how much the spacings of an image and its label may differ


def find_cases(root: Path) -> list[CaseFiles]:
    """Return the cases of a data set's folder, in order of their ids.

    images/ and labels/ hold one .nrrd or .nhdr file each per case, with equal stems: the ids.
    folds.csv, if there, has the column `fold` and `id`, `subject` or both (other columns are left
    alone); with `subject` alone it is the id as well. Without the file each case is its own
    subject and its fold is ''.

    Raises:
        DataError: files without a partner, cases without a fold, ids given twice, columns that
            are missing; all of them are named.
    """
    root = Path(root)
    images, labels = (_files_by_id(root / part) for part in ("images", "labels"))
    faults = _listed("an image but no label", images.keys() - labels)
    faults += _listed("a label but no image", labels.keys() - images)
    table = _read_folds(root / "folds.csv")
    if table is None:
        table = {name: (name, "") for name in images}
    faults += _listed("no row in folds.csv", images.keys() - table)
    faults += _listed("a row in folds.csv but no image", table.keys() - images)
    if faults:
        raise DataError(
            f"{root}: every case must have images/ID.nrrd, labels/ID.nrrd and, if there is a "
            f"folds.csv, one row in it, got {' and '.join(faults)}; add or remove these files and "
            "rows"
        )
    return [CaseFiles(name, *table[name], images[name], labels[name]) for name in sorted(images)]


def prepare_case(
    files: CaseFiles,
    *,
    size: tuple[int, int] | None,
    intensity: Intensity,
    foreground: tuple[int, ...] | None,
) -> Case:
    """Read one case, check it and make it comparable with the others.

    Args:
        files: the image and the label, of the same shape (slices, y, x).
        size: (y, x) in pixels to resize each slice to (image: bilinear with antialiasing, label:
            nearest), or None to keep it.
        intensity: how the volume's intensities are mapped: "minmax" to 0..1; "percentile": the
            0.5th to the 99.5th to 0..1, clipped; "zscore" to mean 0 and deviation 1; or a window
            (low, high), in HU for CT, to 0..1, clipped.
        foreground: label values that become 1, or None for all but 0.

    Raises:
        DataError: a file cannot be read, shapes or spacings differ, intensities are not finite,
            or the label is not of whole numbers from 0 to 255.
    """
    _check_options(size, intensity, foreground)
    data_root = files.image.parent.parent
    image, label = (read_volume(path, root=data_root) for path in (files.image, files.label))
    _check_pair(files, image, label)
    mask = label.array != 0 if foreground is None else np.isin(label.array, foreground)
    pixels = torch.from_numpy(_normalized(image.array, intensity))[:, None]
    target = torch.from_numpy(mask.astype(np.uint8))[:, None]
    spacing = image.spacing
    if size is not None and tuple(size) != image.array.shape[1:]:
        pixels = functional.interpolate(pixels, size, mode="bilinear", antialias=True)
        target = functional.interpolate(target, size, mode="nearest-exact")
        steps = (image.array.shape[axis] / size[axis - 1] for axis in (1, 2))
        spacing = (spacing[0], *(mm * step for mm, step in zip(spacing[1:], steps, strict=True)))
    return Case(
        files.id,
        files.subject,
        files.fold,
        pixels.numpy(),
        target[:, 0].numpy(),
        (spacing[0], spacing[1], spacing[2]),
    )


def load_cases(
    root: Path,
    *,
    size: tuple[int, int] | None,
    intensity: Intensity,
    foreground: tuple[int, ...] | None,
) -> list[Case]:
    """Return all cases below `root`, prepared as by `prepare_case`, in order of their ids.

    Raises:
        DataError: one or more cases cannot be used; the message names each fault.
    """
    _check_options(size, intensity, foreground)
    found = find_cases(root)
    cases, faults = [], []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for files in found:
            try:
                cases.append(
                    prepare_case(files, size=size, intensity=intensity, foreground=foreground)
                )
            except DataError as error:
                faults.append(str(error).rstrip("."))
    _warn_once(root, caught)
    if len(faults) == 1:
        raise DataError(faults[0])
    if faults:
        raise DataError(f"{root}: {len(faults)} cases cannot be used: {'; '.join(faults)}")
    return cases


def fingerprint(cases: Iterable[Case]) -> str:
    """Return the SHA-256, in hexadecimal, of the cases' names, folds and voxels, in any order."""
    digest = hashlib.sha256()
    for case in sorted(cases, key=lambda case: case.id):
        shapes = [case.image.shape, case.label.shape]
        digest.update(json.dumps([case.id, case.subject, case.fold, *shapes]).encode())
        digest.update(np.ascontiguousarray(case.image).data)
        digest.update(np.ascontiguousarray(case.label).data)
    return digest.hexdigest()


def _files_by_id(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError(
            f"{folder}: must be a folder of .nrrd files, but there is none; a data set's folder "
            "holds images/ and labels/, so check its path"
        )
    paths = sorted(
        path
        for path in folder.iterdir()
        if path.suffix in _SUFFIXES and not path.name.startswith(".")
    )
    if not paths:
        raise DataError(
            f"{folder}: must hold .nrrd files, but has none; convert the images to NRRD"
        )
    _refuse_doubles(folder, "one file per case", (path.stem for path in paths))
    return {path.stem: path for path in paths}


def _refuse_doubles(where: Path, rule: str, names: Iterable[str]) -> None:
    doubles = sorted(name for name, count in Counter(names).items() if count > 1)
    if doubles:
        raise DataError(f"{where}: must have {rule}, got {', '.join(doubles)} twice; remove one")


def _listed(what: str, names: Iterable[str]) -> list[str]:
    return [f"{what}: {', '.join(sorted(names))}"] if names else []


def _read_folds(path: Path) -> dict[str, tuple[str, str]] | None:
    """Return {id: (subject, fold)}, or None where there is no such file."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise DataError(
            f"{path}: must be a table in UTF-8 separated by commas, got '{error}'; save it again"
        ) from error
    columns = list(table.columns)
    if "fold" not in columns or not {"id", "subject"} & set(columns):
        raise DataError(
            f"{path}: must have the column fold and the column id or subject, got "
            f"{', '.join(columns)}; rename or add the columns"
        )
    ids = table["id" if "id" in columns else "subject"]
    subjects = table["subject" if "subject" in columns else "id"]
    _refuse_doubles(path, "one row per case", ids)
    empty = [name for name, *row in zip(ids, subjects, table["fold"], strict=True) if "" in row]
    if empty:
        raise DataError(
            f"{path}: every row must give a subject and a fold, got none for {', '.join(empty)}; "
            "fill them in"
        )
    return dict(zip(ids, zip(subjects, table["fold"], strict=True), strict=True))


def _check_options(size: Sequence[int] | None, intensity: Intensity, foreground: Any) -> None:
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise DataError(f"size must be two numbers of pixels from 1 on, (y, x), got {size}")
    if isinstance(intensity, str):
        if intensity not in _INTENSITIES:
            raise DataError(
                f"intensity must be one of {', '.join(_INTENSITIES)} or a window (low, high), "
                f"got '{intensity}'.{did_you_mean(intensity, _INTENSITIES)}"
            )
    elif len(intensity) != 2 or not intensity[0] < intensity[1]:
        raise DataError(f"an intensity window must be (low, high) with low < high, got {intensity}")
    if foreground is not None and (not foreground or min(foreground) < 1 or max(foreground) > 255):
        raise DataError(f"foreground must be label values from 1 to 255, got {foreground}")


def _check_pair(files: CaseFiles, image: Volume, label: Volume) -> None:
    if image.array.ndim != 3 or not np.isfinite(image.spacing[1:]).all():
        raise DataError(
            f"{files.image}: must have three axes (slice, y, x), the last two in space, got shape "
            f"{image.array.shape} and spacing {image.spacing}; export it as one scalar volume"
        )
    if image.array.shape != label.array.shape:
        raise DataError(
            f"{files.label}: must have its image's shape {image.array.shape}, got "
            f"{label.array.shape}; export the label on the image's grid"
        )
    if not np.allclose(image.spacing, label.spacing, rtol=0, atol=_SPACING_MM, equal_nan=True):
        raise DataError(
            f"{files.label}: must have its image's spacing {image.spacing} mm, got "
            f"{label.spacing} mm; export the label on the image's grid"
        )
    if not np.isfinite(image.array).all():
        count = int((~np.isfinite(image.array)).sum())
        raise DataError(
            f"{files.image}: every voxel must be finite, got {count} that are NaN or infinite; "
            "replace them, for example by the background's value"
        )
    values = np.unique(label.array)
    odd = values[~((values >= 0) & (values <= 255) & (values == np.floor(values)))]
    if odd.size:
        raise DataError(
            f"{files.label}: a label must hold whole numbers from 0 to 255, got "
            f"{', '.join(f'{value:g}' for value in odd[:5])}; export it without resampling"
        )


def _window(volume: Array, low: float, high: float) -> Array:
    return np.asarray(np.clip((volume - low) / ((high - low) or 1), 0, 1))


def _zscore(volume: Array) -> Array:
    return np.asarray((volume - volume.mean()) / (volume.std() or 1))


_INTENSITIES: dict[str, Callable[[Array], Array]] = {
    "minmax": lambda volume: _window(volume, volume.min(), volume.max()),
    "percentile": lambda volume: _window(volume, *np.percentile(volume, (0.5, 99.5))),
    "zscore": _zscore,
}


def _normalized(volume: Array, intensity: Intensity) -> npt.NDArray[np.float32]:
    values = volume.astype(np.float64)  # sums of large float32 volumes drift
    scaled = (
        _INTENSITIES[intensity](values)
        if isinstance(intensity, str)
        else _window(values, *intensity)
    )
    return scaled.astype(np.float32)


def _warn_once(root: Path, caught: list[warnings.WarningMessage]) -> None:
    """Give one warning for all files without spacing, and every other one as it came."""
    others = [w for w in caught if not issubclass(w.category, SpacingWarning)]
    for warning in others:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if len(others) < len(caught):
        warnings.warn(
            f"{root}: {len(caught) - len(others)} files give no spacing; 1 mm is assumed",
            SpacingWarning,
            stacklevel=3,
        )
