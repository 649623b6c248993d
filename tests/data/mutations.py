"""Damage valid image files at random and read them, in a process of at most 1 GiB more memory.

``python -m tests.data.mutations FORMAT COUNT FOLDER`` prints a JSON object: how many were read,
how many refused, and every failure as a text.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import traceback
import warnings
from pathlib import Path

import nibabel
import nrrd
import numpy as np
from PIL import Image

from normsearch.data import Volume, read_volume, write_volume
from normsearch.errors import DataError
from tests.mutations import BYTES

SECONDS = 20  # for one file; a sound one takes a thousandth of that


def sound_files(kind: str, folder: Path, rng: np.random.Generator) -> list[Path]:
    """Write sound files of one kind of format, small, of several types and encodings."""
    arrays = [rng.integers(0, 100, (3, 4, 5)).astype(t) for t in ("u1", "i2", "u2", "f4", "f8")]
    turn = np.array([[0, 0.6, 0.8], [0, -0.8, 0.6], [1, 0, 0]]) * [[2.5], [0.8], [0.7]]
    volumes = [Volume(array, (2.5, 0.8, 0.7), (1.0, 2.0, -3.0), turn) for array in arrays]
    found = []
    for number, volume in enumerate(volumes):
        for suffix in {"nrrd": [".nrrd"], "nifti": [".nii", ".nii.gz"]}.get(kind, []):
            found.append(folder / f"{number}{suffix}")
            write_volume(found[-1], volume)
    if kind == "nrrd":
        for encoding in ("raw", "ascii", "bzip2"):
            for array in arrays[1::2]:
                found.append(folder / f"{encoding}{array.dtype}.nrrd")
                header = {"encoding": encoding, "spacings": [0.7, 0.8, 2.5], "content": "a: test"}
                nrrd.write(str(found[-1]), array.astype(array.dtype.newbyteorder()).T, header)
    if kind == "nifti":
        scaled = nibabel.Nifti1Image(arrays[1].T.astype(">i2"), np.diag([2.0, 3, 4, 1]))
        scaled.header.set_slope_inter(0.5, 3)
        found += [folder / "scaled.nii", folder / "two.nii.gz"]
        scaled.to_filename(found[-2])
        nibabel.Nifti2Image(arrays[3].T, np.eye(4)).to_filename(found[-1])
    if kind == "picture":
        flat = [Volume(array[0], (1.0, 1.0)) for array in arrays]
        for name, volume in (("a.png", flat[0]), ("b.png", flat[2]), ("c.tif", flat[3])):
            found.append(folder / name)
            write_volume(found[-1], volume)
        found += [folder / "d.tif", folder / "e.tif", folder / "f.png"]
        write_volume(found[-3], Volume(arrays[2], (1.0, 1.0, 1.0)))
        Image.fromarray(arrays[0][0]).save(found[-2])  # not packed
        Image.fromarray(arrays[0][0]).convert("P").save(found[-1])
    return found


def reference(path: Path) -> np.ndarray:
    """Read by the format's own library, in array order (z, y, x); NaN where it is silent."""
    if path.suffix == ".nrrd":
        return np.asarray(nrrd.read(str(path), index_order="C")[0])
    if path.suffix in (".nii", ".gz"):
        return np.asarray(nibabel.load(path).dataobj).T
    with Image.open(path) as image:
        pages = []
        for page in range(getattr(image, "n_frames", 1)):
            image.seek(page)
            pages.append(np.array(image))
    return np.stack(pages) if len(pages) > 1 else pages[0]


def outcome_of(path: Path, original: np.ndarray, same: bool) -> str | None:
    """Return 'read', 'refused', or what went wrong."""
    try:
        volume = read_volume(path)
    except DataError as error:
        text = str(error)
        whole = text.startswith(f"{path}: ") and "\n" not in text and not same
        return "refused" if whole else f"a poor message: {text!r}"
    if same:
        return "read" if np.array_equal(volume.array, original) else "not the same array"
    expected = reference(path).squeeze()
    found = volume.array.squeeze()
    if (
        volume.kinds
        and volume.kinds[0] not in ("domain", "space")
        and found.shape != expected.shape
    ):
        found = np.moveaxis(found, 0, -1)
    if not np.array_equal(found, expected, equal_nan=found.dtype.kind == "f"):
        return f"{found.shape} {found.dtype} differs from the reference {expected.shape}"
    return "read"


def stop(*_: object) -> None:
    raise TimeoutError(f"no answer within {SECONDS} s")


def main(kind: str, count: int, folder: Path) -> None:
    """Read `count` damaged files below `folder` and print what came of it."""
    rng = np.random.default_rng(0)
    warnings.simplefilter("ignore")
    sound = {path: path.read_bytes() for path in sound_files(kind, folder, rng)}
    arrays = {path: read_volume(path).array for path in sound}
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + 2**30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGALRM, stop)
    counts = {"read": 0, "refused": 0}
    failures = []
    for number in range(count):
        path = list(sound)[number % len(sound)]
        mutate = BYTES[rng.integers(len(BYTES))]
        content = bytes(mutate(bytearray(sound[path]), rng))
        path.write_bytes(content)
        signal.alarm(SECONDS)
        try:
            outcome = outcome_of(path, arrays[path], content == sound[path])
        except BaseException:  # noqa: BLE001 - whatever it is, it is reported
            outcome = traceback.format_exc()
        signal.alarm(0)
        if outcome in counts:
            counts[outcome] += 1
        else:
            failures.append(f"{path.name}, number {number}, {mutate.__name__}: {outcome}")
    print(json.dumps({**counts, "failures": failures}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
