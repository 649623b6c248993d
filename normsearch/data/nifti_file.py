"""NIfTI-1 and NIfTI-2 files: nibabel parses the header; this module reads the bytes, with limits.

NIfTI's array is (x, y, z, ...), x fastest, in RAS coordinates; a Volume is (z, y, x) in LPS. The
geometry is that of the sform, else of the qform, else only the spacing if it is above 0.
"""

from __future__ import annotations

import gzip
import logging
import math
import warnings
from pathlib import Path
from typing import IO, Any, BinaryIO

import nibabel
import numpy as np
import numpy.typing as npt
from nibabel.spatialimages import HeaderDataError
from nibabel.volumeutils import apply_read_scaling

from normsearch.data.geometry import RAS, SourceHeader, SpacingWarning, Volume
from normsearch.data.safe_read import opened, read_packed
from normsearch.errors import DataError, one_line
from normsearch.files import write_atomically

Array = npt.NDArray[Any]

_HEADERS = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}  # by their own first number
_MM = {1: 1000.0, 3: 0.001}  # codes of metre and micrometre; others count as mm
_FORM_CODES = range(6)
_FORMS = ("sform_code", "qform_code")
_EXTENSION_BYTES = 2**26  # the most bytes between the header and the voxels
_MAX_AXIS = 2**15 - 1
_SILENT = logging.Logger("silent", level=logging.CRITICAL)  # suppresses nibabel's messages
# The header's fields of the geometry.
_PLACES = (
    *("pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
)
_CURE = "export the image again, for example with nibabel or 3D Slicer"


def read(path: Path, *, root: Path, max_bytes: int, as_label: bool = False) -> Volume:
    """Read one .nii or .nii.gz file; see `normsearch.data.read_volume`."""
    packing = "gzip" if path.name.lower().endswith(".gz") else "raw"
    with opened(path) as file:
        header, source = _read_header(path, bytes(read_packed(path, file, packing, 540)))
        shape, dtype, offset = _declared(path, header, max_bytes)
        expected = offset + math.prod(shape) * dtype.itemsize
        payload = _payload(path, file, packing, expected)
    array = np.frombuffer(payload, dtype, offset=offset).reshape(shape[::-1])
    array = _scaled(path, header, _channels(array), as_label)
    try:
        volume = _with_geometry(header, array, source)
    except (DataError, HeaderDataError, ValueError) as error:
        raise DataError(
            f"{path}: the header's geometry must be that of voxels in space, got "
            f"'{one_line(error)}'; {_CURE}"
        ) from error
    if not volume.has_spacing:
        warnings.warn(f"{path}: gives no spacing", SpacingWarning, stacklevel=3)
    return volume


def write(path: Path, volume: Volume) -> None:
    """Write a NIfTI file atomically, with the geometry as sform and, without shear, as qform.

    A volume read from NIfTI is written in the same version, with the forms, units and spacings of
    its header. An unknown spacing is written as 0.

    Raises:
        DataError: NIfTI has no such type, or an axis is neither in space nor of channels.
    """
    image = _image_of(path, volume)

    def save(file: BinaryIO) -> None:
        if not path.name.lower().endswith(".gz"):
            image.to_stream(file)
            return
        with gzip.GzipFile("", "wb", 4, file, mtime=0) as packed:
            image.to_stream(packed)

    write_atomically(path, save)


def _read_header(path: Path, block: bytes) -> tuple[nibabel.Nifti1Header, SourceHeader]:
    """Return the header as corrected by nibabel, and its unchanged geometry fields."""
    for order in ("<", ">"):
        size = int(np.frombuffer(block[:4], f"{order}i4")[0]) if len(block) >= 348 else 0
        if size in _HEADERS and len(block) >= size:
            try:
                header = _HEADERS[size](block[:size], order, check=False)
                _check_header(header)
                fields = {name: header[name].copy() for name in _PLACES}
                header.check_fix(_SILENT, error_level=40)
                return header, SourceHeader("nifti", {"sizeof_hdr": size, **fields})
            except (HeaderDataError, ValueError) as error:
                raise DataError(
                    f"{path}: the NIfTI header must be valid, got '{one_line(error)}'; {_CURE}"
                ) from error
    raise DataError(
        f"{path}: must begin with a NIfTI header of 348 or 540 bytes, got {block[:4]!r}; the file "
        f"is of another format or damaged, so {_CURE}"
    )


def _check_header(header: nibabel.Nifti1Header) -> None:
    """Refuse headers that nibabel would correct by a guess."""
    if header["magic"].item() != header.single_magic:
        raise ValueError(f"magic {header['magic'].item()!r}, not {header.single_magic!r}")
    for name in _FORMS:
        if int(header[name]) not in _FORM_CODES:
            raise ValueError(f"{name} {int(header[name])}, not one from 0 to 5")
    steps = header["pixdim"][1 : 1 + min(3, max(int(header["dim"][0]), 0))]
    sform, qform = (int(header[name]) for name in _FORMS)
    if sform == 0 and not ((steps > 0) if qform else (steps >= 0)).all():
        raise ValueError(f"spacing {steps.tolist()}, not above 0")


def _declared(
    path: Path, header: nibabel.Nifti1Header, max_bytes: int
) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Return the shape (fastest axis first), the stored type and where the voxels begin."""
    dims = [int(n) for n in header["dim"]]
    shape = tuple(dims[1 : max(dims[0], 0) + 1])
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) == 5 and shape[3] == 1:  # a vector per voxel; the fourth axis is time
        shape = (*shape[:3], shape[4])
    if not 2 <= dims[0] <= 7 or not 2 <= len(shape) <= 4 or min(shape) < 1:
        raise DataError(
            f"{path}: a NIfTI image must have two or three axes in space and at most one of "
            f"channels, all of length 1 or more, got dim {dims}; {_CURE}"
        )
    dtype = header.get_data_dtype()
    plain = dtype.kind in "iu" or (dtype.kind == "f" and dtype.itemsize <= 8)
    if not plain and not (dtype.names and len(shape) < 4):
        raise DataError(
            f"{path}: the voxels must be integers, float32, float64 or colours, got {dtype}; "
            "convert the image, for example to float32"
        )
    offset = float(header["vox_offset"])
    if not (offset.is_integer() and header.single_vox_offset <= offset <= _EXTENSION_BYTES):
        raise DataError(
            f"{path}: the voxels must begin between byte {header.single_vox_offset} and "
            f"{_EXTENSION_BYTES}, got vox_offset {offset:g}; {_CURE}"
        )
    if math.prod(shape) * (8 if _is_scaled(header) else dtype.itemsize) > max_bytes:
        raise DataError(
            f"{path}: the voxels may take {max_bytes} bytes at most, but the header declares "
            f"{shape} of {dtype}; crop the image or correct its header"
        )
    return shape, dtype, int(offset)


def _payload(path: Path, file: IO[bytes], packing: str, expected: int) -> bytearray:
    file.seek(0)
    payload = read_packed(path, file, packing, expected)
    if len(payload) != expected:
        found = f"{len(payload)}" if len(payload) < expected else "more"
        raise DataError(
            f"{path}: the file must hold {expected} bytes, as its header says, got {found}; it is "
            "truncated, has trailing bytes or a wrong header, so copy or export it again"
        )
    return payload


def _channels(array: Array) -> Array:
    """Return colours as a leading axis of channels, in native byte order."""
    if array.dtype.names:
        parts = [array[name] for name in array.dtype.names]
        return np.ascontiguousarray(np.stack(parts))
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return np.require(native, requirements="A")  # the voxels may begin at an odd byte


def _is_scaled(header: nibabel.Nifti1Header) -> bool:
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    return slope != 0 and math.isfinite(slope) and (slope, inter) != (1, 0)


def _scaled(path: Path, header: nibabel.Nifti1Header, array: Array, as_label: bool) -> Array:
    if not _is_scaled(header):
        return array
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if not math.isfinite(inter):
        raise DataError(f"{path}: the scale's intercept must be finite, got {inter}; {_CURE}")
    if as_label and not (slope.is_integer() and inter.is_integer()):
        raise DataError(
            f"{path}: a label must hold whole numbers, got the scale factors {slope!r} "
            f"and {inter!r}; save the label again as uint8, without scale factors"
        )
    return np.asarray(apply_read_scaling(array, slope, inter))


def forms_unlike(source: SourceHeader | None) -> tuple[str, str] | None:
    """Return the orientations of sform and qform, such as "LPS", or None if they agree."""
    if source is None or source.format != "nifti":
        return None
    if not all(int(source.fields[name]) for name in _FORMS):
        return None
    header = nibabel.Nifti1Header()
    for name, value in source.fields.items():
        header[name] = value
    pointing = [
        "".join(str(code) for code in nibabel.aff2axcodes(form))
        for form in (header.get_sform(), header.get_qform())
    ]
    return None if pointing[0] == pointing[1] else (pointing[0], pointing[1])


def _with_geometry(header: nibabel.Nifti1Header, array: Array, source: SourceHeader) -> Volume:
    leading = array.ndim == 4 or bool(header.get_data_dtype().names)
    spacing, origin, directions = _geometry(header, source, array.ndim - leading)
    kinds: tuple[str, ...] = ()
    if leading:
        kinds, spacing = ("vector", *("domain",) * len(spacing)), (math.nan, *spacing)
        if directions is not None:
            directions = np.vstack([np.full(3, np.nan), directions])
    return Volume(array, spacing, origin, directions, kinds, source)


def _geometry(
    header: nibabel.Nifti1Header, source: SourceHeader, axes: int
) -> tuple[tuple[float, ...], tuple[float, ...] | None, Array | None]:
    """Return spacing, origin and directions; without a form only spacings above 0."""
    mm = _MM.get(int(header["xyzt_units"]) & 7, 1.0)
    if not any(int(header[name]) for name in _FORMS):
        steps = (float(step) * mm for step in source.fields["pixdim"][axes:0:-1])
        return tuple(step if step > 0 else math.nan for step in steps), None, None
    affine = np.asarray(header.get_best_affine(), np.float64)
    directions = (affine[:3, :axes] * mm).T[::-1] * RAS
    origin = tuple(float(place) for place in affine[:3, 3] * mm * RAS)
    return tuple(float(step) for step in np.linalg.norm(directions, axis=1)), origin, directions


def _image_of(path: Path, volume: Volume) -> nibabel.Nifti1Image:
    array = volume.array
    if array.dtype.kind not in "iuf" or array.dtype.itemsize > 8 or array.dtype == np.float16:
        raise DataError(
            f"{path}: NIfTI holds integers, float32 and float64, got {array.dtype}; "
            "convert the array, for example with .astype(np.float32)"
        )
    leading = int(volume.kinds[:1] == ("vector",))
    spacing = np.asarray(volume.spacing[leading:])
    axes = len(spacing)
    if not (axes == 3 or (axes == 2 and not leading)) or not all(volume.in_space[leading:]):
        raise DataError(
            f"{path}: NIfTI holds two or three axes in space, or channels and three, got shape "
            f"{array.shape}, spacing {volume.spacing} and kinds {volume.kinds}; write it as .nrrd"
        )
    source = _agreeing(volume, leading)
    second = source is not None and source.fields["sizeof_hdr"] == 540
    if max(array.shape) > _MAX_AXIS and not second:
        raise DataError(
            f"{path}: NIfTI holds up to {_MAX_AXIS} voxels an axis, got {array.shape}; "
            "write it as .nrrd"
        )
    order = (*range(array.ndim - 1, leading - 1, -1), *range(leading))
    kind = nibabel.Nifti2Image if second else nibabel.Nifti1Image
    image = kind(array.transpose(order), None, dtype=array.dtype)
    if source is not None:
        _set_fields(image.header, source)
        return image
    image.header["pixdim"][1 : axes + 1] = np.nan_to_num(spacing[::-1])  # 0 if unknown
    if np.isfinite(spacing).any():
        image.header.set_xyzt_units("mm")
    if volume.directions is not None:
        _set_forms(image, volume.directions[leading:], volume.origin or (0.0, 0.0, 0.0))
    return image


def _agreeing(volume: Volume, leading: int) -> SourceHeader | None:
    """Return the header that a volume was read with if it still fits its geometry."""
    source = volume.header
    if source is None or source.format != "nifti":
        return None
    header = _HEADERS[source.fields["sizeof_hdr"]]()
    _set_fields(header, source)
    header.check_fix(_SILENT, error_level=40)
    read = _geometry(header, source, volume.array.ndim - leading)
    rows = None if volume.directions is None else volume.directions[leading:]
    for mine, theirs in zip((volume.spacing[leading:], volume.origin, rows), read, strict=True):
        if (mine is None) != (theirs is None):
            return None
        if mine is not None and not np.allclose(
            mine, np.asarray(theirs), rtol=1e-6, equal_nan=True
        ):
            return None
    return source


def _set_fields(header: nibabel.Nifti1Header, source: SourceHeader) -> None:
    for name in _PLACES:
        if name == "pixdim":
            header[name][:4] = source.fields[name][:4]
        else:
            header[name] = source.fields[name]


def _set_forms(image: nibabel.Nifti1Image, directions: Array, origin: tuple[float, ...]) -> None:
    columns = list((directions * RAS)[::-1])
    if len(columns) == 2:
        third = np.cross(*columns)
        columns.append(third / np.linalg.norm(third))
    affine = np.eye(4)
    affine[:3, :3] = np.stack(columns, axis=1)
    affine[:3, 3] = np.asarray(origin) * RAS
    units = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if np.allclose(units.T @ units, np.eye(3), atol=1e-4):
        image.set_qform(affine, 1)
    image.set_sform(affine, 1)
