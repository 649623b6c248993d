import json
import multiprocessing
import os
import pickle
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from normsearch.data import Case, CaseFiles, Fault, Preparation, load_cases
from normsearch.data.cache import Prepared, cached
from normsearch.errors import DataError
from tests.data.made_up import write_case

SETTINGS = {"size": None}


def build(log: Path | None = None, value: float = 1.0) -> Prepared:
    """Return an entry; each call leaves a line in `log`."""
    if log:
        with log.open("a") as file:
            file.write(f"{os.getpid()}\n")
    image = np.full((2, 1, 4, 6), value, np.float32)
    return Prepared(image, np.ones((2, 4, 6), np.uint8), (3.0, 1.0, float("nan")), (0, 1))


def same(one: Prepared, other: Prepared) -> bool:
    return (
        np.array_equal(one.image, other.image)
        and np.array_equal(one.label, other.label)
        and np.array_equal(one.spacing, other.spacing, equal_nan=True)
        and one.values == other.values
    )


def refuse() -> Prepared:
    raise AssertionError("must not be built again")


def test_what_is_kept_is_read_again_and_cannot_be_written(tmp_path: Path) -> None:
    files = write_case(tmp_path / "data", "a")
    first = cached(tmp_path / "cache", files, SETTINGS, build)
    again = cached(tmp_path / "cache", files, SETTINGS, refuse)
    assert same(first, again)
    assert same(first, build())
    assert (again.image.dtype, again.label.dtype) == (np.float32, np.uint8)
    for found in (first, again):
        with pytest.raises(TypeError, match="StoredArray"):
            found.image[0] = 0


def test_the_same_bytes_elsewhere_are_the_same_entry(tmp_path: Path) -> None:
    fault = Fault("origin", "a", str(tmp_path / "one/labels/a.nrrd"), "e", "f", "c", "warning")

    def noted() -> Prepared:
        made = build()
        return Prepared(made.image, made.label, made.spacing, made.values, (fault,))

    one, two = (write_case(tmp_path / place, "a") for place in ("one", "two"))
    shutil.copytree(tmp_path / "one", tmp_path / "two", dirs_exist_ok=True)  # headers have the time
    cached(tmp_path / "cache", one, SETTINGS, noted)
    again = cached(tmp_path / "cache", two, SETTINGS, refuse)
    assert again.warnings[0].file == str(tmp_path / "two/labels/a.nrrd")


@pytest.mark.parametrize("change", ["image", "label", "settings"])
def test_what_changed_is_built_anew(change: str, tmp_path: Path) -> None:
    files = write_case(tmp_path / "data", "a")
    cached(tmp_path / "cache", files, SETTINGS, build)
    settings: dict[str, Any] = SETTINGS
    if change == "settings":
        settings = {"size": [4, 4]}
    else:
        path = files.images[0] if change == "image" else files.label
        raw, stat = bytearray(path.read_bytes()), path.stat()
        raw[-1] ^= 1
        path.write_bytes(raw)  # of the same size and time: the bytes decide
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other = cached(tmp_path / "cache", files, settings, lambda: build(value=2.0))
    assert other.image[0, 0, 0, 0] == 2


def test_a_detached_data_file_counts(tmp_path: Path) -> None:
    header, raw = tmp_path / "a.nhdr", tmp_path / "a.raw"
    header.write_text("NRRD0004\ntype: uint8\ndata file: a.raw\n\n")
    raw.write_bytes(b"1")
    files = CaseFiles("a", "a", "", (header,), header)
    cached(tmp_path / "cache", files, SETTINGS, build)
    raw.write_bytes(b"2")
    with pytest.raises(AssertionError, match="must not be built"):
        cached(tmp_path / "cache", files, SETTINGS, refuse)


def entry_of(cache: Path) -> Path:
    (path,) = cache.glob("*/case.json")
    return path.parent


def flip_a_byte(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("image.b2nd", flip_a_byte),
        ("label.b2nd", flip_a_byte),
        ("image.b2nd", lambda path: path.write_bytes(path.read_bytes()[:-10])),
        ("image.b2nd", lambda path: path.write_bytes(b"")),
        ("image.b2nd", lambda path: path.write_bytes(pickle.dumps({"a": 1}))),
        ("label.b2nd", lambda path: path.unlink()),
        ("case.json", lambda path: path.write_text("{")),
        ("case.json", lambda path: path.write_text("[]")),
        ("case.json", lambda path: path.write_text(json.dumps({"sha256": "x"}))),
    ],
)
def test_a_damaged_entry_is_built_anew_with_a_warning(
    name: str, damage: Any, tmp_path: Path
) -> None:
    files, log = write_case(tmp_path / "data", "a"), tmp_path / "log"
    cached(tmp_path / "cache", files, SETTINGS, build)
    damage(entry_of(tmp_path / "cache") / name)
    with pytest.warns(UserWarning, match="is damaged and is built again"):
        found = cached(tmp_path / "cache", files, SETTINGS, lambda: build(log))
    assert same(found, build())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(cached(tmp_path / "cache", files, SETTINGS, refuse), found)
    assert len(log.read_text().splitlines()) == 1


def test_a_half_written_entry_is_none(tmp_path: Path) -> None:
    files = write_case(tmp_path / "data", "a")
    cached(tmp_path / "cache", files, SETTINGS, build)
    (entry_of(tmp_path / "cache") / "case.json").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = cached(tmp_path / "cache", files, SETTINGS, lambda: build(value=3.0))
    assert found.image[0, 0, 0, 0] == 3


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(
        DataError, match=r"must be a folder to write .*name another .*NORMSEARCH_CACHE"
    ):
        cached(tmp_path / "cache", write_case(tmp_path / "data", "a"), SETTINGS, build)


def _take(cache: Path, files: CaseFiles, log: Path, ready: Any, results: Any) -> None:
    ready.wait()
    found = cached(cache, files, SETTINGS, lambda: build(log))
    results.put(found.image.tobytes() + found.label.tobytes())


def test_of_four_processes_one_builds_and_all_read_the_same(tmp_path: Path) -> None:
    files = write_case(tmp_path / "data", "a")
    context = multiprocessing.get_context("spawn")
    ready, results = context.Barrier(4), context.Queue()
    arguments = (tmp_path / "cache", files, tmp_path / "log", ready, results)
    processes = [context.Process(target=_take, args=arguments) for _ in range(4)]
    for process in processes:
        process.start()
    found = {results.get(timeout=120) for _ in processes}
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    made = build()
    assert found == {made.image.tobytes() + made.label.tobytes()}
    assert len((tmp_path / "log").read_text().splitlines()) == 1


def test_cases_are_the_same_with_a_cache_and_without(tmp_path: Path) -> None:
    for name in "ab":
        write_case(tmp_path / "data", name)
    preparation = Preparation(size=(8, 8), intensity="zscore")

    def loaded(cache: Path | None) -> list[Case]:
        return load_cases(tmp_path / "data", preparation, cache=cache)

    for _ in range(2):
        for plain, kept in zip(loaded(None), loaded(tmp_path / "cache"), strict=True):
            assert (plain.id, plain.spacing) == (kept.id, kept.spacing)
            np.testing.assert_array_equal(plain.image, kept.image)
            np.testing.assert_array_equal(plain.label, kept.label)
            assert plain.image.dtype == kept.image.dtype
    assert len(list((tmp_path / "cache").glob("*/case.json"))) == 2
