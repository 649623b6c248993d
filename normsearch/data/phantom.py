"""A synthetic thoracic spine CT data set that needs no download.

Every organ is a closed form of signed distances in mm (inside negative); organs are painted in
turn. The field of view is 192 × 192 mm in plane and 160 mm along the body, as in a spine
reconstruction: about six thoracic vertebrae, the sides of the chest cut off. Lengths are round
numbers near those of Panjabi et al., Thoracic human vertebrae, Spine 16 (1991), 888-901.
"""

from __future__ import annotations

import functools
import json
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import Generator, default_rng

from normsearch.data.volume import Volume, write_volume
from normsearch.errors import DataError
from normsearch.files import is_there
from normsearch.files.json_file import read_json
from normsearch.limits import check_seed

Field = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.uint8]
Anatomy = dict[str, float]

_VERSION, _FOLDS = 1, 5  # the version increases whenever the same settings give other voxels
_DEPTH_MM, _WIDTH_MM = 160.0, 192.0  # of the field of view
_ANTERIOR_MM = 108.0  # from the field's front edge to the centre of the vertebral bodies
_SHELL_MM = 1.8  # of cortical bone around the cancellous
# Ranges of the subjects' parameters, drawn uniformly; in mm unless noted.
_ANATOMY = {
    "scale": (0.94, 1.06),  # of all lengths
    "shift_z": (-20, 20),
    "shift_y": (-4, 4),
    "shift_x": (-8, 8),
    "pitch": (25, 28),  # from one vertebra to the next
    "phase": (0, 28),  # where the field of view cuts the first vertebra
    "kyphosis": (4, 14),
    "scoliosis": (-5, 5),
    "scoliosis_phase": (0, 6.28),  # radians
    "body_width": (15.5, 18),  # half
    "body_depth": (13, 15),  # half
    "disc": (4.5, 6.5),
    "rib_drop": (50, 90),  # from back to front
    "spinous_slope": (0.45, 0.85),  # mm down per mm back
    "chest_width": (118, 136),  # half, of the cavity
    "chest_depth": (56, 61),  # half
    "fat": (7, 13),  # under the skin
    "heart_left": (8, 22),
    "heart_radius": (40, 50),
    "cancellous": (100, 230),  # HU
    "cortical": (340, 560),  # HU
    "blood": (130, 380),  # HU, with contrast agent
    "noise": (18, 36),  # HU, standard deviation
}


def generate_phantom(folder: Path, *, size: int = 64, subjects: int = 10, seed: int = 0) -> Path:
    """Write the phantom data set and return its folder; an existing complete one is reused.

    Each subject is one CT of size × size × size voxels, int16 in HU, spacing (160/size, 192/size,
    192/size) mm, with label 1 = vertebrae (body and arch; no ribs, no discs). The folder is
    `folder`/phantom-SIZE-SUBJECTS-SEED with images/, labels/ and folds.csv (folds 1 to 5 in turn).
    Safe for several processes at once. `size` is 16 to 512, `subjects` 1 to 10000.

    Raises:
        ConfigError: the seed is out of range.
        DataError: another setting is out of range, or the folder is not a complete phantom.
    """
    check_seed(seed)
    settings = {"version": _VERSION, "size": size, "subjects": subjects, "seed": seed}
    if not (16 <= size <= 512 and 1 <= subjects <= 10_000):
        raise DataError(f"a phantom needs size 16 to 512 and subjects 1 to 10000, got {settings}")
    target = Path(folder) / f"phantom-{size}-{subjects}-{seed}"
    if is_there(target):
        return _reused(target, settings)
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        _write_data_set(draft, settings)
        draft.rename(target)
    except OSError as error:
        # Another process may have finished first; then its complete folder is used.
        if not is_there(target):
            raise DataError(f"{folder}: must be a folder to write in, got '{error}'") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return _reused(target, settings)


def _render_subject(size: int, seed: tuple[int, int]) -> tuple[npt.NDArray[np.int16], Mask]:
    """Return one subject's CT in HU and its vertebra mask (0 or 1), both of shape (z, y, x).

    The axes run to the head, the back and the left. Under one NumPy a seed gives the same arrays.
    """
    rng = default_rng(seed)
    anatomy = {name: float(rng.uniform(*span)) for name, span in _ANATOMY.items()}
    hu: Field = np.full((size, size, size), -1000, np.float32)
    axes = _axes(size, anatomy)
    edge = 0.9 * _WIDTH_MM / size / anatomy["scale"]  # mm over which an edge fades: partial volume
    _paint_chest(hu, axes, anatomy, edge, rng)
    _paint_ribs(hu, axes, anatomy, edge)
    label = _paint_spine(hu, axes, anatomy, edge)
    hu = _smooth(hu, 0.4)
    hu += 0.03 * (hu + 1000) * _random_field(rng, hu.shape, size / 2.5)  # cupping, and such
    hu += 20 * _random_field(rng, hu.shape, size / 4)
    hu += anatomy["noise"] * _random_field(rng, hu.shape, 0.6)
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16), label


@dataclass(frozen=True)
class _Axes:
    """Coordinates in mm that broadcast to (z, y, x): of the patient and along the spine."""

    z: Field
    y: Field
    x: Field
    across: Field  # from the spine's midline to the left
    back: Field  # from the bodies' centre to the back
    along: Field  # along the spine, square to it


def _axes(size: int, anatomy: Anatomy) -> _Axes:
    steps = ((np.arange(size, dtype=np.float32) + 0.5) / size).reshape(-1, 1, 1)
    shift = [anatomy[f"shift_{axis}"] for axis in "zyx"]
    z = (steps * _DEPTH_MM - _DEPTH_MM / 2 - shift[0]) / anatomy["scale"]
    y = (steps.reshape(1, -1, 1) * _WIDTH_MM - _ANTERIOR_MM - shift[1]) / anatomy["scale"]
    x = (steps.reshape(1, 1, -1) * _WIDTH_MM - _WIDTH_MM / 2 - shift[2]) / anatomy["scale"]
    reach = 2 * steps - 1
    across = x - anatomy["scoliosis"] * np.sin(2.5 * reach + anatomy["scoliosis_phase"])
    back = y - anatomy["kyphosis"] * (0.4 - reach**2)
    along = z - 4 * anatomy["kyphosis"] * reach / _DEPTH_MM * back
    return _Axes(z, y, x, across, back, along)


def _level(along: Field, anatomy: Anatomy) -> Field:
    """Return the signed distance to the middle of the nearest vertebral level."""
    half = anatomy["pitch"] / 2
    return (along + anatomy["phase"] + half) % (2 * half) - half


def _ellipsoid(*terms: tuple[Field, float]) -> Field:
    """Return about the signed distance to the ellipsoid of (coordinate, radius) terms."""
    squares: Field = np.zeros(1, np.float32)
    for place, radius in terms:
        squares = squares + (place / radius) ** 2
    return (np.sqrt(squares) - 1) * min(radius for _, radius in terms)


def _segment(u: Field, v: Field, start: tuple[float, float], end: tuple[float, float]) -> Field:
    """Return the distance in plane to the line from start to end."""
    du, dv = end[0] - start[0], end[1] - start[1]
    share = np.clip(((u - start[0]) * du + (v - start[1]) * dv) / (du**2 + dv**2), 0, 1)
    return np.hypot(u - start[0] - share * du, v - start[1] - share * dv)


def _paint(hu: Field, distance: Field, value: float | Field, edge: float) -> None:
    hu += np.clip(0.5 - distance / edge, 0, 1) * (value - hu)


def _paint_bone(hu: Field, distance: Field, anatomy: Anatomy, edge: float) -> None:
    _paint(hu, distance, anatomy["cortical"], edge)
    _paint(hu, distance + _SHELL_MM, anatomy["cancellous"], edge)


def _smooth(field: Field, length: float) -> Field:
    """Return the field smoothed by a Gaussian of deviation `length` voxels, periodically."""
    spectrum = np.fft.rfftn(field)
    frequencies = [np.fft.fftfreq(n) for n in field.shape[:-1]] + [np.fft.rfftfreq(field.shape[-1])]
    for axis, frequency in enumerate(frequencies):
        response = np.exp(-2 * (np.pi * length * frequency) ** 2)
        spectrum *= response.reshape([-1 if i == axis else 1 for i in range(field.ndim)])
    return np.asarray(np.fft.irfftn(spectrum, field.shape, (0, 1, 2)), np.float32)


def _random_field(rng: Generator, shape: tuple[int, ...], length: float) -> Field:
    """Return Gaussian noise smoothed over `length` voxels, of mean 0 and deviation 1."""
    field = _smooth(rng.standard_normal(shape, dtype=np.float32), length)
    return np.asarray((field - field.mean()) / field.std(), np.float32)


def _paint_chest(hu: Field, axes: _Axes, anatomy: Anatomy, edge: float, rng: Generator) -> None:
    """Paint table, skin, fat, muscle, lungs with their vessels, and the mediastinum."""
    x, y = axes.x, axes.y
    outline = (np.sqrt(np.abs(x / 165) ** 2.6 + np.abs((y + 19) / 84) ** 2.6) - 1) * 84
    table = np.abs(y - 78 + x**2 / 1500) - 4
    _paint(hu, table, -650.0, edge)
    _paint(hu, np.abs(table + 1) - 1.5, 180.0, edge)
    _paint(hu, outline, 10.0, edge)
    _paint(hu, outline + 2.5, -100.0, edge)
    wall = _ellipsoid((x, anatomy["chest_width"]), (y + 30, anatomy["chest_depth"]))
    lung = np.maximum(wall, -_ellipsoid((axes.across, 24.0), (axes.back - 8, 30.0)))
    muscle = np.minimum(wall - 10, np.maximum(outline + anatomy["fat"], 22 - y))
    _paint(hu, np.maximum(muscle, outline + anatomy["fat"] / 2), 55.0, edge)
    vessels = np.hypot(_random_field(rng, hu.shape, 2.5), _random_field(rng, hu.shape, 2.5)) - 0.16
    _paint(hu, lung, -850 + 25 * _random_field(rng, hu.shape, 4), edge)
    _paint(hu, np.maximum(vessels * 8, lung + 2), -80.0, 2 * edge)
    _paint_mediastinum(hu, axes, anatomy, edge, lung)


def _paint_mediastinum(hu: Field, axes: _Axes, anatomy: Anatomy, edge: float, lung: Field) -> None:
    x, y, z = axes.x, axes.y, axes.z
    left, radius, blood = anatomy["heart_left"], anatomy["heart_radius"], anatomy["blood"]
    # The fat between the lungs, the heart's fat and muscle, the liver's dome.
    organs = [
        (_ellipsoid((x - 3, 30.0), (y + 52, 42.0)), -85.0),
        (heart := _ellipsoid((x - left, radius + 6), (y + 56, radius - 11), (z + 55, 62.0)), -90.0),
        (heart + 3, 90.0),
        (_ellipsoid((x + 50, 75.0), (y + 30, 75.0), (z + 112, 52.0)), 110.0),
    ]
    for distance, value in organs:
        _paint(hu, np.maximum(distance, lung), value, edge)
    chambers = ((18, -64, -60, 17, 15, 34), (-16, -70, -55, 18, 12, 36), (-4, -41, -38, 24, 9, 22))
    for cx, cy, cz, rx, ry, rz in chambers:
        chamber = _ellipsoid((x - left - cx, rx), (y - cy, ry), (z - cz, rz))
        _paint(hu, chamber, 0.9 * blood, edge)
    for cx, cy, r in ((-12, -62, 15), (12, -66, 12), (-28, -54, 8)):  # aorta, pulmonary trunk, cava
        _paint(hu, np.maximum(np.hypot(x - cx - 0.08 * z, y - cy) - r, 8 - z), blood, edge)
    _paint(hu, np.maximum(np.hypot(x + 2, y + 38) - 9, 18 - z), -950.0, edge)  # trachea
    _paint(hu, np.hypot(axes.across - 2, axes.back + 26) - 6, 40.0, edge)  # oesophagus
    aorta = np.hypot(axes.across - 21, axes.back + 17) - 11.5
    _paint(hu, aorta - 2, 50.0, edge)  # its wall
    _paint(hu, aorta, blood, edge)


def _paint_ribs(hu: Field, axes: _Axes, anatomy: Anatomy, edge: float) -> None:
    """Paint ribs, their cartilage and the sternum."""
    width, depth = anatomy["chest_width"] + 5, anatomy["chest_depth"] + 5
    wall = _ellipsoid((axes.x, width), (axes.y + 30, depth))
    turn = np.arctan2(np.abs(axes.x) / width, (axes.y + 30) / depth) / np.pi
    shaft = _level(axes.z + anatomy["rib_drop"] * turn - 6, anatomy)
    shaft, side = _ellipsoid((shaft, 6.5), (wall, 4.2)), np.abs(axes.across)
    bony = np.maximum(shaft, np.maximum(32 - side, (turn - 0.8) * 200))
    _paint(hu, np.maximum(shaft, (0.8 - turn) * 200), 120.0, edge)
    _paint_bone(hu, bony, anatomy, edge)
    neck = _segment(side, axes.back, (18, 9), (36, 29))
    neck = _ellipsoid((_level(axes.along + 0.35 * side - 14, anatomy), 5.5), (neck, 4.2))
    _paint_bone(hu, neck, anatomy, edge)
    sternum = _ellipsoid((axes.x, 19.0), (axes.y + 94 - 0.05 * axes.z, 6.5))
    _paint_bone(hu, sternum, anatomy, edge)


def _paint_spine(hu: Field, axes: _Axes, anatomy: Anatomy, edge: float) -> Mask:
    """Paint discs, vertebrae, canal and cord; return the vertebrae's mask."""
    u, v, side = axes.across, axes.back, np.abs(axes.across)
    level = _level(axes.along, anatomy)
    half = (anatomy["pitch"] - anatomy["disc"]) / 2
    waist = 1 - 0.09 * np.clip(1 - (level / half) ** 2, 0, 1)
    column = _ellipsoid((u / waist, anatomy["body_width"]), (v / waist, anatomy["body_depth"]))
    canal = _ellipsoid((u, 9.0), (v - 21, 7.5))
    _paint(hu, np.maximum(column, -canal), 85.0, edge)
    arch = _arch(u, v, side, axes.along, anatomy, canal)
    bone = np.maximum(np.minimum(np.maximum(column, np.abs(level) - half), arch), -canal)
    _paint_bone(hu, bone, anatomy, edge)
    _paint(hu, canal, 5.0, edge)
    _paint(hu, _ellipsoid((u, 5.5), (v - 21, 4.5)), 45.0, edge)
    return (bone < 0).astype(np.uint8)


def _arch(u: Field, v: Field, side: Field, along: Field, anatomy: Anatomy, canal: Field) -> Field:
    level = _level(along, anatomy)
    pedicle = np.maximum(_segment(side, v, (11.5, 9), (12.5, 21)) - 4.2, np.abs(level - 3) - 6.5)
    shingle = _level(along + 0.4 * (v - 26), anatomy)
    lamina = np.maximum(np.maximum(np.abs(canal - 3.2) - 3.2, 19 - v), np.abs(shingle) - 9.5)
    joint = np.maximum(np.hypot(side - 13, v - 24) - 5, np.abs(level) - anatomy["pitch"] / 2 + 1)
    transverse = _ellipsoid((_segment(side, v, (14, 23), (33, 32)), 4.4), (level - 1, 6.5))
    drop = _level(along + anatomy["spinous_slope"] * (v - 28), anatomy)
    spinous = _ellipsoid((_segment(u, v, (0, 29), (0, 54)), 3.6), (drop, 8.5))
    return functools.reduce(np.minimum, (pedicle, lamina, joint, transverse, spinous))


def _write_data_set(folder: Path, settings: dict[str, int]) -> None:
    size = settings["size"]
    spacing = (_DEPTH_MM / size, _WIDTH_MM / size, _WIDTH_MM / size)
    directions = np.diag(spacing)[:, ::-1]  # z, y, x of the array to x, y, z of the patient
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    names = [f"subject-{i + 1:02d}" for i in range(settings["subjects"])]
    for i, name in enumerate(names):
        hu, label = _render_subject(size, (settings["seed"], i))
        write_volume(folder / "images" / f"{name}.nrrd", Volume(hu, spacing, None, directions))
        write_volume(folder / "labels" / f"{name}.nrrd", Volume(label, spacing, None, directions))
    rows = ["id,fold", *(f"{name},{i % _FOLDS + 1}" for i, name in enumerate(names))]
    (folder / "folds.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "phantom.json").write_text(json.dumps(settings) + "\n", encoding="utf-8")


def _reused(folder: Path, settings: dict[str, int]) -> Path:
    try:
        found = read_json(folder / "phantom.json", DataError)
    except DataError as error:
        found = error
    if found != settings:
        raise DataError(
            f"{folder}: must be a phantom with phantom.json saying {settings}, got {found}; "
            "delete the folder to generate it again"
        )
    return folder
