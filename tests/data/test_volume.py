import math
from collections.abc import Callable
from pathlib import Path

import nibabel
import nrrd
import numpy as np
import pytest
import SimpleITK
import torch

from normsearch.data import SpacingWarning, Volume, read_volume, write_volume
from normsearch.data.volume import FORMATS, suffix_of
from normsearch.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore:.*utcnow:DeprecationWarning")

TURN = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])
SPACING = (2.5, 0.8, 0.6)
ORIGIN = (-12.5, 30.25, 7.0)


def oblique(kind: str = "i2", turn: np.ndarray = TURN) -> Volume:
    array = np.random.default_rng(0).integers(0, 100, (3, 4, 5)).astype(kind)
    return Volume(array, SPACING, ORIGIN, turn * np.array(SPACING)[:, None])


def corners(shape: tuple[int, ...]) -> np.ndarray:
    """The indices (z, y, x) of a volume's eight corners."""
    return np.array(list(np.ndindex(2, 2, 2))) * (np.array(shape) - 1)


def by_simple_itk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The array (z, y, x) and the places of its corners in LPS mm, as ITK has them."""
    image = SimpleITK.ReadImage(str(path))
    array = SimpleITK.GetArrayFromImage(image)
    indices = [index[::-1].tolist() for index in corners(array.shape)]
    return array, np.array([image.TransformIndexToPhysicalPoint(index) for index in indices])


def places(volume: Volume) -> np.ndarray:
    assert volume.directions is not None
    return corners(volume.array.shape) @ volume.directions + np.asarray(volume.origin)


FORMS = [".nrrd", ".nii", ".nii.gz"]


@pytest.mark.parametrize("suffix", FORMS)
@pytest.mark.parametrize("turn", [TURN, TURN[::-1], np.eye(3)[::-1], -TURN], ids=range(4))
def test_each_corner_is_where_itk_says(suffix: str, turn: np.ndarray, tmp_path: Path) -> None:
    volume = oblique(turn=turn)
    write_volume(tmp_path / f"a{suffix}", volume)
    array, where = by_simple_itk(tmp_path / f"a{suffix}")
    found = read_volume(tmp_path / f"a{suffix}")
    for other in (array, found.array):
        np.testing.assert_array_equal(other, volume.array)
    np.testing.assert_allclose(where, places(volume), atol=1e-4)
    np.testing.assert_allclose(places(found), places(volume), atol=1e-4)
    np.testing.assert_allclose(found.spacing, SPACING, rtol=1e-6)


@pytest.mark.parametrize("suffix", FORMS)
def test_what_itk_writes_is_read_at_the_same_places(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    array = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing(SPACING[::-1])
    image.SetOrigin(ORIGIN)
    image.SetDirection(TURN.ravel())
    SimpleITK.WriteImage(image, str(path))
    _, where = by_simple_itk(path)
    found = read_volume(path)
    np.testing.assert_array_equal(found.array, array)
    np.testing.assert_allclose(places(found), where, atol=1e-4)
    np.testing.assert_allclose(found.spacing, SPACING, rtol=1e-6)


@pytest.mark.parametrize("first", FORMS)
@pytest.mark.parametrize("second", FORMS)
@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "u4", "f4", "f8", "i8", "u8", "i1"])
def test_from_format_to_format(first: str, second: str, kind: str, tmp_path: Path) -> None:
    volume = oblique(kind)
    write_volume(tmp_path / f"a{first}", volume)
    write_volume(tmp_path / f"b{second}", read_volume(tmp_path / f"a{first}"))
    found = read_volume(tmp_path / f"b{second}")
    np.testing.assert_array_equal(found.array, volume.array)
    assert found.array.dtype == volume.array.dtype
    np.testing.assert_allclose(places(found), places(volume), atol=1e-4)


def test_right_and_left_are_told_apart_by_pynrrd_and_nibabel(tmp_path: Path) -> None:
    """A voxel to the patient's left: above 0 in LPS, below 0 in RAS."""
    volume = Volume(np.zeros((2, 2, 2), np.uint8), (1, 1, 1), (40.0, 20.0, 10.0), np.eye(3)[::-1])
    for suffix in (".nrrd", ".nii"):
        write_volume(tmp_path / f"a{suffix}", volume)
    header = nrrd.read_header(str(tmp_path / "a.nrrd"))
    assert header["space"] == "left-posterior-superior"
    np.testing.assert_array_equal(header["space origin"], [40, 20, 10])
    image = nibabel.load(tmp_path / "a.nii")
    np.testing.assert_array_equal(image.affine[:3, 3], [-40, -20, 10])
    assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")


@pytest.mark.parametrize("suffix", FORMS)
def test_label_by_label(suffix: str, tmp_path: Path) -> None:
    label = np.random.default_rng(1).integers(0, 6, (6, 5, 4)).astype(np.uint8)
    volume = oblique()
    write_volume(tmp_path / f"a{suffix}", Volume(label, SPACING, ORIGIN, volume.directions))
    found = read_volume(tmp_path / f"a{suffix}", as_label=True).array
    for value in range(6):
        np.testing.assert_array_equal(found == value, label == value)


HELD = {
    **dict.fromkeys((".nrrd", ".nii.gz"), (">u2", ">f4", ">i4", "u4", "u2", "<i2", ">f8")),
    ".tif": (">u2", "u2", ">i4", ">f4"),
    ".png": (">u2", "u2", "u1"),
}


@pytest.mark.parametrize(("suffix", "kind"), [(s, kind) for s in HELD for kind in HELD[s]])
@pytest.mark.filterwarnings("ignore::normsearch.data.SpacingWarning")
def test_torch_can_count_with_what_was_read(suffix: str, kind: str, tmp_path: Path) -> None:
    array = np.arange(35).reshape(5, 7).astype(kind)
    path = tmp_path / f"a{suffix}"
    write_volume(path, Volume(array, (1.0, 1.0)))
    found = read_volume(path).array
    assert found.dtype == np.dtype(kind).newbyteorder("=")
    assert found.dtype.isnative
    assert found.flags.c_contiguous
    assert found.flags.writeable
    assert float((torch.from_numpy(found).float() + 1).sum()) == 35 * 36 / 2


def test_the_suffix_tells_the_format(tmp_path: Path) -> None:
    assert suffix_of(Path("a.b.NII.GZ")) == ".nii.gz"
    assert suffix_of(Path("case.seg.nrrd")) == ".seg.nrrd"
    assert suffix_of(Path("nrrd")) == ""
    for act in (read_volume, lambda path: write_volume(path, oblique())):
        with pytest.raises(DataError, match=r"a\.nrd: .* end in one of \.nrrd, .*mean '\.nrrd'\?"):
            act(tmp_path / "a.nrd")
    assert {".nrrd", ".nhdr", ".nii", ".nii.gz", ".png", ".tif", ".tiff"} <= set(FORMATS)


@pytest.mark.parametrize("suffix", [".nrrd", ".nii", ".nii.gz", ".png", ".tif"])
def test_writing_that_fails_leaves_the_old_file(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / f"a{suffix}"
    write_volume(path, Volume(np.ones((4, 4), np.uint8), (1.0, 1.0)))
    old = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write_volume(path, Volume(np.zeros((4, 4), np.uint8), (1.0, 1.0)))
    assert path.read_bytes() == old
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".nrrd", ".nii", ".png", ".tif"])
@pytest.mark.filterwarnings("ignore::normsearch.data.SpacingWarning")
def test_bool_is_written_as_uint8_and_float16_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    write_volume(path, Volume(np.eye(3, dtype=bool), (1.0, 1.0)))
    found = read_volume(path, as_label=True).array
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.eye(3))
    for kind in ("float16", "complex64", "U1"):
        with pytest.raises(DataError, match=rf"a\{suffix}: .* got .*; convert the array"):
            write_volume(path, Volume(np.eye(3).astype(kind), (1.0, 1.0)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda a: Volume(a, (1.0,)), "one spacing, direction and kind per axis"),
        (lambda a: Volume(a, (1.0, -1.0)), "must be above 0 mm"),
        (lambda a: Volume(a, (1.0, math.inf)), "must be above 0 mm"),
        (lambda a: Volume(a, (1.0, 1.0), kinds=("list",)), "kinds"),
        (lambda a: Volume(a, (1.0, 1.0), None, np.eye(3)), r"directions of shape \(3, 3\)"),
        (lambda a: Volume(a, (1.0, 1.0), None, np.eye(2)), r"directions of shape \(2, 2\)"),
        (lambda a: Volume(a, (1.0, 1.0), (1.0, 2.0)), "three finite numbers"),
        (lambda a: Volume(a, (1.0, 1.0), (1.0, 2.0, math.nan)), "three finite numbers"),
        (lambda a: Volume(a, (1.0, 1.0), None, np.ones((2, 3))), "directions that differ"),
        (
            lambda a: Volume(a, (1.0, 1.0), None, np.array([[1, 0, 0], [0, math.nan, 1]])),
            "finite directions",
        ),
    ],
)
def test_volume_checks_its_fields(build: Callable[[np.ndarray], Volume], message: str) -> None:
    with pytest.raises(DataError, match=message):
        build(np.zeros((2, 2)))


@pytest.mark.data
def test_sunnybrook(data_root: Path) -> None:
    folder = data_root / "sunnybrook"
    with pytest.warns(SpacingWarning, match="gives no spacing"):
        label = read_volume(folder / "labels" / "SC-HF-I-01.nrrd", as_label=True)
    with pytest.warns(SpacingWarning, match="gives no spacing"):
        image = read_volume(folder / "images" / "SC-HF-I-01.nrrd")
    assert label.kinds == image.kinds == ("list", "domain", "domain")
    assert label.array.shape == image.array.shape == (18, 256, 256)
    assert int(label.array.sum()) == 18884  # as its folds.csv says
    assert np.isnan(image.spacing).all()


@pytest.mark.data
def test_spine_ct(data_root: Path) -> None:
    for part, kind in (("images", np.int16), ("labels", None)):
        path = data_root / "spine_ct" / part / "ct.nrrd"
        volume = read_volume(path)
        array, where = by_simple_itk(path)
        assert volume.array.shape == (30, 101, 122)
        assert volume.array.dtype == (kind or volume.array.dtype)
        np.testing.assert_allclose(volume.spacing, (3, 3, 3))
        np.testing.assert_array_equal(volume.array, array)
        np.testing.assert_allclose(places(volume), where, atol=1e-3)


@pytest.mark.data
def test_hippocampus(data_root: Path) -> None:
    paths = sorted((data_root / "Task04_Hippocampus").glob("*/*.nii.gz"))
    assert len(paths) == 260
    kinds = set()
    for path in paths[:6] + paths[-3:]:
        volume = read_volume(path, as_label=path.parent.name == "labelsTr")
        array, where = by_simple_itk(path)
        np.testing.assert_array_equal(volume.array, array)
        np.testing.assert_allclose(places(volume), where, atol=1e-4)
        kinds.add(volume.array.dtype.name)
        if path.parent.name == "labelsTr":
            assert set(np.unique(volume.array)) == {0, 1, 2}
    assert kinds >= {"uint8", "float32"}
