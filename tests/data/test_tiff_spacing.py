"""The spacing of ImageJ and OME-TIFF, and of no other description."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from normsearch.data import SpacingWarning, read_volume

NAN = math.nan


@pytest.mark.parametrize(
    ("description", "per_unit", "expected"),
    [
        ("ImageJ=1.53\nunit=micron\nspacing=3\n", (4.0, 2.0), (0.00025, 0.0005)),
        ("ImageJ=1.53\nunit=mm\n", (4.0, 2.0), (0.25, 0.5)),
        ("ImageJ=1.53\nunit=pixel\n", (4.0, 2.0), (NAN, NAN)),
        ("ImageJ=1.53\n", (4.0, 2.0), (NAN, NAN)),
        ('<OME><Pixels PhysicalSizeX="0.5" PhysicalSizeY="2"/>', None, (0.002, 0.0005)),
        (
            '<OME><Pixels PhysicalSizeX="0.5" PhysicalSizeXUnit="mm" PhysicalSizeY="2" '
            'PhysicalSizeYUnit="cm"/>',
            None,
            (20.0, 0.5),
        ),
        ('<OME><Pixels PhysicalSizeX="0" PhysicalSizeY="-1"/>', None, (NAN, NAN)),
        ("a scan of a page", (300.0, 300.0), (NAN, NAN)),
    ],
)
@pytest.mark.filterwarnings("ignore::normsearch.data.SpacingWarning")
def test_spacing_of_a_tiff(
    description: str,
    per_unit: tuple[float, float] | None,
    expected: tuple[float, float],
    tmp_path: Path,
) -> None:
    tags = ImageFileDirectory_v2()
    tags[270] = description
    if per_unit:
        tags[283], tags[282] = per_unit
    Image.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / "a.tif", tiffinfo=tags)
    np.testing.assert_allclose(read_volume(tmp_path / "a.tif").spacing, expected)


def test_dots_per_metre_of_a_png_are_not_read(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / "a.png", dpi=(300, 300))
    with pytest.warns(SpacingWarning, match=r"a\.png: gives no spacing"):
        assert np.isnan(read_volume(tmp_path / "a.png").spacing).all()
