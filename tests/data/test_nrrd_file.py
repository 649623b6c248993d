import math
from pathlib import Path

import nrrd
import numpy as np
import pytest

from normsearch.data import SpacingWarning, Volume, read_volume, write_volume
from normsearch.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore:.*utcnow:DeprecationWarning")

BYTES = bytes(range(24))
HEAD = b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 4 3 2\nspacings: 1 1 2\n"


def test_detached_data_is_read_within_root_alone(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "a.raw").write_bytes(b"??" + BYTES)
    path = tmp_path / "set" / "a.nhdr"
    path.write_bytes(HEAD + b"encoding: raw\nbyte skip: -1\ndata file: ../a.raw\n")
    array = read_volume(path, root=tmp_path).array
    np.testing.assert_array_equal(array.ravel(), np.arange(24))
    with pytest.raises(DataError, match=r"must lie under .*set, got '\.\./a\.raw'"):
        read_volume(path)


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
@pytest.mark.parametrize("kind", ["<i2", ">i2", "u1", "<f4", ">f8", "<u4"])
def test_read_volume_agrees_with_pynrrd(encoding: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    xyz = np.arange(24).reshape(4, 3, 2).astype(kind)
    header = {"encoding": encoding, "spacings": [0.5, 0.75, 3.0]}
    nrrd.write(str(path), xyz, header, index_order="F")
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array, xyz.T)
    np.testing.assert_array_equal(volume.array, nrrd.read(str(path), index_order="C")[0])
    assert volume.array.dtype == np.dtype(kind).newbyteorder("=")
    assert volume.array.dtype.isnative
    assert volume.array.flags.c_contiguous
    assert volume.spacing == (3.0, 0.75, 0.5)


def test_round_trip_keeps_an_oblique_anisotropic_geometry(tmp_path: Path) -> None:
    turn = np.array(
        [[1, 0, 0], [0, math.cos(0.3), -math.sin(0.3)], [0, math.sin(0.3), math.cos(0.3)]]
    )
    directions = np.diag([2.5, 0.8, 0.6])[:, ::-1] @ turn
    array = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    path = tmp_path / "a.nrrd"
    write_volume(path, Volume(array, (2.5, 0.8, 0.6), (1.0, -2.0, 3.5), directions))
    found = read_volume(path)
    np.testing.assert_array_equal(found.array, array)
    np.testing.assert_allclose(found.spacing, (2.5, 0.8, 0.6))
    np.testing.assert_allclose(found.directions, directions)
    assert found.origin == (1.0, -2.0, 3.5)
    data, header = nrrd.read(str(path), index_order="F")
    np.testing.assert_array_equal(data, array.T)
    np.testing.assert_allclose(header["space directions"], directions[::-1])


def test_round_trip_keeps_a_stack_and_spacings(tmp_path: Path) -> None:
    kinds = ("list", "domain", "domain")
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    write_volume(tmp_path / "a.nrrd", Volume(array, (math.nan, 1.5, 1.25), kinds=kinds))
    found = read_volume(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(found.array, array)
    np.testing.assert_array_equal(found.spacing, (math.nan, 1.5, 1.25))
    assert found.kinds == kinds
    assert nrrd.read_header(str(tmp_path / "a.nrrd"))["kinds"] == ["domain", "domain", "list"]


def test_a_spacing_that_is_not_given_is_unknown_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    header = {"kinds": ["domain", "domain", "list"]}
    nrrd.write(str(path), np.zeros((4, 3, 2), np.uint8), header)
    with pytest.warns(SpacingWarning, match=r"a\.nrrd: gives no spacing"):
        found = read_volume(path)
    assert np.isnan(found.spacing).all()
    assert found.in_space == (False, True, True)
    write_volume(path, found)
    again = nrrd.read_header(str(path))
    assert again["kinds"] == ["domain", "domain", "list"]
    assert "spacings" not in again
    write_volume(path, Volume(np.zeros((2, 3, 4), np.uint8), (math.nan,) * 3))
    assert "spacings" not in nrrd.read_header(str(path))


def test_right_anterior_superior_becomes_left_posterior_superior(tmp_path: Path) -> None:
    header = {
        "space": "right-anterior-superior",
        "space directions": np.diag([1.0, 2.0, 3.0]),
        "space origin": [10.0, 20.0, 30.0],
    }
    nrrd.write(str(tmp_path / "a.nrrd"), np.zeros((4, 3, 2), np.uint8), header)
    found = read_volume(tmp_path / "a.nrrd")
    assert found.directions is not None
    np.testing.assert_array_equal(found.directions, [[0, 0, 3], [0, -2, 0], [-1, 0, 0]])
    assert found.origin == (-10, -20, 30)


def test_write_volume_converts_bool_and_refuses_what_nrrd_has_not(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    write_volume(path, Volume(np.eye(3, dtype=bool), (1.0, 1.0)))
    assert read_volume(path).array.dtype == np.uint8
    with pytest.raises(DataError, match=r"a\.nrrd: .* got float16; convert the array"):
        write_volume(path, Volume(np.eye(3, dtype=np.float16), (1.0, 1.0)))
    with pytest.raises(DataError, match="got complex64"):
        write_volume(path, Volume(np.eye(3, dtype=np.complex64), (1.0, 1.0)))


@pytest.mark.parametrize("order", ["F", "C"])
def test_both_of_pynrrds_axis_orders_are_read_as_z_y_x(order: str, tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    zyx = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    header = {"space directions": np.diag([0.5, 0.75, 3.0]), "space": "LPS"}
    nrrd.write(str(path), zyx.T if order == "F" else zyx, header, index_order=order)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array, zyx)
    assert volume.spacing == (3.0, 0.75, 0.5)
    data, header = nrrd.read(str(path), index_order=order)
    np.testing.assert_array_equal(data if order == "C" else data.T, volume.array)
    write_volume(path, volume)
    again, header = nrrd.read(str(path), index_order=order)
    np.testing.assert_array_equal(again, data)
    np.testing.assert_array_equal(header["space directions"], np.diag([0.5, 0.75, 3.0]))


@pytest.mark.parametrize("encoding", ["raw", "ascii", "gzip", "bzip2"])
def test_a_detached_header_as_pynrrd_writes_it(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.nhdr"
    array = np.arange(24, dtype=">u2").reshape(4, 3, 2)
    nrrd.write(str(path), array, {"encoding": encoding, "spacings": [1, 2, 3]})
    assert len(list(tmp_path.iterdir())) == 2
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array, array.T)
    assert volume.array.dtype == np.uint16


def test_line_skip_and_byte_skip(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(b"one\ntwo\n??" + BYTES)
    path = tmp_path / "a.nhdr"
    skips = b"encoding: raw\nline skip: 2\nbyte skip: 2\ndata file: a.raw\n"
    path.write_bytes(HEAD + skips)
    np.testing.assert_array_equal(read_volume(path).array.ravel(), np.arange(24))


@pytest.mark.parametrize("kind", ["vector", "RGB-color", "3-vector", "covariant-vector"])
@pytest.mark.parametrize("place", [0, 3])
def test_channels_come_first_wherever_they_were(kind: str, place: int, tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    kinds = ["domain"] * 3
    kinds.insert(place, kind)
    rows = np.insert(np.diag([0.5, 0.75, 3.0]), place, np.nan, axis=0)
    xyz = np.arange(72).reshape(4, 3, 2, 3).astype(np.uint8)
    header = {"kinds": kinds, "space directions": rows, "space": "LPS", "space origin": [1, 2, 3]}
    nrrd.write(str(path), np.moveaxis(xyz, 3, place), header)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array, xyz.transpose(3, 2, 1, 0))
    assert volume.kinds == ("vector", "domain", "domain", "domain")
    np.testing.assert_array_equal(volume.spacing, (math.nan, 3, 0.75, 0.5))
    assert volume.array.flags.c_contiguous
    write_volume(path, volume)
    assert nrrd.read_header(str(path))["kinds"] == ["vector", "domain", "domain", "domain"]
    again = read_volume(path)
    np.testing.assert_array_equal(again.array, volume.array)
    np.testing.assert_array_equal(again.directions, volume.directions)
    with pytest.raises(DataError, match=r"a\.nrrd: a label must have one value a voxel, got 3"):
        read_volume(path, as_label=True)


def test_a_colour_picture_has_channels_and_a_list_of_slices_none(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    array = np.arange(24, dtype=np.uint8).reshape(3, 4, 2)
    for first, kind, place in (
        ("RGB-color", "vector", 0),
        ("list", "list", 0),
        ("list", "list", 2),
    ):
        kinds = ["domain", "domain"]
        kinds.insert(place, first)
        spacings = np.insert([1.0, 2.0], place, np.nan)
        nrrd.write(str(path), np.moveaxis(array, 0, place), {"kinds": kinds, "spacings": spacings})
        volume = read_volume(path)
        assert volume.kinds == (kind, "domain", "domain")
        np.testing.assert_array_equal(volume.array, array.transpose(0, 2, 1))


@pytest.mark.parametrize(("unit", "mm"), [("mm", 1.0), ("m", 1000.0), ("um", 0.001), ("µm", 0.001)])
def test_units_become_mm(unit: str, mm: float, tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    geometry = "space directions: (2,0,0) (0,3,0) (0,0,4)\nspace origin: (5,6,7)\n"
    units = f'space: left-posterior-superior\nspace units: "{unit}" "{unit}" "{unit}"\n'
    head = HEAD.replace(b"spacings: 1 1 2\n", (geometry + units).encode())
    path.write_bytes(head + b"encoding: raw\n\n" + BYTES)
    volume = read_volume(path)
    np.testing.assert_allclose(volume.spacing, np.array([4, 3, 2]) * mm)
    np.testing.assert_allclose(volume.origin, np.array([5, 6, 7]) * mm)


def test_a_space_of_two_axes_lies_in_a_plane(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    header = {"space dimension": 2, "space directions": [[0.5, 0], [0, 2]], "space origin": [3, 4]}
    nrrd.write(str(path), np.zeros((4, 3), np.uint8), header)
    volume = read_volume(path)
    assert volume.spacing == (2, 0.5)
    assert volume.origin == (3, 4, 0)
    np.testing.assert_array_equal(volume.directions, [[0, 2, 0], [0.5, 0, 0]])
