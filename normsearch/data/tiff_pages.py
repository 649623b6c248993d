"""Interprets the pages of a TIFF as slices or channels by its description.

ImageJ and OME store slices, channels and times as pages, in an order that only the description
gives. https://imagej.net/ij/developer/source/ij/io/TiffEncoder.java.html,
https://docs.openmicroscopy.org/ome-model/latest/ome-tiff/specification.html
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, NamedTuple

from normsearch.errors import DataError

_DESCRIPTION, _SUBFILE, _OLD_SUBFILE, _DEPTH = 270, 254, 255, 32997
_ORIENTATION = 274
_REDUCED = 0b101  # a copy of lower resolution, or the transparency of another page
# Tags of programs that store several planes per page
_OWN_WAY = {33629: "a stack of MetaMorph", 34412: "a file of Zeiss LSM"}
_CURE = "save the stack again as TIFF with one page a slice, or as .nrrd or .nii.gz"
_LARGE = "ImageJ keeps stacks above 4 GB so"
_OME_SIZE = re.compile(r"""\bSize([ZCT])\s*=\s*["'](\d+)["']""")
_OME_ORDER = re.compile(r"""\bDimensionOrder\s*=\s*["'](XY[ZCT]{3})["']""")
_OME_SAMPLES = re.compile(r"""\bSamplesPerPixel\s*=\s*["'](\d+)["']""")


class Pages(NamedTuple):
    """The pages of a TIFF: `slices` times `channels`.

    `channels_first` is whether the channels of a slice are consecutive.
    """

    slices: int
    channels: int = 1
    channels_first: bool = True


def arranged(path: Path, tags: Any, pages: int, samples: int) -> Pages:
    """Return the meaning of the pages by the description of the first page.

    Args:
        path: the file.
        tags: the tags of its first page, by number.
        pages: the number of pages.
        samples: values per pixel on each page.

    Raises:
        DataError: the description contradicts the number of pages, or is ambiguous.
    """
    for tag, what in _OWN_WAY.items():
        if tag in tags:
            raise _refused(path, f"{what}, of which not every plane is a page")
    if int(tags.get(_DEPTH, 1)) > 1:
        raise _refused(path, f"{tags[_DEPTH]} planes on one page")
    text = str(tags.get(_DESCRIPTION, ""))
    if text.startswith("ImageJ="):
        return _imagej(path, text, pages)
    if "<OME" in text[:2000] and "<Pixels" in text:
        return _ome(path, text, pages, samples)
    if text.startswith('{"shape":'):
        return _shaped(path, text, pages, samples)
    return Pages(pages)


def refuse_page(path: Path, tags: Any) -> None:
    """Refuse rotated pages, smaller copies (thumbnails, pyramid levels) and transparency masks.

    Raises:
        DataError: the page is one of these.
    """
    if (turned := int(tags.get(_ORIENTATION, 1))) != 1:
        raise DataError(
            f"{path}: must be stored upright (Orientation tag 1), as not all readers rotate the "
            f"picture, got {turned}; save it again from a viewer that rotates it"
        )
    if int(tags.get(_SUBFILE, 0)) & _REDUCED or int(tags.get(_OLD_SUBFILE, 0)) == 2:
        raise DataError(
            f"{path}: every page must be a slice, got a page that is a smaller copy or a mask of "
            "another (a thumbnail, a pyramid); save the full resolution alone"
        )


def _imagej(path: Path, text: str, pages: int) -> Pages:
    pairs = (line.partition("=") for line in text.splitlines())
    facts = {key.strip(): value.strip() for key, _, value in pairs}
    images, channels, slices, frames = (
        int(facts[key]) if facts.get(key, "").isdecimal() else 1
        for key in ("images", "channels", "slices", "frames")
    )
    if images != pages:
        why = f"; {_LARGE}" if pages == 1 else ""
        raise _refused(path, f"{pages} pages where its description says images={images}{why}")
    planes = channels * slices * frames
    if planes not in (1, images):
        raise _refused(
            path,
            f"{images} images where its description says {channels} channels, {slices} slices and "
            f"{frames} frames",
        )
    if slices > 1 and frames > 1:
        raise _refused(path, f"{frames} frames of {slices} slices, times as well as slices")
    return Pages(images // channels, channels)


def _ome(path: Path, text: str, pages: int, samples: int) -> Pages:
    if text.count("<Pixels") > 1:
        raise _refused(path, f"{text.count('<Pixels')} images in one file")
    head = text[text.index("<Pixels") :]
    sizes = {axis: int(size) for axis, size in _OME_SIZE.findall(head)}
    z, c, t = (sizes.get(axis, 1) for axis in "ZCT")
    inside = _OME_SAMPLES.search(head)
    c = max(c // (int(inside[1]) if inside else samples), 1) if samples > 1 else c
    if z * c * t != pages:
        raise _refused(
            path,
            f"{pages} pages where its OME description says {z} slices, {c} channels and {t} times",
        )
    if z > 1 and t > 1:
        raise _refused(path, f"{t} times of {z} slices")
    order = _OME_ORDER.search(head)
    names = order[1][2:] if order else "CZT"
    return Pages(z * t, c, names.index("C") < names.index("Z" if z > 1 else "T"))


def _shaped(path: Path, text: str, pages: int, samples: int) -> Pages:
    """Read the description of tifffile: the shape of the array, without names of its axes."""
    try:
        shape = [int(side) for side in json.loads(text)["shape"]]
    except (ValueError, TypeError, LookupError, RecursionError, OverflowError):
        return Pages(pages)
    beside = [side for side in shape[: -3 if samples > 1 else -2] if side > 1]
    if math.prod(beside) != pages:
        raise _refused(path, f"{pages} pages where its description says shape {shape}")
    if len(beside) > 1:
        raise _refused(path, f"shape {shape}, without saying which axes are slices and channels")
    return Pages(pages)


def _refused(path: Path, found: str) -> DataError:
    return DataError(
        f"{path}: must have one page for each slice or channel of its description, got "
        f"{found}; {_CURE}"
    )
