import gzip
from pathlib import Path

import numpy as np
import pytest

from normsearch.data import Preparation, find_cases, load_cases, survey
from normsearch.errors import DataError


def write_idx(path: Path, array: np.ndarray) -> None:
    sides = b"".join(side.to_bytes(4, "big") for side in array.shape)
    raw = bytes([0, 0, 8, array.ndim]) + sides + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)


IMAGES = np.random.default_rng(0).integers(0, 256, (5, 4, 6))
CLASSES = np.array([2, 0, 1, 2, 2])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", IMAGES)
    write_idx(tmp_path / "train-labels-idx1-ubyte", CLASSES)
    write_idx(tmp_path / "t10k-images-idx3-ubyte", IMAGES[:2])
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", CLASSES[:2])
    return tmp_path


def test_one_case_an_image(root: Path) -> None:
    found = survey(root)
    assert (found.layout, found.kind, list(found.labels)) == ("idx", "classification", [0, 1, 2])
    names = [(case.id, case.fold, case.index) for case in found.cases]
    assert names[0] == ("train-00000", "train", 0)
    assert names[4:6] == [("train-00004", "train", 4), ("test-00000", "test", 0)]
    assert len({case.subject for case in found.cases}) == 7


@pytest.mark.parametrize("size", [None, (8, 8)])
def test_cases_hold_their_image_and_its_class(size: tuple[int, int] | None, root: Path) -> None:
    window = Preparation(intensity=(0, 255), size=size)
    cases = load_cases(root, window)
    for index in range(5):
        assert cases[index].label.tolist() == [CLASSES[index]]
        assert cases[index].image.shape == (1, 1, *(size or (4, 6)))
    if size is None:
        np.testing.assert_allclose(cases[3].image[0, 0], IMAGES[3] / 255, rtol=1e-6)


def test_training_files_alone_will_do(root: Path) -> None:
    for path in root.glob("t10k*"):
        path.unlink()
    assert {case.fold for case in find_cases(root)} == {"train"}


def test_faults(root: Path) -> None:
    write_idx(root / "train-labels-idx1-ubyte", CLASSES[:4])
    with pytest.raises(DataError, match="must have one class for each of 5 images, got 4 classes"):
        find_cases(root)
    (root / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(
        DataError, match=r"must both be there, each with or without \.gz, got .*images"
    ):
        find_cases(root)
