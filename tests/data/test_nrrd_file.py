import gzip
import math
import zlib
from collections.abc import Callable
from pathlib import Path

import nrrd
import numpy as np
import pytest

from normsearch.data import (
    SpacingWarning,
    Volume,
    find_cases,
    load_cases,
    prepare_case,
    read_volume,
    write_volume,
)
from normsearch.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore:.*utcnow:DeprecationWarning")

BYTES = bytes(range(24))
HEAD = b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 4 3 2\nspacings: 1 1 2\n"
RAW = HEAD + b"encoding: raw\n\n"
PACKED = HEAD + b"encoding: gzip\n\n"


def detached(name: str) -> bytes:
    return HEAD + f"encoding: raw\ndata file: {name}\n".encode()


def flipped(packed: bytes) -> bytes:
    """Break the deflate stream itself, behind gzip's ten bytes of header."""
    return packed[:10] + bytes([packed[10] ^ 0xFF]) + packed[11:]


FAULTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "must be an NRRD file, but it is empty"),
    "magic": (b"hello\n\n", "Invalid NRRD magic line"),
    "version": (RAW.replace(b"0004", b"0006"), "Unsupported NRRD file version"),
    "duplicate": (HEAD + b"type: uint8\nencoding: raw\n\n" + BYTES, "Duplicate header field"),
    "no colon": (HEAD + b"encoding raw\n\n" + BYTES, "valid NRRD header"),
    "list": (HEAD + b"encoding: raw\ndata file: LIST\na.raw\nb.raw\n", "must name one data file"),
    "no encoding": (HEAD + b"\n" + BYTES, "encoding must be raw, ascii, gzip or bzip2, got ''"),
    "encoding": (HEAD + b"encoding: hex\n\n", "bzip2, got 'hex'"),
    "no type": (RAW.replace(b"type: uint8\n", b""), "got type 'None'"),
    "type": (RAW.replace(b"uint8", b"quaternion"), "got type 'quaternion'"),
    "block": (RAW.replace(b"uint8", b"block"), "got type 'block'"),
    "endian": (RAW.replace(b"uint8", b"short") + BYTES * 2, "and endian 'None'"),
    "negative": (RAW.replace(b"4 3 2", b"4 -3 2") + BYTES, "one positive number per dimension"),
    "dimension": (RAW.replace(b"4 3 2", b"4 6") + BYTES, "got dimension 3 and sizes (4, 6)"),
    "short": (RAW + BYTES[:-1], "24 values of uint8, as the sizes (4, 3, 2) say, got 23"),
    "trailing": (RAW + BYTES + b"x", "as the sizes (4, 3, 2) say, got more"),
    "partial": (
        RAW.replace(b"uint8", b"short\nendian: little") + BYTES * 2 + b"x",
        "24 values of int16, as the sizes (4, 3, 2) say, got more",
    ),
    "text": (HEAD + b"encoding: ascii\n\n" + b"1 two " * 12, "must hold numbers of uint8"),
    "gzip truncated": (PACKED + gzip.compress(BYTES)[:-12], "gzip data must be whole"),
    "gzip trailer": (PACKED + gzip.compress(BYTES)[:-8], "gzip data must be whole"),
    "gzip flip": (PACKED + flipped(gzip.compress(BYTES)), "gzip data must be whole"),
    "gzip checksum": (PACKED + gzip.compress(BYTES)[:-8] + bytes(8), "gzip data must be whole"),
    "gzip magic": (PACKED + zlib.compress(BYTES), "gzip data must be whole"),
    "gzip bomb": (PACKED + gzip.compress(bytes(10**7)), "as the sizes (4, 3, 2) say, got more"),
    "gzip members": (PACKED + gzip.compress(BYTES) * 2, "got more"),
    "bzip2": (HEAD + b"encoding: bzip2\n\n" + BYTES, "bzip2 data must be whole"),
    "skip": (HEAD + b"byte skip: 3\nencoding: gzip\n\n", "line skip and byte skip must be 0"),
    "missing data": (detached("other.raw"), "other.raw must exist"),
    "parent": (detached("../secret"), "must lie under"),
    "absolute": (detached("/etc/passwd"), "must lie under"),
    "spacing": (RAW.replace(b"1 1 2", b"1 0 2") + BYTES, "spacing must be above 0 mm"),
    "spacings": (RAW.replace(b"1 1 2", b"1 2") + BYTES, "must fit its 3 axes"),
    "directions": (
        HEAD + b"space directions: (1,0) (0,1) (1,1)\nencoding: raw\n\n" + BYTES,
        "must fit its 3 axes in a space of three",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_read_volume_names_the_file_and_the_fault(name: str, tmp_path: Path) -> None:
    content, message = FAULTS[name]
    path = tmp_path / "set" / "case 7.nrrd"
    path.parent.mkdir()
    path.write_bytes(content)
    (tmp_path / "secret").write_bytes(BYTES)
    with pytest.raises(DataError) as caught:
        read_volume(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert message in text
    assert "\n" not in text
    assert ";" in text or "it is empty" in text  # the cure


def test_read_volume_of_no_file_and_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.nrrd must exist, but there is none; check"):
        read_volume(tmp_path / "none.nrrd")
    (tmp_path / "a.nrrd").mkdir()
    with pytest.raises(DataError, match="must be a readable file"):
        read_volume(tmp_path / "a.nrrd")


def test_read_volume_refuses_by_the_header_what_would_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "large.nrrd"
    path.write_bytes(PACKED.replace(b"4 3 2", b"1000000 1000000 1000000"))
    with pytest.raises(DataError, match=r"may take 4294967296 bytes at most.* \(1000000, 1000000"):
        read_volume(path)
    path.write_bytes(RAW + BYTES)
    assert read_volume(path, max_bytes=24).array.size == 24
    with pytest.raises(DataError, match="may take 23 bytes at most"):
        read_volume(path, max_bytes=23)


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


def test_a_stack_without_spacing_is_taken_as_1_mm_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    header = {"kinds": ["domain", "domain", "list"]}
    nrrd.write(str(path), np.zeros((4, 3, 2), np.uint8), header)
    with pytest.warns(SpacingWarning, match=r"a\.nrrd: gives no spacing; 1 mm is assumed"):
        found = read_volume(path)
    np.testing.assert_array_equal(found.spacing, (math.nan, 1, 1))


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


def test_write_volume_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.nrrd"
    write_volume(path, Volume(np.ones((2, 2)), (1.0, 1.0)))

    def full(*args: object, **kwargs: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(nrrd, "write", full)
    with pytest.raises(OSError, match="no space left"):
        write_volume(path, Volume(np.zeros((2, 2)), (1.0, 1.0)))
    assert read_volume(path).array.all()
    assert [file.name for file in tmp_path.iterdir()] == ["a.nrrd"]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda a: Volume(a, (1.0,)), "one spacing, direction and kind per axis"),
        (lambda a: Volume(a, (1.0, -1.0)), "must be above 0 mm"),
        (lambda a: Volume(a, (1.0, 1.0), kinds=("list",)), "kinds"),
        (lambda a: Volume(a, (1.0, 1.0), None, np.eye(3)), r"directions of shape \(3, 3\)"),
    ],
)
def test_volume_checks_its_fields(build: Callable[[np.ndarray], Volume], message: str) -> None:
    with pytest.raises(DataError, match=message):
        build(np.zeros((2, 2)))


@pytest.mark.data
@pytest.mark.filterwarnings("ignore::normsearch.data.SpacingWarning")
def test_sunnybrook(data_root: Path) -> None:
    found = find_cases(data_root / "sunnybrook")
    assert len(found) == 45
    assert {files.fold for files in found} == {"1", "2", "3"}
    label = read_volume(found[0].label)
    assert label.kinds == ("list", "domain", "domain")
    assert int(label.array.sum()) == 18884  # as its folds.csv says
    case = prepare_case(found[0], size=(64, 64), intensity="minmax", foreground=None)
    assert (case.id, case.subject, case.fold) == ("SC-HF-I-01", "SC-HF-I-01", "1")
    assert case.image.shape == (18, 1, 64, 64)
    assert int(case.label.sum()) * 16 == pytest.approx(18884, rel=0.02)
    np.testing.assert_array_equal(case.spacing, (math.nan, 4, 4))


@pytest.mark.data
def test_spine_ct(data_root: Path) -> None:
    window = (-200.0, 600.0)
    (case,) = load_cases(data_root / "spine_ct", size=None, intensity=window, foreground=(1,))
    assert case.image.shape == (30, 1, 101, 122)
    assert case.spacing == (3, 3, 3)
