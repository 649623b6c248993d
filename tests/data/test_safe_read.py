"""No file makes a reader take more memory than it declares and holds."""

import bz2
import gzip
import struct
import tracemalloc
from pathlib import Path

import nibabel
import numpy as np
import pytest

from normsearch.data import Volume, read_idx, read_volume, write_volume
from normsearch.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore::normsearch.data.SpacingWarning")

MANY = bytes(2 * 10**8)
BYTES = bytes(range(24))
NRRD = b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: %s\nspacings: 1 1 2\nencoding: %s\n\n"
IDX = b"\0\0\x08\x03"


def nifti(*sizes: int) -> bytes:
    header = nibabel.Nifti1Header()
    header["dim"][:4], header["datatype"] = (3, *sizes), 2
    header["pixdim"][1:4], header["magic"], header["vox_offset"] = 1, b"n+1", 352
    return bytes(header.binaryblock) + bytes(4) + BYTES


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.nrrd", NRRD % (b"4 3 2", b"gzip") + gzip.compress(BYTES + MANY, 1)),
        ("b.nrrd", NRRD % (b"4 3 2", b"bzip2") + bz2.compress(BYTES + MANY)),
        ("a.nii.gz", gzip.compress(nifti(4, 3, 2) + MANY, 1)),
        ("a-ubyte.gz", gzip.compress(IDX + struct.pack(">III", 2, 3, 4) + BYTES + MANY, 1)),
        ("c.nrrd", NRRD % (b"1000 1000 3000", b"raw") + BYTES),
        ("d.nrrd", NRRD % (b"1000 1000 3000", b"gzip") + gzip.compress(BYTES)),
        ("a.nii", nifti(1000, 1000, 3000)),
        ("a-ubyte", IDX + struct.pack(">III", 1000, 1000, 3000) + BYTES),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_memory_is_taken_for_what_is_there_and_was_declared(
    name: str, content: bytes, tmp_path: Path
) -> None:
    """200 MB unpack to no more than was declared; 3 GB that are only declared take no memory."""
    path = tmp_path / name
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="must hold"):
            (read_idx if "ubyte" in name else read_volume)(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50e6


@pytest.mark.parametrize("suffix", [".nrrd", ".nii", ".nii.gz", ".png", ".tif"])
def test_what_would_not_fit_is_refused_by_the_header(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    write_volume(path, Volume(np.zeros((5, 7), np.uint16), (1.0, 1.0)))
    assert read_volume(path, max_bytes=70).array.nbytes == 70
    with pytest.raises(DataError, match="may take 69 bytes at most"):
        read_volume(path, max_bytes=69)


def test_pages_count_together(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_volume(path, Volume(np.zeros((9, 5, 7), np.uint8), (1.0, 1.0, 1.0)))
    assert read_volume(path, max_bytes=9 * 35).array.shape == (9, 5, 7)
    with pytest.raises(DataError, match="may take 5 bytes at most"):
        read_volume(path, max_bytes=8 * 35 + 5)


def test_idx_has_its_cap(tmp_path: Path) -> None:
    path = tmp_path / "a-ubyte"
    path.write_bytes(IDX + struct.pack(">III", 2, 3, 4) + BYTES)
    assert read_idx(path, max_bytes=24).size == 24
    with pytest.raises(DataError, match="may take 23 bytes at most"):
        read_idx(path, max_bytes=23)
