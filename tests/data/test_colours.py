"""nnU-Net's way for pictures: one file of several colours for several channel names."""

import json
from pathlib import Path

import numpy as np
import pytest

from normsearch.data import Preparation, Volume, inspect, load_cases, write_volume
from normsearch.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore::normsearch.data.SpacingWarning")

NAN = float("nan")
COLOURS = np.random.default_rng(0).integers(0, 256, (4, 8, 8)).astype(np.uint8)


def write_set(root: Path, picture: np.ndarray, channels: int, ending: str = ".png") -> Path:
    """Two cases of a picture, (channel, y, x), as CASE_0000."""
    kinds = ("vector", "domain", "domain") if len(picture) > 1 else ()
    array = picture if kinds else picture[0]
    spacing = (NAN,) * array.ndim
    for name in ("a", "b"):
        path = root / "imagesTr" / f"{name}_0000{ending}"
        write_volume(path, Volume(array, spacing, kinds=kinds))
        mask = (COLOURS[0] > 200).astype(np.uint8)
        write_volume(root / "labelsTr" / f"{name}{ending}", Volume(mask, (NAN, NAN)))
    facts = {
        "channel_names": {str(number): f"c{number}" for number in range(channels)},
        "labels": {"background": 0, "cell": 1},
        "numTraining": 2,
        "file_ending": ending,
    }
    (root / "dataset.json").write_text(json.dumps(facts))
    return root


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_one_file_may_hold_all_channels(ending: str, tmp_path: Path) -> None:
    root = write_set(tmp_path, COLOURS[:3], 3, ending)
    assert inspect(root).errors == []
    for case in load_cases(root, Preparation(intensity=(0, 255))):
        np.testing.assert_allclose(case.image[0] * 255, COLOURS[:3], atol=1e-3)


def test_an_opaque_alpha_is_left_out(tmp_path: Path) -> None:
    opaque = COLOURS.copy()
    opaque[3] = 255
    for case in load_cases(write_set(tmp_path, opaque, 3), Preparation(intensity=(0, 255))):
        np.testing.assert_allclose(case.image[0] * 255, COLOURS[:3], atol=1e-3)


def test_grey_saved_as_three_equal_colours_is_grey(tmp_path: Path) -> None:
    grey = np.repeat(COLOURS[:1], 3, 0)
    for case in load_cases(write_set(tmp_path, grey, 1), Preparation(intensity=(0, 255))):
        np.testing.assert_allclose(case.image[0] * 255, COLOURS[:1], atol=1e-3)


@pytest.mark.parametrize(("colours", "channels"), [(4, 3), (3, 1), (1, 3), (3, 4), (2, 3)])
def test_channels_that_are_not_as_named(colours: int, channels: int, tmp_path: Path) -> None:
    root = write_set(tmp_path, COLOURS[:colours], channels)
    errors = inspect(root).errors
    assert [fault.case for fault in errors] == ["a", "b"]
    expected = f"have {channels} channels?, as dataset.json says, got {colours}; save it with"
    with pytest.raises(DataError, match=expected):
        load_cases(root, Preparation())
