import math
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
import pytest

from normsearch.data import Volume, label_of_segments, read_segments, read_volume, write_volume
from normsearch.data.segments import segments_named
from normsearch.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore:.*utcnow:DeprecationWarning")

SPACING = (3.0, 1.5, 0.5)
DIRECTIONS = np.array([[0, 0, 3.0], [0, 1.5, 0], [0.5, 0, 0]])
ORIGIN = (10.0, 20.0, 30.0)
SHAPE = (6, 5, 4)
IMAGE = Volume(np.zeros(SHAPE, np.int16), SPACING, ORIGIN, DIRECTIONS)


def box(low: int, high: int) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[low:high, 1:4, 1:3] = True
    return mask


MASKS = {"left ventricle": box(1, 4), "scar: old": box(3, 5), "Läsion": box(0, 1)}


def save(path: Path, layers: np.ndarray, rows: list[tuple[str, str]], origin: Any = ORIGIN) -> Path:
    """Write (layer, z, y, x) as 3D Slicer does; one layer as three axes. `rows`: key, value."""
    kinds = ["list"] * (len(layers) > 1) + ["domain"] * 3
    directions = DIRECTIONS[::-1]
    if len(layers) > 1:
        directions = np.vstack([np.full(3, np.nan), directions])
    array = layers.transpose(0, 3, 2, 1)
    header = {
        "kinds": kinds,
        "encoding": "gzip",
        "space": "left-posterior-superior",
        "space directions": directions,
        "space origin": list(origin),
    }
    nrrd.write(str(path), array if len(layers) > 1 else array[0], header)
    head, _, data = path.read_bytes().partition(b"\n\n")
    names = "".join(f"\n{key}:={value}" for key, value in rows)
    path.write_bytes(head + names.encode() + b"\n\n" + data)
    return path


def described(*segments: tuple[str, int, int]) -> list[tuple[str, str]]:
    """The rows of segments given as name, layer and label value."""
    return [
        row
        for number, (name, layer, value) in enumerate(segments)
        for row in (
            (f"Segment{number}_ID", f"Segment_{number}"),
            (f"Segment{number}_Name", name),
            (f"Segment{number}_LabelValue", str(value)),
            (f"Segment{number}_Layer", str(layer)),
            (f"Segment{number}_Extent", "0 3 0 4 0 5"),
        )
    ]


def test_overlapping_segments_are_told_apart_by_name(tmp_path: Path) -> None:
    first, second, third = MASKS
    layers = np.zeros((2, *SHAPE), np.uint8)
    layers[0][MASKS[first]] = 1
    layers[0][MASKS[third]] = 2
    layers[1][MASKS[second]] = 1  # the same value as the first's, on another layer
    rows = described((first, 0, 1), (second, 1, 1), (third, 0, 2))
    found = read_segments(save(tmp_path / "a.seg.nrrd", layers, rows))
    assert found.names == tuple(MASKS)
    for name, mask in MASKS.items():
        np.testing.assert_array_equal(found.masks[name], mask)
        assert found.masks[name].dtype == bool
    assert found.spacing == SPACING
    assert found.origin == ORIGIN
    np.testing.assert_array_equal(found.directions, DIRECTIONS)
    with pytest.raises(DataError, match=r"a label must have one value a voxel, got 2 layers"):
        read_volume(tmp_path / "a.seg.nrrd", as_label=True)


def test_segments_on_one_layer_are_a_label(tmp_path: Path) -> None:
    layer = np.zeros((1, *SHAPE), np.uint8)
    layer[0][box(0, 2)], layer[0][box(4, 6)] = 3, 7
    path = save(tmp_path / "a.seg.nrrd", layer, described(("a", 0, 7), ("b", 0, 3)))
    found = read_segments(path)
    np.testing.assert_array_equal(found.masks["a"], box(4, 6))
    np.testing.assert_array_equal(found.masks["b"], box(0, 2))
    label = read_volume(path, as_label=True)
    np.testing.assert_array_equal(label.array, layer[0])
    chosen = label_of_segments(path, ["b", "a"], IMAGE)
    np.testing.assert_array_equal(chosen.array, box(0, 2) + 2 * box(4, 6))
    assert chosen.array.dtype == np.uint8
    assert chosen.spacing == SPACING


def test_the_old_form_has_a_layer_for_each_segment(tmp_path: Path) -> None:
    layers = np.stack(list(MASKS.values())).astype(np.uint8)
    rows = [(f"Segment{number}_Name", name) for number, name in enumerate(MASKS)]
    found = read_segments(save(tmp_path / "a.seg.nrrd", layers, rows))
    for name, mask in MASKS.items():
        np.testing.assert_array_equal(found.masks[name], mask)


def test_a_single_voxel_means_empty(tmp_path: Path) -> None:
    path = save(tmp_path / "a.seg.nrrd", np.ones((1, 1, 1, 1), np.uint8), described(("a", 0, 1)))
    found = read_segments(path)
    assert not found.masks["a"].any()
    label = label_of_segments(path, ["a"], IMAGE)
    assert label.array.shape == SHAPE
    assert not label.array.any()


@pytest.mark.parametrize("shift", [(0, 0, 0), (2, 1, 1), (-1, -2, 0), (5, 0, 3), (9, 9, 9)])
def test_a_cropped_segmentation_is_put_back(shift: tuple[int, ...], tmp_path: Path) -> None:
    part = np.random.default_rng(0).integers(0, 2, (1, 3, 4, 2)).astype(np.uint8)
    origin = np.asarray(ORIGIN) + np.asarray(shift) @ DIRECTIONS
    path = save(tmp_path / "a.seg.nrrd", part, described(("a", 0, 1)), origin)
    found = label_of_segments(path, ["a"], IMAGE).array
    for index in np.ndindex(*SHAPE):
        inside = np.subtract(index, shift)
        there = (inside >= 0).all() and (inside < (3, 4, 2)).all()
        assert found[index] == (part[0][tuple(inside)] if there else 0)


def test_label_of_segments_says_what_does_not_fit(tmp_path: Path) -> None:
    layers = np.stack(list(MASKS.values())).astype(np.uint8)
    rows = described(*((name, number, 1) for number, name in enumerate(MASKS)))
    path = save(tmp_path / "a.seg.nrrd", layers, rows)
    with pytest.raises(
        DataError, match=r"must not overlap, got 'scar: old' and 'left ventricle' o"
    ):
        label_of_segments(path, ["left ventricle", "scar: old"], IMAGE)
    with pytest.raises(DataError, match=r"the segment 'Lasion', got .*Did you mean 'Läsion'\?"):
        label_of_segments(path, ["Lasion"], IMAGE)
    near = Volume(IMAGE.array, SPACING, (10.2, 20.0, 30.0), DIRECTIONS)
    with pytest.raises(DataError, match="must lie on the grid of its image"):
        label_of_segments(path, ["Läsion"], near)
    finer = Volume(IMAGE.array, (3.0, 1.5, 0.4), ORIGIN, DIRECTIONS * [[1], [1], [0.8]])
    with pytest.raises(DataError, match="must lie on the grid of its image"):
        label_of_segments(path, ["Läsion"], finer)
    stack = Volume(IMAGE.array, (math.nan, 1.5, 0.5), kinds=("list", "domain", "domain"))
    with pytest.raises(DataError, match="an image of three axes in space"):
        label_of_segments(path, ["Läsion"], stack)
    plain = Volume(IMAGE.array[:2], SPACING)
    with pytest.raises(DataError, match=r"of shape \(2, 5, 4\), got one of shape \(6, 5, 4\)"):
        label_of_segments(path, ["Läsion"], plain)
    plain = Volume(IMAGE.array, SPACING)
    np.testing.assert_array_equal(label_of_segments(path, ["Läsion"], plain).array, box(0, 1))


def test_segmentations_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.seg\.nrrd: segmentations are only read; write the la"):
        write_volume(tmp_path / "a.seg.nrrd", IMAGE)


def labelmap(path: Path, values: dict[str, int]) -> Path:
    """Write one layer whose segments are boxes of one slice each, as Slicer exports it."""
    layer = np.zeros((1, *SHAPE), np.uint8)
    for place, value in enumerate(values.values()):
        layer[0][box(place, place + 1)] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    return save(path, layer, described(*((name, 0, value) for name, value in values.items())))


@pytest.mark.parametrize("suffix", [".nrrd", ".seg.nrrd"])
def test_a_labelmap_may_name_its_segments(suffix: str, tmp_path: Path) -> None:
    path = labelmap(tmp_path / f"a{suffix}", {" Tumor ": 2, "vessel": 1})
    assert segments_named(path) == {"Tumor": 2, "vessel": 1}
    label = label_of_segments(path, ["tumor", "vessel"], IMAGE)
    np.testing.assert_array_equal(label.array, box(0, 1) + 2 * box(1, 2))
    absent = label_of_segments(path, ["cyst", "vessel"], IMAGE, optional=True)
    np.testing.assert_array_equal(absent.array, 2 * box(1, 2))


def test_a_label_without_names(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nrrd", IMAGE)
    assert segments_named(tmp_path / "a.nrrd") is None
    assert segments_named(tmp_path / "a.png") is None
