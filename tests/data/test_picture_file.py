import math
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from normsearch.data import SpacingWarning, Volume, read_volume, write_volume
from normsearch.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore::normsearch.data.SpacingWarning")

VALUES = np.array([[0, 1, 2, 3], [3, 2, 1, 0], [1, 1, 2, 2]], np.uint8)


def flat(array: np.ndarray, channels: bool = False) -> Volume:
    beside = array.ndim - 2
    kinds = ("vector",) * channels + ("list",) * (beside - channels) + ("domain",) * 2
    return Volume(array, (math.nan,) * beside + (1.0, 1.0), kinds=kinds if beside else ())


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("colours", [[7, 200, 9] * 256, [255, 0, 0, 0, 255, 0, 0, 0, 255, 1, 1, 1]])
def test_a_palette_gives_its_indices(suffix: str, colours: list[int], tmp_path: Path) -> None:
    """convert('L') would give the brightness of each colour."""
    picture = Image.fromarray(VALUES).convert("P")
    picture.putdata(VALUES.ravel().tolist())
    picture.putpalette(colours)
    picture.save(tmp_path / f"a{suffix}")
    found = read_volume(tmp_path / f"a{suffix}", as_label=True)
    np.testing.assert_array_equal(found.array, VALUES)
    assert found.array.dtype == np.uint8


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_an_image_with_a_palette_is_what_it_shows(suffix: str, tmp_path: Path) -> None:
    shades, colours = [200, 100, 50, 0], [(9, 8, 7), (6, 5, 4), (3, 2, 1), (0, 255, 0)]
    picture = Image.fromarray(VALUES % 4)
    picture.putpalette([shade for shade in shades for _ in range(3)])
    picture.save(tmp_path / f"grey{suffix}")
    grey = read_volume(tmp_path / f"grey{suffix}")
    np.testing.assert_array_equal(grey.array, np.array(shades, np.uint8)[VALUES % 4])
    picture.putpalette(np.ravel(colours).tolist())
    picture.save(tmp_path / f"colours{suffix}")
    found = read_volume(tmp_path / f"colours{suffix}")
    expected = np.moveaxis(np.array(colours, np.uint8)[VALUES % 4], -1, 0)
    np.testing.assert_array_equal(found.array, expected)
    assert found.kinds[0] == "vector"


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("colour", [0, 3])
def test_fewer_than_8_bits_are_not_stretched(bits: int, colour: int, tmp_path: Path) -> None:
    """A PNG written by hand, of grey values or with a palette."""
    values = VALUES % 2**bits
    digits = np.unpackbits(values[..., None], axis=-1)[..., -bits:].reshape(len(values), -1)
    rows = b"".join(b"\0" + row.tobytes() for row in np.packbits(digits, axis=1))
    head = struct.pack(">IIBBBBB", *values.shape[::-1], bits, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", head)] + [chunk(b"PLTE", bytes(range(90, 96)) * 8)] * (colour == 3)
    parts += [chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    found = read_volume(tmp_path / "a.png", as_label=True).array
    np.testing.assert_array_equal(found, values)
    assert found.dtype == np.uint8


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_are_kept(suffix: str, tmp_path: Path) -> None:
    values = np.array([[0, 255, 256], [1000, 65535, 40000]], np.uint16)
    Image.fromarray(values).save(tmp_path / f"a{suffix}")
    found = read_volume(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(found.array, values)
    assert found.array.dtype == np.uint16


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_colours_are_channels_and_no_label(suffix: str, mode: str, tmp_path: Path) -> None:
    channels = len(mode)
    values = np.random.default_rng(0).integers(0, 255, (5, 7, channels)).astype(np.uint8)
    path = tmp_path / f"a{suffix}"
    Image.fromarray(values, mode).save(path)
    found = read_volume(path)
    np.testing.assert_array_equal(found.array, np.moveaxis(values, -1, 0))
    assert found.kinds == ("vector", "domain", "domain")
    assert np.isnan(found.spacing).all()
    assert found.array.flags.c_contiguous
    with pytest.raises(DataError, match=rf"a\{suffix}: a label must have one value a pixel, got c"):
        read_volume(path, as_label=True)
    write_volume(path, found)
    np.testing.assert_array_equal(read_volume(path).array, found.array)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int32", "float32"])
@pytest.mark.parametrize("shape", [(5, 7), (3, 5, 7)])
def test_tiff_round_trip(kind: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(100, 30, shape).astype(kind)
    write_volume(tmp_path / "a.tiff", flat(array))
    found = read_volume(tmp_path / "a.tiff")
    np.testing.assert_array_equal(found.array, array)
    assert found.array.dtype == kind
    assert found.kinds == flat(array).kinds
    with Image.open(tmp_path / "a.tiff") as image:
        assert image.n_frames == (3 if len(shape) == 3 else 1)  # type: ignore[attr-defined]


def test_a_stack_of_colours(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 255, (3, 4, 5, 7)).astype(np.uint8)
    write_volume(tmp_path / "a.tif", flat(array, channels=True))
    found = read_volume(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.array, array)
    assert found.kinds == ("vector", "list", "domain", "domain")


@pytest.mark.parametrize(
    ("kind", "bits", "sample_format"),
    [("i1", 8, 2), ("i2", 16, 2), ("u4", 32, 1), ("i4", 32, 2), ("f4", 32, 3), ("u2", 16, 1)],
)
def test_the_types_of_other_programs(
    kind: str, bits: int, sample_format: int, tmp_path: Path
) -> None:
    """A TIFF written by hand: little-endian, one strip, not packed."""
    values = np.array([[0, 1, 2], [100, 120, 7]]).astype(f"<{kind}")
    if kind in ("i1", "i2", "i4"):
        values[0] *= -1
    if kind == "u4":
        values[1, 1] = 2**32 - 5
    tags = {256: 3, 257: 2, 258: bits, 259: 1, 262: 1, 273: 200, 277: 1, 278: 2}
    tags |= {279: values.nbytes, 339: sample_format}
    entries = [np.array([tag, 4, 1, 0, value, 0], "<u2") for tag, value in sorted(tags.items())]
    head = b"II*\0" + np.array([8], "<u4").tobytes() + np.array([len(tags)], "<u2").tobytes()
    content = head + b"".join(entry.tobytes() for entry in entries) + bytes(4)
    (tmp_path / "a.tif").write_bytes(content.ljust(200, b"\0") + values.tobytes())
    found = read_volume(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.array, values)
    assert found.array.dtype == np.dtype(kind)


def test_strips_that_are_missing_are_no_black_rows(tmp_path: Path) -> None:
    """Pillow leaves what no strip covers at 0."""
    path = tmp_path / "a.tif"
    Image.fromarray(np.full((4, 8), 9, np.uint8)).save(path)
    content = bytearray(path.read_bytes())
    place = content.index(np.array([257], "<u2").tobytes(), 8)
    content[place + 8 : place + 10] = np.array([40], "<u2").tobytes()  # ImageLength
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.tif: must be a whole TIFF picture, got 'strips or"):
        read_volume(path)


def test_no_spacing_is_unknown_with_a_warning(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.png", Volume(VALUES, (0.7, 0.7)))
    with pytest.warns(SpacingWarning, match=r"a\.png: gives no spacing"):
        found = read_volume(tmp_path / "a.png")
    assert np.isnan(found.spacing).all()
    assert found.kinds == ()


@pytest.mark.parametrize(
    ("suffix", "volume", "message"),
    [
        (".png", flat(np.zeros((3, 4, 5), np.uint8)), r"PNG holds \(y, x\) or 2 to 4 channels"),
        (".png", flat(np.zeros((3, 4, 5), np.uint16), channels=True), ".* got shape .* of uint16"),
        (".png", flat(np.zeros((5, 4, 5), np.uint8), channels=True), ".* or 2 to 4 channels"),
        (".tif", flat(np.zeros((2, 3, 4, 5), np.uint8)), r"TIFF holds \(y, x\), \(slice, y, x\)"),
        (".png", flat(np.zeros((4, 5), np.float32)), "PNG holds uint8, uint16, got float32"),
        (".tif", flat(np.zeros((4, 5), np.int16)), "TIFF holds .*, got int16; convert"),
    ],
)
def test_what_a_picture_cannot_hold_is_refused(
    suffix: str, volume: Volume, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=rf"a\{suffix}: {message}"):
        write_volume(tmp_path / f"a{suffix}", volume)
    assert not (tmp_path / f"a{suffix}").exists()
