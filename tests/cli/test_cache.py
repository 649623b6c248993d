"""`normsearch cache`: what it shows, what it deletes, and what it asks."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from normsearch.data import Preparation, load_cases
from normsearch.data.cache_entries import cache_entries, size_text
from tests.data.made_up import write_case

from .conftest import Outcome

Call = Callable[..., Outcome]


@pytest.fixture
def cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of prepared cases: two of heart, one of brain, unused for 9 days."""
    cache = tmp_path / "cache" / "cases"
    monkeypatch.setenv("NORMSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NORMSEARCH_CACHE_SIZE", raising=False)
    for name, ids in (("heart", "ab"), ("brain", "c")):
        for one in ids:
            write_case(tmp_path / name, one)
        load_cases(tmp_path / name, Preparation(), cache=cache)
    monkeypatch.setattr("normsearch.data.cache_entries._in_use", lambda cache: set[str]())
    for entry in cache_entries(cache):
        if entry.data_set.endswith("brain"):
            for path in entry.folder.iterdir():
                os.utime(path, (time.time() - 9 * 86400,) * 2)
    return cache


def test_size_by_data_set(normsearch: Call, cases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = json.loads(normsearch("cache", "size", "--json").out)
    entries = cache_entries(cases)
    assert found["bytes"] == sum(entry.bytes for entry in entries)
    brain, heart = sorted(found["data_sets"])
    assert (Path(brain).name, Path(heart).name) == ("brain", "heart")
    assert found["data_sets"][brain] == entries[0].bytes
    monkeypatch.setenv("NORMSEARCH_CACHE_SIZE", "50 MB")
    shown = normsearch("cache", "size")
    assert shown.code == 0
    rows = {Path(line.split()[0]).name: line.split()[1:] for line in shown.out.splitlines()[1:3]}
    assert rows["heart"][:3] == ["2", *size_text(found["data_sets"][heart]).split()]
    assert rows["brain"][0] == "1"
    total = f"{size_text(found['bytes'])} in {cases}; limit (NORMSEARCH_CACHE_SIZE): 50.0 MB"
    assert total in shown.out


def test_the_limit_is_of_all_data_sets(
    normsearch: Call, cases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = SimpleNamespace(free=0)
    monkeypatch.setattr("normsearch.data.cache_entries.shutil.disk_usage", lambda folder: full)
    half = size_text(0.5 * sum(entry.bytes for entry in cache_entries(cases)))
    for options in ([], ["--data-set", "brain"]):
        assert f"(NORMSEARCH_CACHE_SIZE): {half}" in normsearch("cache", "size", *options).out


def left(cases: Path) -> list[str]:
    return sorted(Path(entry.data_set).name for entry in cache_entries(cases))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], []),
        (["--older-than", "8"], ["heart", "heart"]),
        (["--older-than", "10"], ["brain", "heart", "heart"]),
        (["--data-set", "heart"], ["brain"]),
        (["--data-set", "heart", "--older-than", "8"], ["brain", "heart", "heart"]),
        (["--data-set", "liver"], ["brain", "heart", "heart"]),
    ],
)
def test_clear(options: list[str], expected: list[str], normsearch: Call, cases: Path) -> None:
    done = normsearch("cache", "clear", "--yes", *options)
    assert done.code == 0
    assert left(cases) == expected
    assert f"Deleted {3 - len(expected)} prepared case" in done.out


def test_a_data_set_may_be_its_folder(normsearch: Call, cases: Path, tmp_path: Path) -> None:
    normsearch("cache", "clear", "--yes", "--data-set", tmp_path / "heart")
    assert left(cases) == ["brain"]


def test_it_asks_first(normsearch: Call, cases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typer.confirm", _refuse)
    assert normsearch("cache", "clear").code == 1
    assert len(left(cases)) == 3


def _refuse(text: str, **_: object) -> None:
    import typer

    assert text.startswith("Delete 3 prepared cases, ")
    raise typer.Abort


def test_cases_in_use_stay(normsearch: Call, cases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = {cache_entries(cases)[0].folder.name}
    monkeypatch.setattr("normsearch.data.cache_entries._in_use", lambda cache: used)
    done = normsearch("cache", "clear", "--yes")
    assert left(cases) == ["brain"]
    assert "1 case of a running study stayed" in done.err
    assert "Deleted 2 prepared cases" in done.out


def test_an_empty_cache(normsearch: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMSEARCH_CACHE", str(tmp_path / "none"))
    assert "There are no such prepared cases in" in normsearch("cache", "size").out
    assert "Deleted 0 prepared cases" in normsearch("cache", "clear").out
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["shrink"], 2, "shrink"),
        ([], 2, "action"),
        (["clear", "--older-than", "-1"], 2, "older-than"),
    ],
)
def test_wrong_words(arguments: list[str], code: int, told: str, normsearch: Call) -> None:
    done = normsearch("cache", *arguments)
    assert done.code == code
    assert told in done.err


def test_a_wrong_limit(normsearch: Call, cases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMSEARCH_CACHE_SIZE", "lots")
    done = normsearch("cache", "size")
    assert done.code == 1
    assert "NORMSEARCH_CACHE_SIZE: must be a size such as 200 GB" in done.err
