import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from normsearch.data import find_cases, generate_phantom, read_volume
from normsearch.errors import DataError, NormsearchError


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate_phantom(tmp_path_factory.mktemp("phantom"))


def best_threshold_dice(root: Path) -> tuple[float, float]:
    """Return the best pooled and the best mean Dice that one HU threshold reaches on all cases."""
    edges = np.arange(-1024, 3073, 8)
    counts = []
    for files in find_cases(root):
        hu, mask = read_volume(files.images[0]).array, read_volume(files.label).array == 1
        # Voxels at or above each edge, of all and of the foreground.
        above = [np.histogram(part, edges)[0][::-1].cumsum()[::-1] for part in (hu, hu[mask])]
        counts.append((*above, np.full(len(edges) - 1, mask.sum())))
    found, hits, truth = np.moveaxis(np.array(counts), 1, 0)
    pooled = 2 * hits.sum(0) / (found.sum(0) + truth.sum(0))
    return float(pooled.max()), float((2 * hits / (found + truth)).mean(0).max())


def test_layout_geometry_and_anatomy(phantom: Path) -> None:
    assert phantom.name == "phantom-64-10-0"
    cases = find_cases(phantom)
    assert [case.fold for case in cases] == list("1234512345")
    assert len({case.subject for case in cases}) == 10
    for case in cases:
        image, label = read_volume(case.images[0]), read_volume(case.label)
        assert image.array.shape == label.array.shape == (64, 64, 64)
        assert image.array.dtype == np.int16
        assert image.spacing == label.spacing == (2.5, 3.0, 3.0)
        assert set(np.unique(label.array)) == {0, 1}
        assert 0.02 < label.array.mean() < 0.06
        assert label.array.any(axis=(1, 2)).mean() > 0.8
        inside = image.array[label.array == 1].mean()
        assert 100 < inside < 450  # bone, in HU
        assert image.array.min() < -800  # lungs and air


def test_no_threshold_segments_the_vertebrae(phantom: Path) -> None:
    pooled, mean = best_threshold_dice(phantom)
    assert 0.2 < pooled < 0.6
    assert 0.2 < mean < 0.6


@pytest.mark.parametrize(("size", "seed"), [(32, 1), (48, 2)])
def test_nor_at_other_settings(size: int, seed: int, tmp_path: Path) -> None:
    root = generate_phantom(tmp_path, size=size, subjects=4, seed=seed)
    assert max(best_threshold_dice(root)) < 0.6


def arrays(root: Path) -> list[np.ndarray]:
    return [read_volume(path).array for path in sorted(root.glob("*/*.nrrd"))]


def test_the_seed_alone_decides_and_subjects_differ(tmp_path: Path) -> None:
    first = generate_phantom(tmp_path / "a", size=24, subjects=3, seed=4)
    again = generate_phantom(tmp_path / "b", size=24, subjects=3, seed=4)
    other = generate_phantom(tmp_path / "b", size=24, subjects=3, seed=5)
    assert other.name == "phantom-24-3-5"
    assert all(np.array_equal(a, b) for a, b in zip(arrays(first), arrays(again), strict=True))
    assert not np.array_equal(arrays(first)[0], arrays(other)[0])
    assert len({array.tobytes() for array in arrays(first)}) == 6


def test_a_complete_data_set_is_used_again(tmp_path: Path) -> None:
    root = generate_phantom(tmp_path, size=16, subjects=1)
    times = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert generate_phantom(tmp_path, size=16, subjects=1) == root
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == times


def test_two_processes_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from normsearch.data import generate_phantom; "
        "print(generate_phantom(pathlib.Path(sys.argv[1]), size=24, subjects=4))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate()[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert told == [str(tmp_path / "phantom-24-4-0")] * 2
    assert [path.name for path in tmp_path.iterdir()] == ["phantom-24-4-0"]
    assert len(find_cases(tmp_path / "phantom-24-4-0")) == 4


def test_the_process_that_comes_second_takes_the_first_ones_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def overtaken(self: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "rename", rename)
        generate_phantom(tmp_path, size=16, subjects=2)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", overtaken)
    root = generate_phantom(tmp_path, size=16, subjects=2)
    assert list(tmp_path.iterdir()) == [root]


def test_a_folder_that_is_no_complete_phantom(tmp_path: Path) -> None:
    root = tmp_path / "phantom-16-1-0"
    root.mkdir()
    with pytest.raises(DataError, match=r"phantom-16-1-0: must be a phantom .*delete the folder"):
        generate_phantom(tmp_path, size=16, subjects=1)
    (root / "phantom.json").write_text(json.dumps({"version": 0}))
    with pytest.raises(DataError, match=r"got \{'version': 0\}; delete"):
        generate_phantom(tmp_path, size=16, subjects=1)


@pytest.mark.parametrize(
    "setting", [{"size": 15}, {"size": 513}, {"subjects": 0}, {"seed": -1}, {"seed": 2**32}]
)
def test_settings_out_of_range(setting: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(NormsearchError, match=r"must be from 0|needs size 16 to 512 and subjects"):
        generate_phantom(tmp_path, **setting)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="must be a folder to write in"):
        generate_phantom(tmp_path / "file", size=16)
