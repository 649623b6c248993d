from pathlib import Path
from typing import Any

import nrrd
import numpy as np
import pytest

from normsearch.data import CaseFiles, Preparation, SpacingWarning, Volume, load_cases, write_volume
from normsearch.data.cache import Prepared
from normsearch.data.prepare import prepare_case
from normsearch.data.resampling import resampling_to
from normsearch.data.transforms import normalized_image
from normsearch.errors import DataError
from tests.data.made_up import SPACING, write_case

Array = np.ndarray[Any, Any]


def prepared(files: CaseFiles, **options: Any) -> Prepared:
    return prepare_case(files, Preparation(**{"intensity": "minmax", **options}))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_prepare_case_minmax(dtype: type, tmp_path: Path) -> None:
    image = np.arange(10, 58).reshape(2, 4, 6).astype(dtype)
    case = prepared(write_case(tmp_path, "a", image))
    assert case.image.shape == (2, 1, 4, 6)
    assert case.image.dtype == np.float32
    np.testing.assert_allclose(case.image[:, 0], (np.arange(48).reshape(2, 4, 6)) / 47, rtol=1e-6)
    assert case.label.shape == (2, 4, 6)
    assert case.label.dtype == np.uint8
    np.testing.assert_array_equal(case.label, image > 20)
    assert case.spacing == SPACING


def test_prepare_case_other_intensities(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(50, 300, (4, 16, 16)).astype(np.float32)
    files = write_case(tmp_path, "a", image)

    def mapped(intensity: Any) -> Array:
        return prepared(files, intensity=intensity).image[:, 0]

    expected = (np.clip(image, -100, 300) + 100) / 400
    np.testing.assert_allclose(mapped((-100, 300)), expected, atol=1e-6)
    low, high = np.percentile(image, [0.5, 99.5])
    expected = (np.clip(image, low, high) - low) / (high - low)
    np.testing.assert_allclose(mapped("percentile"), expected, atol=1e-6)
    expected = (image - image.mean()) / image.std()
    np.testing.assert_allclose(mapped("zscore"), expected, atol=1e-5)


@pytest.mark.parametrize("intensity", ["minmax", "percentile", "zscore"])
def test_a_constant_image_becomes_zeros(intensity: str, tmp_path: Path) -> None:
    files = write_case(tmp_path, "a", np.full((2, 4, 6), 7, np.int16))
    assert not prepared(files, intensity=intensity).image.any()


def test_prepare_case_merges_foreground(tmp_path: Path) -> None:
    label = (np.arange(48) % 4).reshape(2, 4, 6).astype(np.float32)
    files = write_case(tmp_path, "a", label=label)
    np.testing.assert_array_equal(prepared(files).label, label != 0)
    case = prepared(files, foreground=(1, 3))
    np.testing.assert_array_equal(case.label, label % 2 == 1)


def test_prepare_case_resizes_in_plane(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 99, (3, 8, 12)).astype(np.int16)
    files = write_case(tmp_path, "a", image, (image > 50).astype(np.uint8))
    case = prepared(files, size=(4, 24))
    assert case.image.shape == (3, 1, 4, 24)
    assert case.label.shape == (3, 4, 24)
    assert case.spacing == (3.0, 2.0, 1.0)
    assert set(np.unique(case.label)) == {0, 1}
    np.testing.assert_allclose(case.image.mean(), image.mean() / image.max(), atol=0.03)
    # Nearest by pixel centres: row i of 4 lies at row 2i + 1 of 8, each column comes twice.
    np.testing.assert_array_equal(case.label, np.repeat(image > 50, 2, axis=2)[:, 1::2])


def bad(what: str) -> tuple[Array, Array]:
    image, label = np.arange(48, dtype=np.float32).reshape(2, 4, 6), np.ones((2, 4, 6), np.float32)
    if what == "shape":
        label = label[:, :, :5]
    elif what == "nan":
        image[0, 0, 0], image[1, 1, 1] = np.nan, np.inf
    elif what == "fraction":
        label[0, 0, 0] = 0.5
    elif what == "negative":
        label[0, 0, 0] = -1
    elif what == "large":
        label[0, 0, 0] = 256
    return image, label


FAULTS = {
    "shape": r"labels/a\.nrrd: must have the shape of a\.nrrd, \[2, 4, 6\], got \[2, 4, 5\]; e",
    "nan": r"images/a\.nrrd: must have finite voxels alone, got 2 voxels that are NaN or infinite",
    "fraction": r"labels/a\.nrrd: must hold whole numbers from 0 to 255, got 0\.5; export",
    "negative": r"got -1; renumber",
    "large": r"got 256; renumber",
}


@pytest.mark.parametrize("what", FAULTS)
def test_prepare_case_names_the_fault(what: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=FAULTS[what]):
        prepared(write_case(tmp_path, "a", *bad(what)))


def test_prepare_case_compares_spacings(tmp_path: Path) -> None:
    files = write_case(tmp_path, "a")
    label = Volume(np.ones((2, 4, 6), np.uint8), (3.0, 1.0, 2.0005))
    write_volume(files.label, label)
    prepared(files)
    write_volume(files.label, Volume(label.array, (3.0, 1.0, 2.002)))
    with pytest.raises(
        DataError, match=r"the spacing of a.nrrd, \[3.0, 1.0, 2.0\], got \[3.0, 1.0"
    ):
        prepared(files)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            {"intensity": "minmx"},
            r"one of minmax, percentile, zscore, zscore_body, ct .*Did you mean 'minmax'\?",
        ),
        ({"intensity": (3.0, 3.0)}, "low < high"),
        ({"size": (0, 4)}, r"size must be \(y, x\) or \(slices, y, x\)"),
        ({"size": (4,)}, r"size must be \(y, x\) or"),
        ({"fit": "crop"}, "fit must be one of resize, pad, or module:name, got 'crop'"),
        ({"foreground": (-1, 1)}, "foreground must be label values from 0 to 255"),
        ({"foreground": ()}, "foreground must be label values from 0 to 255"),
        ({"classes": (1, 256)}, "classes must be label values from 0 to 255"),
        ({"classes": (1,), "foreground": (2,)}, "must not both be given"),
    ],
)
def test_options_are_checked(option: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Preparation(**option)


def test_classes_become_indices_in_the_order_given(tmp_path: Path) -> None:
    label = (np.arange(48) % 5).reshape(2, 4, 6).astype(np.int16)
    case = prepared(write_case(tmp_path, "a", label=label), classes=(4, 2))
    np.testing.assert_array_equal(case.label, np.choose(label, [0, 0, 2, 0, 1]))
    assert case.values == (0, 1, 2, 3, 4)


@pytest.mark.parametrize("fit", ["resize", "pad"])
def test_volumes_get_a_size_in_three_axes(fit: str, tmp_path: Path) -> None:
    case = prepared(write_case(tmp_path, "a"), size=(6, 2, 6), fit=fit)
    assert case.image.shape == (6, 1, 2, 6)
    assert case.label.shape == (6, 2, 6)
    # Spacing is mm per voxel, which padding does not change.
    assert case.spacing == ((1.0, 2.0, 2.0) if fit == "resize" else SPACING)


def test_several_images_are_channels_each_mapped_by_itself(tmp_path: Path) -> None:
    files = write_case(tmp_path, "a")
    other = 1000.0 - 7 * np.arange(48, dtype=np.float32).reshape(2, 4, 6)
    second = tmp_path / "images" / "a2.nrrd"
    write_volume(second, Volume(other, SPACING))
    both = CaseFiles("a", "a", "", (*files.images, second), files.label)
    image = prepared(both).image
    assert image.shape == (2, 2, 4, 6)
    np.testing.assert_allclose(
        image[:, 0] + image[:, 1], 1, atol=1e-6
    )  # one is the other's inverse
    write_volume(second, Volume(other[:1], SPACING))
    with pytest.raises(
        DataError, match=r"a2\.nrrd: must have the shape of a\.nrrd, \[2, 4, 6\], got"
    ):
        prepared(both)


def test_load_cases_tells_one_fault_as_it_is_and_several_together(tmp_path: Path) -> None:
    write_case(tmp_path, "good")
    write_case(tmp_path, "a", *bad("shape"))
    with pytest.raises(DataError, match="^" + str(tmp_path / "labels" / "a.nrrd")):
        load_cases(tmp_path, Preparation())
    path = write_case(tmp_path, "b").images[0]
    path.write_bytes(path.read_bytes()[:-9])
    (tmp_path / "labels" / "good.nrrd").unlink()
    with pytest.raises(DataError) as caught:
        load_cases(tmp_path, Preparation())
    text = str(caught.value)
    assert text.startswith(f"{tmp_path}: 3 faults must be corrected: ")
    assert "a.nrrd: must have the shape of a.nrrd" in text
    assert "images/good.nrrd: must have a file of its name in labels/, got none; add" in text
    assert f" | {path}: " in text


def test_a_class_that_no_case_has_is_refused(tmp_path: Path) -> None:
    write_case(tmp_path, "a", label=np.full((2, 4, 6), 3, np.uint8))
    assert load_cases(tmp_path, Preparation(foreground=(3,)))[0].label.all()
    with pytest.raises(DataError, match=r"must be label values of the data set \(3\), got 1; corr"):
        load_cases(tmp_path, Preparation(classes=(3, 1)))


def test_load_cases_warns_once_of_missing_spacings(tmp_path: Path) -> None:
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
        for name in "abc":
            path = str(tmp_path / part / f"{name}.nrrd")
            nrrd.write(path, np.ones((4, 3, 2), np.uint8), {"kinds": ["domain", "domain", "list"]})
    with pytest.warns(SpacingWarning) as caught:
        cases = load_cases(tmp_path, Preparation())
    (warning,) = caught
    assert str(warning.message).startswith(
        f"{tmp_path}/images/a.nrrd: must give its spacing, got no"
    )
    assert f"(and 2 like it; normsearch validate {tmp_path} lists them)" in str(warning.message)
    assert np.isnan(cases[0].spacing).all()


def test_a_shifted_label_is_a_warning(tmp_path: Path) -> None:
    files = write_case(tmp_path, "a")
    label = np.ones((2, 4, 6), np.uint8)
    for path, origin in ((files.images[0], (0.0, 0.0, 0.0)), (files.label, (0.0, 0.0, 5.0))):
        write_volume(path, Volume(label, SPACING, origin, np.diag(SPACING)[:, ::-1]))
    with pytest.warns(
        UserWarning, match=r"have the origin of a.nrrd, \[0.0, 0.0, 0.0\], got \[0.0, 0"
    ):
        load_cases(tmp_path, Preparation())


@pytest.mark.parametrize("named", [("bone", "disc"), ("disc", "bone")])
def test_segments_of_slicer_are_taken_by_name(named: tuple[str, str], tmp_path: Path) -> None:
    files = write_case(tmp_path, "a")
    files.label.unlink()
    label = np.zeros((2, 4, 6), np.uint8)
    label[0], label[1, 0] = 1, 2
    header: dict[str, Any] = {
        "space": "left-posterior-superior",
        "space directions": np.diag(SPACING[::-1]),
        "space origin": [0, 0, 0],
    }
    for index, (name, value) in enumerate([("bone", 1), ("disc", 2)]):
        header |= {f"Segment{index}_ID": name, f"Segment{index}_Name": name}
        header |= {f"Segment{index}_LabelValue": str(value), f"Segment{index}_Layer": "0"}
    image = Volume(np.arange(48).reshape(2, 4, 6), SPACING, (0, 0, 0), np.diag(SPACING)[:, ::-1])
    write_volume(files.images[0], image)
    nrrd.write(str(tmp_path / "labels" / "a.seg.nrrd"), label, header, index_order="C")
    (case,) = load_cases(tmp_path, Preparation(classes=(1, 2), segments=named))
    first = label == 1 + ["bone", "disc"].index(named[0])
    np.testing.assert_array_equal(case.label == 1, first)
    np.testing.assert_array_equal(case.label == 2, (label > 0) & ~first)


@pytest.mark.data
def test_the_decathlons_hippocampus_as_it_comes(data_root: Path) -> None:
    preparation = Preparation(size=(32, 48, 32), fit="pad", classes=(1, 2))
    cases = load_cases(data_root / "Task04_Hippocampus", preparation)
    assert len(cases) == 130
    assert {case.image.shape for case in cases} == {(32, 1, 48, 32)}
    assert all(set(np.unique(case.label)) == {0, 1, 2} for case in cases)
    assert all(case.image.min() >= 0 and case.image.max() == 1 for case in cases)


def test_the_value_0_may_be_asked_for() -> None:
    label = np.array([[[0, 1, 2, 0]]], np.uint8)
    assert Preparation(foreground=(0,)).indices(label).ravel().tolist() == [1, 0, 0, 1]
    assert Preparation(classes=(0, 2)).indices(label).ravel().tolist() == [1, 0, 2, 1]


def test_a_resampled_case_keeps_its_own_label_and_spacing(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(0, 9, (4, 12, 12)).astype(np.float32)
    label = np.zeros(image.shape, np.uint8)
    label[1:3, 4:8, 4:8] = 1
    files = write_case(tmp_path, "a", image, label)  # of 3 x 1 x 2 mm
    case = prepared(files, intensity="zscore", spacing=(3.0, 1.5, 1.0))
    assert case.image.shape == (4, 1, 8, 24)
    assert case.label.shape == (4, 8, 24)
    assert case.spacing == pytest.approx((3.0, 1.5, 1.0))
    assert case.own_label is not None
    np.testing.assert_array_equal(case.own_label, label)
    assert case.own_spacing == SPACING
    expected = normalized_image(image[None], "zscore")
    way = resampling_to(image.shape, SPACING, (3.0, 1.5, 1.0))
    np.testing.assert_array_equal(case.image, way.image(expected))  # normalized before
    np.testing.assert_array_equal(case.label, way.label(label))


def test_a_resampled_case_is_cropped_or_padded_afterwards(tmp_path: Path) -> None:
    files = write_case(tmp_path, "a", np.arange(48, dtype=np.float32).reshape(2, 4, 6))
    whole = prepared(files, spacing=(3.0, 0.5, 1.0))
    assert whole.image.shape == (2, 1, 8, 12)
    case = prepared(files, spacing=(3.0, 0.5, 1.0), size=(10, 10), fit="pad")
    assert case.image.shape == (2, 1, 10, 10)
    assert case.uncropped is not None
    np.testing.assert_array_equal(case.uncropped, whole.image)
    np.testing.assert_array_equal(case.image[:, :, 1:9], whole.image[..., 1:11])
    assert case.spacing == whole.spacing
    same = prepared(files, spacing=(3.0, 0.5, 1.0), size=(4, 6), fit="pad")  # as before by chance
    assert same.own_label is not None


def test_a_case_without_a_spacing_is_not_resampled(tmp_path: Path) -> None:
    for name in "ab":
        nrrd.write(str(write_case(tmp_path, name).images[0]), np.ones((6, 4, 2), np.float32))
    preparation = Preparation(intensity="minmax", spacing=(1.0, 1.0, 1.0))
    with pytest.raises(DataError, match="2 faults must be corrected") as info:
        load_cases(tmp_path, preparation)
    for name in "ab":
        assert (
            f"images/{name}.nrrd: must give its spacing, as task.spacing resamples it to 1.0 x 1.0 "
            "x 1.0 mm, got none along slices and rows and columns; add it to the file"
        ) in str(info.value)


def test_a_case_is_not_resampled_to_more_voxels_than_fit(tmp_path: Path) -> None:
    files = write_case(tmp_path, "a")
    with pytest.raises(DataError, match=r"a\.nrrd: must have at most 268435456 voxels where task"):
        prepared(files, spacing=(1e-3, 1e-3, 1e-3))


def test_the_cache_keeps_entries_of_before_there_was_a_target_spacing() -> None:
    plain = {"size": None, "fit": "resize", "intensity": "percentile", "foreground": None,
             "classes": None, "segments": (), "ignore": (), "plane": "axial"}  # fmt: skip
    assert Preparation().settings() == plain
    rows = ((0.0, 1.0, 0.5, 0.1),)
    assert Preparation(intensity="ct", foreground_intensities=rows).settings() == {
        **plain, "intensity": "ct", "foreground_intensities": rows
    }  # fmt: skip
    assert Preparation(spacing=(1.0, 1.0)).settings() == {**plain, "spacing": (1.0, 1.0)}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"spacing": "median"}, "got 'median'; a study measures median when it is prepared"),
        ({"spacing": (1.0,)}, r"spacing must be mm along \(slices,\) rows and columns"),
        ({"intensity": "ct"}, "ct needs foreground_intensities, got none; a study measures them"),
    ],
)
def test_what_a_study_measures_must_be_numbers(option: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Preparation(**option)
