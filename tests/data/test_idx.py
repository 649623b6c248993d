import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from normsearch.data import read_idx

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def packed(array: np.ndarray, kind: str) -> bytes:
    head = struct.pack(f">HBB{array.ndim}I", 0, CODES[kind], array.ndim, *array.shape)
    return head + array.astype(f">{kind}").tobytes()


@pytest.mark.parametrize("kind", CODES)
@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), (1, 2, 3, 4)])
@pytest.mark.parametrize("name", ["a-idx3-ubyte", "a-idx3-ubyte.gz"])
def test_read_idx(kind: str, shape: tuple[int, ...], name: str, tmp_path: Path) -> None:
    array = np.arange(np.prod(shape)).reshape(shape).astype(kind)
    content = packed(array, kind)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    found = read_idx(tmp_path / name)
    np.testing.assert_array_equal(found, array)
    assert found.dtype == np.dtype(kind)
    assert found.dtype.isnative
    assert found.flags.writeable


@pytest.mark.data
def test_fashion_mnist(data_root: Path) -> None:
    folder = data_root / "fashion_mnist_900"
    for part, count in (("train", 720), ("t10k", 180)):
        images = read_idx(folder / f"{part}-images-idx3-ubyte.gz")
        labels = read_idx(folder / f"{part}-labels-idx1-ubyte.gz")
        assert (images.shape, labels.shape) == ((count, 28, 28), (count,))
        assert images.dtype == labels.dtype == np.uint8
        assert set(labels) == set(range(10))
        assert 50 < images.mean() < 100
