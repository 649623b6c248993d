import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from normsearch.data import stored_array
from normsearch.data.cases import slice_blocks
from normsearch.data.stored_array import StoredArray, compressed
from normsearch.errors import CacheError

Array = np.ndarray[Any, Any]
RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.normal(size=(37, 2, 70, 300)).astype(np.float32)  # several blocks along each axis
LABEL = RANDOM.integers(0, 3, (37, 70, 300)).astype(np.uint8)


@pytest.fixture(params=["read in parts", "kept"])
def _kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test run with arrays that are too large to be kept in memory, and with small ones."""
    if request.param == "read in parts":
        monkeypatch.setattr(stored_array, "_SMALL", 0)


def stored(folder: Path, array: Array = IMAGE) -> StoredArray:
    path = folder / "array.b2nd"
    path.write_bytes(compressed(array))
    return StoredArray(path, array.shape, array.dtype)


@pytest.mark.usefixtures("_kept")
@pytest.mark.parametrize(
    "key",
    [
        *(0, -1, np.int64(5), ..., slice(None), slice(3, 4), slice(30, 90), slice(5, 5)),
        *(slice(None, None, 3), (slice(2, 20), slice(None), slice(60, 70), slice(250, 299))),
        *((4, 1), (slice(1, 3), 0, 5, 7), (..., slice(3, 8)), (2, ..., 4), (-1, -1, -1, -1)),
        *([3, 1, 1], np.arange(4)),  # by indices: reads all
    ],
)
def test_a_part_is_that_of_the_array(key: Any, tmp_path: Path) -> None:
    found, expected = stored(tmp_path)[key], IMAGE[key]
    assert isinstance(found, np.ndarray) or np.ndim(found) == 0
    np.testing.assert_array_equal(found, expected)
    assert (np.shape(found), found.dtype) == (np.shape(expected), IMAGE.dtype)


@pytest.mark.usefixtures("_kept")
@pytest.mark.parametrize("array", [IMAGE, LABEL, LABEL[:1], LABEL[:, :1, :1], LABEL[0, 0, :1]])
def test_all_else_is_that_of_the_whole_array(array: Array, tmp_path: Path) -> None:
    found = stored(tmp_path, array)
    assert (found.shape, found.dtype, found.ndim) == (array.shape, array.dtype, array.ndim)
    assert (len(found), found.size, found.nbytes) == (len(array), array.size, array.nbytes)
    np.testing.assert_array_equal(np.asarray(found), array)
    np.testing.assert_array_equal(np.array(found), array)
    np.testing.assert_array_equal(found.copy(), array)
    np.testing.assert_array_equal(found > 1, array > 1)
    np.testing.assert_array_equal(2 + found, 2 + array)
    assert [*map(np.sum, found)] == [*map(np.sum, array)]
    assert (found.max(), np.unique(found).tolist()) == (array.max(), np.unique(array).tolist())
    with pytest.raises(IndexError):
        found[len(array)]


def test_a_part_reads_no_more_than_its_blocks(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(stored_array, "_SMALL", 0)
    found = stored(tmp_path)
    monkeypatch.setattr(StoredArray, "__array__", None)
    for part, whole in zip(slice_blocks(found), slice_blocks(IMAGE), strict=True):
        np.testing.assert_array_equal(part, whole)


@pytest.mark.usefixtures("_kept")
def test_what_is_sent_is_the_path(tmp_path: Path) -> None:
    found = stored(tmp_path)
    for _ in range(2):  # also once it is open
        sent = pickle.dumps(found)
        assert len(sent) < 1000
        np.testing.assert_array_equal(pickle.loads(sent)[3], IMAGE[3])
        np.testing.assert_array_equal(found[3], IMAGE[3])


@pytest.mark.usefixtures("_kept")
def test_threads_read_at_once(tmp_path: Path) -> None:
    found = stored(tmp_path)

    def same(seed: int) -> bool:
        random = np.random.default_rng(seed)
        starts = (random.integers(0, side, (50, 2)) for side in IMAGE.shape)
        boxes = zip(*starts, strict=True)
        keys = (tuple(slice(min(ends), max(ends) + 1) for ends in box) for box in boxes)
        return all(np.array_equal(found[key], IMAGE[key]) for key in keys)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(same, range(8)))


def test_small_arrays_are_kept_up_to_a_limit(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(stored_array, "_ALL_SMALL", 2 * LABEL.nbytes + 1)
    monkeypatch.setattr(stored_array, "_kept", {})
    (tmp_path / "gone").mkdir()
    arrays = [stored(tmp_path / "gone", LABEL) for _ in range(3)]
    for array in arrays:
        array[0][:] = 9  # a copy: what is kept does not change
        np.testing.assert_array_equal(array[0], LABEL[0])
    arrays[0].path.write_bytes(b"")
    np.testing.assert_array_equal(arrays[1][3], LABEL[3])
    assert sum(stored_array._kept.values()) == 2 * LABEL.nbytes
    del array, arrays
    assert not stored_array._kept


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def blank(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[:2000] + bytes(len(raw) - 4000) + raw[-2000:])


@pytest.mark.parametrize("damage", [Path.unlink, cut, blank])
def test_a_file_that_is_gone_or_damaged_is_told(
    damage: Callable[[Path], object], tmp_path: Path
) -> None:
    found = pickle.loads(pickle.dumps(stored(tmp_path)))  # as on another machine
    damage(found.path)
    with pytest.raises(CacheError, match=r"array\.b2nd: must be .*NORMSEARCH_CACHE.*resume"):
        found[:]
