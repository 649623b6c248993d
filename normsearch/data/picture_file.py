"""PNG and TIFF images through Pillow: unchanged values, or the indices of a palette.

A TIFF of several pages is a stack, (slice, y, x), or channels if its description says so. Only the
descriptions of ImageJ and OME-TIFF give a spacing (`tiff_spacing`). Plain resolution tags and PNG's
pHYs chunk are ignored: many programs write the dots per inch of a screen or printer there. Geometry
is not written.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from normsearch.data.geometry import SpacingWarning, Volume
from normsearch.data.safe_read import opened
from normsearch.data.tiff_pages import Pages, arranged, refuse_page
from normsearch.data.tiff_spacing import spacing_of_tags
from normsearch.errors import DataError, one_line
from normsearch.files import write_atomically

Array = npt.NDArray[Any]

_PAGES = 2**14  # the largest number of pages of a TIFF
_ONE_VALUE = ("1", "L", "P", "I;16", "I;16L", "I;16B", "I", "F")
_COLOURS = {"LA": 2, "RGB": 3, "RGBA": 4}
_BITS_PER_SAMPLE, _SAMPLE_FORMAT, _PHOTOMETRIC = 258, 339, 262
_PNG_TYPES = {**dict.fromkeys((1, 2, 4, 8), "u1"), 16: "u2"}
# (sample format, bits) -> type; Pillow cuts others to 8 bits or does not read them.
_TIFF_TYPES = {
    **{(1, bits): kind for bits, kind in {**_PNG_TYPES, 32: "u4"}.items()},
    (2, 8): "i1",
    (2, 16): "i2",
    (2, 32): "i4",
    (3, 32): "f4",
}
_WRITTEN = {"PNG": ("uint8", "uint16"), "TIFF": ("uint8", "uint16", "int32", "float32")}
# Exceptions of Pillow for damaged files.
_DAMAGE = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError),
    *(EOFError, UserWarning, struct.error, zlib.error),
    *(Image.DecompressionBombError, Image.DecompressionBombWarning),
)
_CURE = "copy the file or export it again"


def read_png(path: Path, *, root: Path, max_bytes: int, as_label: bool = False) -> Volume:
    """Read one .png file; see `normsearch.data.read_volume`."""
    with opened(path) as file, _faults_of(path, "PNG"):
        with Image.open(file, formats=("PNG",)) as image:
            image.verify()  # checks the checksums, which decoding ignores
        bits, colour = _png_kind(file)
        with Image.open(file, formats=("PNG",)) as image:
            if colour in (2, 4, 6) and bits == 16:
                raise _unread(path, "colours of 16 bits, which would be cut to 8")
            if getattr(image, "n_frames", 1) > 1:
                raise _unread(path, "an animation")
            array = _decoded(path, image, bits, _PNG_TYPES[bits], max_bytes, as_label)
    return _volume(path, array, array.ndim - 2, 0)


def read_tiff(path: Path, *, root: Path, max_bytes: int, as_label: bool = False) -> Volume:
    """Read one .tif or .tiff file; see `normsearch.data.read_volume`."""
    pages: list[Array] = []
    steps = (math.nan, math.nan)
    with (
        opened(path) as file,
        _faults_of(path, "TIFF"),
        Image.open(file, formats=("TIFF",)) as opened_image,
    ):
        image: Any = opened_image
        tags, count = dict(image.tag_v2), image.n_frames
        for page in range(min(count, _PAGES + 1)):
            image.seek(page)
            refuse_page(path, image.tag_v2)
            bits, kind = _tiff_kind(path, image)
            if page == 0:
                steps = spacing_of_tags(_tags(image))
            left = max_bytes - sum(array.nbytes for array in pages)
            pages.append(_decoded(path, image, bits, kind, left, as_label))
            first = pages[0]
            if page == _PAGES or (pages[-1].shape, pages[-1].dtype) != (first.shape, first.dtype):
                raise _unread(path, f"more than {_PAGES} pages or pages that differ")
    colours = pages[0].ndim - 2
    told = arranged(path, tags, len(pages), len(pages[0]) if colours else 1)
    if told.channels > 1:
        planes = _channels(path, pages, told, as_label)
        return _volume(path, planes, 1, int(told.slices > 1), steps)
    stack = len(pages) > 1
    array = np.stack(pages, axis=-3) if stack else pages[0]
    return _volume(path, array, colours, int(stack), steps)


def _channels(path: Path, pages: list[Array], told: Pages, as_label: bool) -> Array:
    """Return pages that are channels as (channel, y, x) or (channel, slice, y, x)."""
    if as_label:
        raise DataError(
            f"{path}: a label must have one value a pixel, got {told.channels} channels; save the "
            "channel that is the mask"
        )
    if pages[0].ndim > 2:
        raise _unread(path, f"{told.channels} channels of colours")
    sides = (told.slices, told.channels) if told.channels_first else (told.channels, told.slices)
    planes = np.stack(pages).reshape(*sides, *pages[0].shape)
    planes = planes.swapaxes(0, 1) if told.channels_first else planes
    return np.ascontiguousarray(planes if told.slices > 1 else planes[:, 0])


def palette_of(path: Path) -> dict[str, int] | None:
    """Return the palette index of each colour, such as "#ff0000", that occurs in a picture.

    None if it has no palette, only greys in the palette, or is not a PNG or TIFF. Index 0 and
    colours with several indices are left out.

    Raises:
        DataError: the file is damaged.
    """
    if path.suffix.lower() not in (".png", ".tif", ".tiff"):
        return None
    with (
        opened(path) as file,
        _faults_of(path, "picture"),
        Image.open(file, formats=("PNG", "TIFF")) as image,
    ):
        if image.mode != "P":
            return None
        indices = np.unique(np.array(image))
        palette = np.array(image.getpalette("RGB") or (), np.uint8).reshape(-1, 3)
    used = [(int(n), tuple(palette[n].tolist())) for n in indices if 0 < n < len(palette)]
    if all(len(set(colour)) == 1 for _, colour in used):
        return None
    shown = [colour for _, colour in used]
    return {"#" + bytes(colour).hex(): n for n, colour in used if shown.count(colour) == 1}


def write_png(path: Path, volume: Volume) -> None:
    """Write a PNG file atomically: (y, x) of uint8 or uint16, or uint8 colours (channel, y, x).

    Raises:
        DataError: PNG does not support the type or shape.
    """
    _write(path, volume, "PNG")


def write_tiff(path: Path, volume: Volume) -> None:
    """Write a TIFF file atomically, one page per slice; a single slice is read back as (y, x).

    Raises:
        DataError: TIFF does not support the type or shape.
    """
    _write(path, volume, "TIFF")


@contextmanager
def _faults_of(path: Path, name: str) -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        warnings.filterwarnings("error", "Truncated")
        try:
            yield
        except UnidentifiedImageError as error:
            raise DataError(
                f"{path}: must be a {name} picture of a known kind, but it is damaged or of "
                f"another format; {_CURE} as {name}"
            ) from error
        except _DAMAGE as error:
            raise DataError(
                f"{path}: must be a whole {name} picture, got '{one_line(error)}'; it is "
                f"truncated, damaged or too large, so {_CURE}"
            ) from error


def _unread(path: Path, what: str) -> DataError:
    return DataError(
        f"{path}: must be a picture of grey values, palette indices or 8-bit colours, got {what}; "
        "save it in one of these, or as .nrrd"
    )


def _png_kind(file: IO[bytes]) -> tuple[int, int]:
    """Return the bits per sample and the colour type from the first chunk."""
    file.seek(24)
    bits, colour = file.read(2)
    file.seek(0)
    return bits, colour


def _tags(image: Any) -> Any:
    return image.tag_v2


def _tiff_kind(path: Path, image: Any) -> tuple[int, str]:
    """Return the bits per sample and the type of the stored values."""
    bits = set(image.tag_v2.get(_BITS_PER_SAMPLE, (1,)))
    formats = set(image.tag_v2.get(_SAMPLE_FORMAT, (1,)))
    kinds = {_TIFF_TYPES.get((fmt, bit)) for fmt in formats for bit in bits}
    (kind, *others), (bit, *_) = kinds, bits
    inverted = image.tag_v2.get(_PHOTOMETRIC) == 0 and bit > 8
    if kind is None or others or inverted or (image.mode in _COLOURS and bit != 8):
        raise _unread(path, f"{sorted(bits)} bits of sample format {sorted(formats)}")
    if image.tile and not image.use_load_libtiff:
        covered = sum((x1 - x0) * (y1 - y0) for _, (x0, y0, x1, y1), *_ in image.tile)
        if covered < math.prod(image.size):
            raise OSError("strips or tiles are missing")
    return bit, kind


def _decoded(
    path: Path, image: Image.Image, bits: int, kind: str, max_bytes: int, as_label: bool
) -> Array:
    """Return the values in native byte order: (y, x), or (channel, y, x) for colours."""
    if image.mode not in (*_ONE_VALUE, *_COLOURS):
        raise _unread(path, f"Pillow's mode {image.mode}")
    if as_label and image.mode in _COLOURS:
        raise DataError(
            f"{path}: a label must have one value a pixel, got colours ({image.mode}); save it in "
            "grey values or with a palette"
        )
    declared = math.prod(image.size) * max(np.dtype(kind).itemsize, _COLOURS.get(image.mode, 1))
    if declared > max_bytes:
        raise DataError(
            f"{path}: the pixels may take {max_bytes} bytes at most, but the file declares "
            f"{image.size[0]}×{image.size[1]} of {kind}; crop the picture"
        )
    if image.mode == "P" and not as_label:
        return _coloured(image)
    array = np.array(image)
    if image.mode == "L" and bits < 8:
        array //= 255 // (2**bits - 1)  # Pillow stretches them to 0..255
    if kind in ("i1", "u4"):
        array = array.view(kind)  # the same bits; Pillow returns uint8 and int32
    array = np.moveaxis(array, -1, 0) if image.mode in _COLOURS else array
    return np.ascontiguousarray(array, np.dtype(kind))


def _coloured(image: Image.Image) -> Array:
    """Return the pixels of a picture with a palette: grey (y, x), or colours (channel, y, x)."""
    colours = np.moveaxis(np.array(image.convert("RGB")), -1, 0)
    return np.ascontiguousarray(colours[0] if (colours == colours[:1]).all() else colours)


def _volume(
    path: Path,
    array: Array,
    channels: int,
    slices: int,
    steps: tuple[float, float] = (math.nan, math.nan),
) -> Volume:
    beside = ("vector",) * channels + ("list",) * slices
    kinds = (*beside, "domain", "domain") if beside else ()
    volume = Volume(array, (math.nan,) * len(beside) + steps, kinds=kinds)
    if not volume.has_spacing:
        warnings.warn(f"{path}: gives no spacing", SpacingWarning, stacklevel=4)
    return volume


def _write(path: Path, volume: Volume, name: str) -> None:
    array = volume.array
    if str(array.dtype) not in _WRITTEN[name]:
        raise DataError(
            f"{path}: {name} holds {', '.join(_WRITTEN[name])}, got {array.dtype}; convert the "
            "array or write it as .nrrd"
        )
    colours = volume.kinds[:1] == ("vector",)
    flat = np.moveaxis(array, 0, -1) if colours else array
    stack = flat.ndim - colours == 3 and name == "TIFF"
    fits = array.dtype == np.uint8 and array.shape[0] in _COLOURS.values() if colours else True
    if not fits or not (stack or flat.ndim - colours == 2) or 0 in array.shape:
        raise DataError(
            f"{path}: {name} holds (y, x){', (slice, y, x)' if name == 'TIFF' else ''} or 2 to 4 "
            f"channels of uint8 colours, got shape {array.shape} of {array.dtype} and kinds "
            f"{volume.kinds}; write it as .nrrd"
        )
    pages = [Image.fromarray(np.ascontiguousarray(page)) for page in (flat if stack else [flat])]
    options = {"save_all": True, "append_images": pages[1:], "compression": "tiff_deflate"}
    packed = io.BytesIO()  # Pillow reads a TIFF back while writing it
    pages[0].save(packed, name, **(options if name == "TIFF" else {}))
    write_atomically(path, lambda file: file.write(packed.getbuffer()))
