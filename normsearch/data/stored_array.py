"""Arrays that lie compressed on disk, of which only the parts that are asked for are read."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.mixins import NDArrayOperatorsMixin

from normsearch.errors import CacheError, one_line

Array = npt.NDArray[Any]

# Parts along z, y and x that are compressed together, and that are decompressed alone. Measured on
# 100 x 512 x 512 float32 like those of a CT (105 MB), with one thread: MB on disk, and milliseconds
# of CPU to write them, to read a patch of 128^3 and a slice of 512 x 512.
#   blosc2, LZ4, bits shuffled                       44 MB, 105, 6.5, 1.3
#   blosc2, Zstandard 1, bits shuffled               43 MB, 158, 10.3, 2.2
#   blosc2, Zstandard 1, bytes shuffled              61 MB, 314, 19.7, 4.2
#   zarr 3, chunks of 8 x 128 x 128, LZ4, bits       83 MB, 379, 34.6, 8.4
#   zarr 3, chunks of 8 x 128 x 128, Zstandard 1     43 MB, 522, 55.0, 13.1
_CHUNK, _BLOCK = (32, 256, 256), (4, 64, 64)

# Of small images a slice takes longer to find and decompress (0.2 ms) than the rest of its way into
# a batch, so those of a data set that fits are kept in memory.
_SMALL, _ALL_SMALL = 16 * 2**20, 256 * 2**20  # bytes of an array, and of all of a process
_kept: dict[int, int] = {}  # bytes by the id of the array that is kept


class StoredArray(NDArrayOperatorsMixin):
    """A read-only array in a file, which slices read in parts and all else reads as a whole.

    Slices, integers and ``...`` return the part as a NumPy array. It is opened when it is first
    read, and again in a process to which it is sent: what is sent is its path. Several threads may
    read it at once. Arrays of up to 16 MiB are read once and kept, up to 256 MiB in a process.

    Args:
        path: a file with the bytes of `compressed`.
        shape: of the array.
        dtype: of the array.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self.path, self.shape, self.dtype = path.absolute(), shape, np.dtype(dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Array:
        """Return a part of the array.

        Raises:
            CacheError: the file is gone or damaged.
        """
        keys = key if isinstance(key, tuple) else (key,)
        found: Array
        if not all(one is ... or isinstance(one, int | np.integer | slice) for one in keys):
            found = np.asarray(self)[key]
            return found
        try:
            opened = self._opened
            kept = isinstance(opened, np.ndarray)
            found = np.array(opened[key]) if kept else np.asarray(opened[key])
        except (OSError, RuntimeError, ValueError) as error:
            raise CacheError(
                f"{self.path}: must be a prepared case that this process can read, got "
                f"'{one_line(error)}'; on several machines NORMSEARCH_CACHE must be a folder that "
                "all share; if the file was deleted or damaged, `normsearch resume` prepares the "
                "case again"
            ) from error
        return found

    def __iter__(self) -> Iterator[Array]:
        return (self[place] for place in range(len(self)))

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.asarray(self[...], dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        whole = (np.asarray(one) if isinstance(one, StoredArray) else one for one in inputs)
        return getattr(ufunc, method)(*whole, **options)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the whole array, such as ``copy`` or ``max``."""
        if name.startswith("_"):  # of protocols that this class does not have
            raise AttributeError(name)
        return getattr(np.asarray(self), name)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape))

    @functools.cached_property
    def _opened(self) -> Any:
        """The open file, or for a small array its content."""
        import blosc2

        one_thread = blosc2.DParams(nthreads=1)  # loader workers are threads already
        opened = blosc2.open(str(self.path), mode="r", mmap_mode="r", dparams=one_thread)
        size = self.size * self.dtype.itemsize
        if size > min(_SMALL, _ALL_SMALL - sum(_kept.values())):
            return opened
        _kept[id(self)] = size
        weakref.finalize(self, _kept.pop, id(self), None)
        return np.asarray(opened[...])

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_opened"}

    def __repr__(self) -> str:
        return f"<StoredArray {self.path}: {self.dtype} {self.shape}>"


def compressed(array: Array) -> bytes:
    """Return the content of the file of a `StoredArray`, with the slices first."""
    import blosc2

    sizes = [_parts(array.shape, most) for most in (_CHUNK, _BLOCK)]
    how = blosc2.CParams(
        codec=blosc2.Codec.LZ4, clevel=5, filters=[blosc2.Filter.BITSHUFFLE], nthreads=1
    )
    values = np.ascontiguousarray(array)
    stored = blosc2.asarray(values, chunks=sizes[0], blocks=sizes[1], cparams=how, contiguous=True)
    return bytes(stored.to_cframe())


def _parts(shape: tuple[int, ...], most: tuple[int, int, int]) -> tuple[int, ...]:
    """Return the sides of parts of an array (slices, ..., y, x), one channel each."""
    z, y, x = most
    sides = {0: z, len(shape) - 2: y, len(shape) - 1: x} if len(shape) > 2 else {0: z * y * x}
    return tuple(min(side, sides.get(axis, 1)) for axis, side in enumerate(shape))
