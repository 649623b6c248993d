"""Every fault of a file becomes one DataError that names the file, in one line, with its cure."""

import gzip
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from normsearch.data import read_idx, read_segments, read_volume
from normsearch.errors import DataError

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*utcnow:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Corrupt EXIF:UserWarning"),
]

BYTES = bytes(range(24))
HEAD = b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 4 3 2\nspacings: 1 1 2\n"
RAW = HEAD + b"encoding: raw\n\n"
PACKED = HEAD + b"encoding: gzip\n\n"


def detached(name: str) -> bytes:
    return HEAD + f"encoding: raw\ndata file: {name}\n".encode()


def flipped(packed: bytes) -> bytes:
    """Break the deflate stream itself, behind gzip's ten bytes of header."""
    return packed[:10] + bytes([packed[10] ^ 0xFF]) + packed[11:]


NRRD: dict[str, tuple[bytes, str]] = {
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
    "no sizes": (RAW.replace(b"sizes: 4 3 2\n", b""), "one positive number per dimension"),
    "many sizes": (RAW.replace(b"4 3 2", b"1 " * 70).replace(b": 3", b": 70"), "one positive"),
    "pattern": (detached("a%02d.raw 1 3 1"), "must name one data file, got 'data file: a%02d.raw"),
    "no number": (RAW.replace(b"4 3 2", b"4 3\xc2\xb2 2"), "must begin with a valid NRRD header"),
    "not UTF-8": (RAW.replace(b"4 3 2", b"4 3\xb3 2"), "must begin with a valid NRRD header"),
    "NUL": (detached("a\0.raw"), "must be a file's name"),
    "link": (detached("link.raw"), "must lie under"),
    "itself": (detached("."), "must be a readable file"),
    "skip back": (RAW.replace(b"encoding", b"byte skip: -9\nencoding"), "line skip and byte skip"),
    "skip far": (RAW.replace(b"encoding", b"byte skip: %d\nencoding" % 10**30), "got 0"),
    "row in part": (
        RAW.replace(b"spacings: 1 1 2", b"space directions: (1,0,0) (0,nan,1) (0,0,1)") + BYTES,
        "must point in finite directions",
    ),
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


NUMBERS = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


def nifti(header: type[nibabel.Nifti1Header] = nibabel.Nifti1Header, **fields: Any) -> bytes:
    """A sound file of int16 but for the header's fields that are given."""
    image = {nibabel.Nifti1Header: nibabel.Nifti1Image}.get(header, nibabel.Nifti2Image)
    content = image(NUMBERS.T, np.eye(4)).to_bytes()
    size = header.template_dtype.itemsize
    block = header(content[:size], check=False)
    for name, value in fields.items():
        block[name] = value
    return bytes(block.binaryblock) + content[size:]


SOUND = nifti()
NIFTI_GZ = gzip.compress(SOUND)
NIFTI: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "must begin with a NIfTI header of 348 or 540 bytes, got b''"),
    "junk": (bytes(range(256)) * 3, "must begin with a NIfTI header"),
    "header cut": (SOUND[:200], "must begin with a NIfTI header"),
    "header cut, NIfTI-2": (nifti(nibabel.Nifti2Header)[:500], "must begin with a NIfTI header"),
    "NIfTI-2 magic": (nifti(nibabel.Nifti2Header, magic=b"n+1"), "magic b'n+1'"),
    "magic": (nifti(magic=b"abc"), "magic b'abc', not b'n+1'"),
    "pair": (nifti(magic=b"ni1"), "magic b'ni1', not b'n+1'"),
    "type": (nifti(datatype=77), "data code 77 not recognized"),
    "binary": (nifti(datatype=1), "data code 1 not supported"),
    "complex": (nifti(datatype=32), "must be integers, float32, float64 or colours, got complex64"),
    "no dimension": (nifti(dim=[0, 4, 3, 2, 1, 1, 1, 1]), "two or three axes in space"),
    "one dimension": (nifti(dim=[1, 24, 1, 1, 1, 1, 1, 1]), "two or three axes in space"),
    "many dimensions": (nifti(dim=[5, 4, 3, 1, 2, 2, 1, 1]), "at most one of channels"),
    "negative size": (nifti(dim=[3, 4, -3, 2, 1, 1, 1, 1]), "all of length 1 or more"),
    "offset low": (nifti(vox_offset=100), "too low"),
    "offset none": (nifti(vox_offset=0), "must begin between byte 352"),
    "offset part": (nifti(vox_offset=352.5), "got vox_offset 352.5"),
    "offset nan": (nifti(vox_offset=np.nan), "vox_offset"),
    "offset far": (nifti(vox_offset=1e12), "got vox_offset 1e+12"),
    "short": (SOUND[:-1], "must hold 400 bytes, as its header says, got 399"),
    "trailing": (SOUND + b"x", "must hold 400 bytes, as its header says, got more"),
    "large": (nifti(dim=[3, 32767, 32767, 32767, 1, 1, 1, 1]), "may take 4294967296 bytes at most"),
    "large, scaled": (
        nifti(dim=[3, 32767, 16384, 2, 1, 1, 1, 1], scl_slope=0.5),
        "may take 4294967296 bytes at most",
    ),
    "spacing": (nifti(sform_code=0, qform_code=1, pixdim=[1, 1, 0, 1, 1, 1, 1, 1]), "spacing"),
    "spacing, no form": (nifti(sform_code=0, pixdim=[1, 1, -2, 1, 1, 1, 1, 1]), "spacing"),
    "sform code": (nifti(sform_code=99), "sform_code 99, not one from 0 to 5"),
    "sform nan": (nifti(srow_x=[np.nan, 0, 0, 0]), "geometry must be that of voxels in space"),
    "sform flat": (
        nifti(srow_x=[1, 1, 0, 0], srow_y=[1, 1, 0, 0]),
        "axes must point in finite directions that differ",
    ),
    "origin": (nifti(srow_x=[1, 0, 0, np.inf]), "origin must be three finite numbers"),
    "qform": (nifti(sform_code=0, qform_code=1, quatern_b=5), "geometry must be that of voxels"),
    "intercept": (nifti(scl_slope=2, scl_inter=np.nan), "intercept must be finite, got nan"),
}
NIFTI_PACKED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "must begin with a NIfTI header"),
    "not gzip": (SOUND, "gzip data must be whole"),
    "truncated": (NIFTI_GZ[:-12], "gzip data must be whole"),
    "no trailer": (NIFTI_GZ[:-8], "gzip data must be whole"),
    "checksum": (NIFTI_GZ[:-8] + bytes(4) + NIFTI_GZ[-4:], "gzip data must be whole"),
    "length": (NIFTI_GZ[:-4] + bytes(4), "gzip data must be whole"),
    "flip": (flipped(NIFTI_GZ), "gzip data must be whole"),
    "bomb": (gzip.compress(SOUND + bytes(10**8)), "must hold 400 bytes, as its header says, got"),
    "header": (gzip.compress(nifti(magic=b"abc")), "magic b'abc', not b'n+1'"),
    "large": (gzip.compress(nifti(dim=[3, 32767, 32767, 9, 1, 1, 1, 1])), "bytes at most"),
}


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, bits: int, colour: int, packed: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", packed), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def picture(name: str, *pages: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    more = {"save_all": True, "append_images": pages[1:]} if len(pages) > 1 else {}
    pages[0].save(file, name, **more, **options)
    return file.getvalue()


GREY = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8))
ROWS = zlib.compress((b"\0" + bytes(8)) * 6)
PNG_SOUND = picture("PNG", GREY)
PNG: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "must be a PNG picture of a known kind"),
    "junk": (b"hello" * 20, "must be a PNG picture of a known kind"),
    "another format": (picture("JPEG", GREY), "must be a PNG picture of a known kind"),
    "truncated": (PNG_SOUND[:-30], "must be a whole PNG picture"),
    "end missing": (PNG_SOUND[:-12], "must be a whole PNG picture"),
    "checksum": (PNG_SOUND[:-16] + bytes(4) + PNG_SOUND[-12:], "must be a whole PNG picture"),
    "stream": (png(8, 6, 8, 0, flipped(ROWS)), "must be a whole PNG picture"),
    "colours of 16 bits": (png(8, 6, 16, 2, ROWS), "colours of 16 bits, which would be cut to 8"),
    "animation": (picture("PNG", GREY, GREY.point(lambda x: x + 1)), "got an animation"),
    "bomb": (png(20000, 20000, 8, 0, ROWS), "exceeds limit of"),
    "large bomb": (png(2**30, 2**30, 8, 0, ROWS), "exceeds limit of"),
    "text bomb": (
        PNG_SOUND[:33] + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8))) + PNG_SOUND[33:],
        "must be a whole PNG picture",
    ),
}
TIFF_SOUND = picture("TIFF", GREY)
TIFF: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "must be a TIFF picture of a known kind"),
    "junk": (b"II*\0" + b"hello" * 9, "must be a"),
    "truncated": (picture("TIFF", GREY, compression="tiff_deflate")[:-40], "must be a"),
    "pages differ": (picture("TIFF", GREY, GREY.resize((4, 4))), "pages that differ"),
    "types differ": (picture("TIFF", GREY, GREY.convert("I")), "pages that differ"),
    "inks": (picture("TIFF", GREY.convert("CMYK")), "got Pillow's mode CMYK"),
}
IDX = b"\0\0\x08\x03" + struct.pack(">III", 2, 3, 4) + BYTES
IDX_FAULTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "must begin with two zeros, a type and a number of axes"),
    "magic": (b"x" + IDX[1:], "as IDX files do, got b'x"),
    "type": (IDX.replace(b"\x08", b"\x0a", 1), "must begin with two zeros"),
    "no axes": (IDX[:3] + b"\0", "must give 1 to 8 sizes"),
    "many axes": (IDX[:3] + b"\x09" + IDX[4:] + bytes(99), "got 9 axes"),
    "sizes cut": (IDX[:13], "got 3 axes of (2, 3)"),
    "size": (IDX[:7] + b"\0" + IDX[8:], "got 3 axes of (0, 3, 4)"),
    "short": (IDX[:-1], "must hold 40 bytes for (2, 3, 4) of uint8, got 39"),
    "trailing": (IDX + b"x", "of uint8, got more"),
    "large": (IDX[:4] + b"\xff" * 12 + BYTES, "may take 4294967296 bytes at most"),
}
SEGMENTED = HEAD.replace(b"1 1 2", b"1 1 2\n%s") + b"encoding: raw\n\n" + BYTES
SEGMENTS: dict[str, tuple[bytes, str]] = {
    "none": (RAW + BYTES, "must name its segments, got none"),
    "no name": (SEGMENTED % b"Segment0_LabelValue:=1", "must have a name, a layer below 1"),
    "layer": (SEGMENTED % b"Segment0_Name:=a\nSegment0_Layer:=3", "got 'a', '3' and '1'"),
    "value": (SEGMENTED % b"Segment0_Name:=a\nSegment0_LabelValue:=-1", "'0' and '-1'"),
    "long": (
        SEGMENTED % (b"Segment0_Name:=a\nSegment0_LabelValue:=" + b"9" * 5000),
        "'0' and '999",
    ),
    "long key": (SEGMENTED % (b"Segment" + b"9" * 5000 + b"_Name:=a"), "must name its segments"),
    "twice": (SEGMENTED % b"Segment0_Name:=a\nSegment1_Name:=a", "got 'a' twice"),
    "flat": (
        b"NRRD0004\ntype: uint8\ndimension: 2\nsizes: 6 4\nspacings: 1 1\nencoding: raw\n\n"
        + BYTES,
        "must have three axes in space and at most one of layers, got shape (4, 6)",
    ),
}
FAULTS = {
    f"{title}{suffix}": (suffix, *row)
    for suffix, table in {
        " 7.nrrd": NRRD,
        " 7.nii": NIFTI,
        " 7.nii.gz": NIFTI_PACKED,
        " 7.png": PNG,
        " 7.tif": TIFF,
        "-idx3-ubyte": IDX_FAULTS,
        " 7.seg.nrrd": SEGMENTS,
    }.items()
    for title, row in table.items()
}


def read(path: Path) -> object:
    """Read by whatever reads such a file."""
    if path.name.endswith(("ubyte", "ubyte.gz")):
        return read_idx(path)
    return read_segments(path) if path.name.endswith(".seg.nrrd") else read_volume(path)


@pytest.mark.filterwarnings("ignore::normsearch.data.SpacingWarning")
@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_is_told_with_the_file_and_the_cure(name: str, tmp_path: Path) -> None:
    suffix, content, message = FAULTS[name]
    path = tmp_path / "set" / f"case{suffix}"
    path.parent.mkdir()
    path.write_bytes(content)
    (tmp_path / "secret").write_bytes(BYTES)
    (path.parent / "link.raw").symlink_to(tmp_path / "secret")
    with pytest.raises(DataError) as caught:
        read(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert message in text
    assert "\n" not in text
    assert ";" in text or "it is empty" in text  # the cure


@pytest.mark.filterwarnings("ignore::normsearch.data.SpacingWarning")
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".png", ".tif", ".nrrd", "-ubyte"])
def test_without_a_fault_the_same_bytes_are_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"case{suffix}"
    sound = {".nii": SOUND, ".nii.gz": NIFTI_GZ, ".png": PNG_SOUND, ".tif": TIFF_SOUND}
    path.write_bytes({**sound, ".nrrd": RAW + BYTES, "-ubyte": IDX}[suffix])
    read(path)


@pytest.mark.parametrize("suffix", [".nrrd", ".nii", ".nii.gz", ".png", ".tif"])
def test_no_file_and_a_folder(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"none\{suffix} must exist, but there is none; check"):
        read_volume(tmp_path / f"none{suffix}")
    (tmp_path / f"a{suffix}").mkdir()
    with pytest.raises(DataError, match="must be a readable file"):
        read_volume(tmp_path / f"a{suffix}")
