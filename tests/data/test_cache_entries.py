import math
import multiprocessing
import os
import shutil
import signal
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from normsearch.data import Preparation, cache_entries, load_cases
from normsearch.data.cache import Prepared, cached
from normsearch.data.cases import CaseFiles
from normsearch.errors import CacheError, ConfigError
from tests.data.made_up import write_case

SPAWN = multiprocessing.get_context("spawn")


def build(number: int = 0, side: int = 8) -> Prepared:
    image = np.random.default_rng(number).normal(size=(8, 1, side, side)).astype(np.float32)
    return Prepared(image, np.ones((8, side, side), np.uint8), (3.0, 1.0, 1.0), (0, 1))


def fill(cache: Path, files: CaseFiles, *numbers: int, data_set: str = "/sets/a") -> None:
    """Build entries of one size, of which the first was used the longest ago."""
    for number in numbers:
        cached(cache, files, {"n": number}, lambda n=number: build(n), data_set=data_set)
    for age, entry in enumerate(reversed(cache_entries.cache_entries(cache))):
        for path in entry.folder.iterdir():
            os.utime(path, (1e9 - age, 1e9 - age))


def elsewhere(cache: Path, files: CaseFiles, *numbers: int) -> None:
    """Fill the cache in another process, which has ended when this returns."""
    process = SPAWN.Process(target=fill, args=(cache, files, *numbers))
    process.start()
    process.join(120)
    assert process.exitcode == 0


def _hold(cache: Path, files: CaseFiles, ready: Any) -> None:
    cached(cache, files, {"n": 0}, build)
    ready.set()
    signal.pause()


def test_entries_are_listed_with_data_set_size_and_age(tmp_path: Path) -> None:
    cache, files = tmp_path / "cache", write_case(tmp_path, "a")
    assert cache_entries.cache_entries(cache) == []
    fill(cache, files, 0, 1, data_set="/sets/heart")
    (cache / ("f" * 64)).mkdir()  # what a killed process left
    *found, left = cache_entries.cache_entries(cache)
    assert [one.data_set for one in found] == ["/sets/heart"] * 2
    assert left.data_set == ""
    for one in found:
        assert one.bytes == sum(path.stat().st_size for path in one.folder.iterdir())
    assert [one.used for one in found] == sorted(one.used for one in found)


def test_what_was_used_longest_ago_goes_first_down_to_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, files = tmp_path / "cache", write_case(tmp_path, "a")
    elsewhere(cache, files, 0, 1, 2, 3)
    before = cache_entries.cache_entries(cache)
    total = sum(one.bytes for one in before)
    monkeypatch.setenv("NORMSEARCH_CACHE_SIZE", f"{total} B")
    cache_entries.keep_to_limit(cache)
    assert cache_entries.cache_entries(cache) == before
    monkeypatch.setenv("NORMSEARCH_CACHE_SIZE", f"{total - before[0].bytes - 1}")
    cache_entries.keep_to_limit(cache)
    assert cache_entries.cache_entries(cache) == before[2:]


def test_a_cache_that_cannot_be_written_to_is_used_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, files = tmp_path / "cache", write_case(tmp_path, "a")
    elsewhere(cache, files, 0, 1)
    before = cache_entries.cache_entries(cache)
    (cache / "lock").unlink(missing_ok=True)
    (cache / "lock").mkdir()  # stands for a read-only disk, as root may write to any folder
    monkeypatch.setenv("NORMSEARCH_CACHE_SIZE", "1 B")
    cache_entries.keep_to_limit(cache)
    assert cache_entries.cache_entries(cache) == before


def test_opening_an_entry_is_a_use(tmp_path: Path) -> None:
    cache, files = tmp_path / "cache", write_case(tmp_path, "a")
    fill(cache, files, 0, 1)
    oldest, other = cache_entries.cache_entries(cache)
    cached(cache, files, {"n": 0}, build)
    found = [one.folder for one in cache_entries.cache_entries(cache)]
    assert found == [other.folder, oldest.folder]


def test_entries_in_use_stay_until_their_process_ends_however_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, files, ready = tmp_path / "cache", write_case(tmp_path, "a"), SPAWN.Event()
    elsewhere(cache, files, 0, 1)
    process = SPAWN.Process(target=_hold, args=(cache, files, ready))
    process.start()
    assert ready.wait(120)
    monkeypatch.setenv("NORMSEARCH_CACHE_SIZE", "1 kB")
    with pytest.warns(UserWarning, match=r"in use take .* more than the limit of 1\.0 kB; raise"):
        cache_entries.keep_to_limit(cache)
    (left,) = cache_entries.cache_entries(cache)
    assert cache_entries.remove_entries(cache, [left]) == []
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    assert cache_entries.remove_entries(cache, [left]) == [left]
    assert cache_entries.cache_entries(cache) == []
    assert list((cache / "in-use").iterdir()) == []


def test_the_cases_of_this_process_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        write_case(tmp_path / "data", name)
    elsewhere(tmp_path / "cache", write_case(tmp_path, "c"), 0, 1)
    monkeypatch.setenv("NORMSEARCH_CACHE_SIZE", "2 kB")
    with pytest.warns(UserWarning, match="more than the limit of 2.0 kB"):
        cases = load_cases(tmp_path / "data", Preparation(), cache=tmp_path / "cache")
    assert len(cache_entries.cache_entries(tmp_path / "cache")) == 2
    np.testing.assert_array_equal(cases[0].label[0], np.asarray(cases[0].label)[0])


def test_a_cache_deleted_under_a_process_is_filled_again(tmp_path: Path) -> None:
    cache, files = tmp_path / "cache", write_case(tmp_path, "a")
    first = cached(cache, files, {}, build)
    shutil.rmtree(cache)
    with pytest.raises(CacheError, match="prepares the case again"):
        first.image[0]
    assert np.array_equal(cached(cache, files, {}, build).image, build().image)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache_entries.keep_to_limit(cache)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("1000", 1000), ("200 GB", 2e11), ("200g", 2e11), ("1.5 MiB", 1.5 * 2**20)),
        *(("2 TiB", 2**41), ("3kB", 3000), ("unlimited", math.inf), ("", None)),
    ],
)
def test_sizes(text: str, expected: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMSEARCH_CACHE_SIZE", text)
    assert cache_entries.asked_limit() == expected


@pytest.mark.parametrize("text", ["many", "-3 GB", "0", "50%", "10 EB", "GB", "1e9"])
def test_a_wrong_size_is_told_before_anything_is_prepared(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_case(tmp_path / "data", "a")
    monkeypatch.setenv("NORMSEARCH_CACHE_SIZE", text)
    with pytest.raises(ConfigError, match=f"NORMSEARCH_CACHE_SIZE: .*200 GB.*got '{text}'"):
        load_cases(tmp_path / "data", Preparation(), cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_by_default_it_is_half_of_what_other_files_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NORMSEARCH_CACHE_SIZE", raising=False)
    free = shutil.disk_usage(tmp_path)._replace(free=600)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    assert cache_entries.size_limit(tmp_path, 400) == 500


def _build_slowly(cache: Path, files: CaseFiles, stage: str, ready: Any) -> None:
    from normsearch.data import cache as module

    real: Any = getattr(module, stage)

    def wait(path: Path, content: Any) -> None:
        if path.name in ("label.b2nd", "case.json"):
            ready.set()
            signal.pause()
        real(path, content)

    setattr(module, stage, wait)
    cached(cache, files, {"n": 0}, build)


@pytest.mark.parametrize("stage", ["write_bytes", "write_text"])
def test_after_a_kill_a_case_is_whole_or_absent(stage: str, tmp_path: Path) -> None:
    cache, files, ready = tmp_path / "cache", write_case(tmp_path, "a"), SPAWN.Event()
    process = SPAWN.Process(target=_build_slowly, args=(cache, files, stage, ready))
    process.start()
    assert ready.wait(120)
    (entry,) = (path for path in cache.iterdir() if len(path.name) == 64)
    assert (entry / "image.b2nd").exists()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    (entry / f".image.b2nd.{'0' * 32}").write_bytes(b"left by another")
    assert not (entry / "case.json").exists()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is absent, not damaged
        found = cached(cache, files, {"n": 0}, lambda: build(1))
    np.testing.assert_array_equal(found.image, build(1).image)
    names = {path.name for path in entry.iterdir()}
    assert names <= {"case.json", "image.b2nd", "label.b2nd", "lock"}
