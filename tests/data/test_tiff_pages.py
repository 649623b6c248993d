import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from normsearch.data import read_volume
from normsearch.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore::normsearch.data.SpacingWarning")

PAGES = np.random.default_rng(0).integers(0, 255, (6, 4, 5)).astype(np.uint8)
OME = (
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image>'
    '<Pixels DimensionOrder="{order}" SizeX="5" SizeY="4" SizeZ="{z}" SizeC="{c}" SizeT="{t}" '
    'Type="uint8"></Pixels></Image></OME>'
)


def save(
    path: Path, description: str, pages: np.ndarray = PAGES, tags: dict[int, Any] | None = None
) -> Path:
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[270] = description
    for tag, value in (tags or {}).items():
        info[tag] = value
    first, *rest = [Image.fromarray(page) for page in pages]
    first.save(path, "TIFF", save_all=True, append_images=rest, tiffinfo=info)
    return path


@pytest.mark.parametrize(
    ("description", "axes"),
    [
        ("ImageJ=1.53t\nimages=6\nslices=6\n", "z"),
        ("ImageJ=1.53t\nimages=6\nframes=6\n", "z"),
        ("ImageJ=1.53t\nimages=6\nchannels=2\nslices=3\nhyperstack=true\n", "zc"),
        ("ImageJ=1.53t\nimages=6\nchannels=6\nmode=composite\n", "c"),
        (OME.format(order="XYCZT", z=3, c=2, t=1), "zc"),
        (OME.format(order="XYZCT", z=3, c=2, t=1), "cz"),
        (OME.format(order="XYZCT", z=6, c=1, t=1), "z"),
        (OME.format(order="XYTCZ", z=1, c=2, t=3), "cz"),
        ('{"shape": [6, 4, 5]}', "z"),
        ('{"shape": [1, 6, 4, 5]}', "z"),
        ("a scanner's own words", "z"),
    ],
)
def test_pages_are_what_the_description_says(description: str, axes: str, tmp_path: Path) -> None:
    found = read_volume(save(tmp_path / "a.tif", description))
    if axes == "z":
        expected, kinds = PAGES, ("list", "domain", "domain")
    elif axes == "c":
        expected, kinds = PAGES, ("vector", "domain", "domain")
    elif axes == "zc":
        expected = np.stack([PAGES[0::2], PAGES[1::2]])
        kinds = ("vector", "list", "domain", "domain")
    else:
        expected, kinds = PAGES.reshape(2, 3, 4, 5), ("vector", "list", "domain", "domain")
    np.testing.assert_array_equal(found.array, expected)
    assert found.kinds == kinds
    assert all(math.isnan(step) for step in found.spacing[:-2])


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (
            "ImageJ=1.53t\nimages=600\nslices=600\n",
            "got 6 pages where its description says images=6",
        ),
        (
            "ImageJ=1.53t\nimages=6\nchannels=2\nslices=4\n",
            "6 images where .* 2 channels, 4 slices",
        ),
        ("ImageJ=1.53t\nimages=6\nslices=3\nframes=2\n", "got 2 frames of 3 slices"),
        (OME.format(order="XYCZT", z=4, c=2, t=1), "6 pages where its OME .* 4 slices, 2 channels"),
        (OME.format(order="XYCZT", z=3, c=1, t=2), "got 2 times of 3 slices"),
        (
            OME.format(order="XYCZT", z=6, c=1, t=1).replace(
                "</Image>", "</Image><Image><Pixels/>"
            ),
            "",
        ),
        ('{"shape": [7, 4, 5]}', r"6 pages where its description says shape \[7, 4, 5\]"),
        ('{"shape": [2, 3, 4, 5]}', "without saying which axes are slices and channels"),
    ],
)
def test_pages_that_do_not_fit_are_refused(description: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"a\.tif: must have one page for each .*{message}"):
        read_volume(save(tmp_path / "a.tif", description))


def test_one_page_of_a_large_stack_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", "ImageJ=1.53t\nimages=500\nslices=500\n", PAGES[:1])
    with pytest.raises(
        DataError, match=r"got 1 pages .* images=500; ImageJ keeps stacks above 4 GB"
    ):
        read_volume(path)


@pytest.mark.parametrize(("tag", "value"), [(254, 1), (254, 4), (255, 2)])
def test_thumbnails_are_no_slices(tag: int, value: int, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got a page that is a smaller copy"):
        read_volume(save(tmp_path / "a.tif", "", tags={tag: value}))


@pytest.mark.parametrize(("tag", "what"), [(33629, "MetaMorph"), (34412, "LSM")])
def test_planes_that_are_no_pages_are_refused(tag: int, what: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=what):
        read_volume(save(tmp_path / "a.tif", "", PAGES[:1], tags={tag: 3}))


def test_channels_are_no_label(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", "ImageJ=1.53t\nimages=6\nchannels=2\nslices=3\n")
    with pytest.raises(DataError, match="a label must have one value a pixel, got 2 channels"):
        read_volume(path, as_label=True)
