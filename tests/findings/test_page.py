"""Pages are read, hashed and checked; every registered one is a study that can be run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from normsearch.config import ArmsConfig, StudyConfig
from normsearch.config.reading import validate
from normsearch.errors import ConfigError
from normsearch.findings import Measured, Measurement, Search, Trainings
from normsearch.findings import page as page_module
from normsearch.findings.marks import needs
from normsearch.findings.page import (
    SCALES,
    all_findings,
    check_scale,
    find_page,
    read_page,
    registrations,
    shipped_pages,
)
from tests.findings.pages import tiny

PAGES = shipped_pages()


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that writes a page."""

    def put(text: str) -> Path:
        path = tmp_path / "mine.py"
        path.write_text(text)
        return path

    return put


def test_a_page_is_its_parts_and_findings_and_the_hash_of_its_bytes(
    write: Callable[[str], Path],
) -> None:
    path = write(tiny())
    page = read_page(path)
    assert list(page.parts) == ["rates", "final", "search", "found"]
    assert list(page.findings) == ["X1", "X2"]
    assert page.needed("X1") == ["rates", "final"]
    assert page.needed("X2") == ["search", "found"]
    assert page.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (page.name, page.source) == ("mine", "made up")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1", r"must have a function marked @finding\(...\)"),
        ("import nothing_of_this_name", "line 1: the page must run, and raised ModuleNotFound"),
        ("x = 1\ndef f(:", "line 2: the page must run, and raised SyntaxError"),
        ("raise RuntimeError('no')", "the page must run, and raised RuntimeError: no"),
        (tiny().replace('"X1"', '"../X1"'), "finding '../X1': its key must be a letter"),
        (tiny().replace("def t1(final", "def t1(finel"), "got 'finel'. Did you mean 'final'"),
        (tiny().replace("def final(scale: str, rates", "def final(scale: str, found"),
         "part final: parameters must be parts that come before it .rates., got 'found'"),
    ],
)  # fmt: skip
def test_a_page_that_does_not_hold_together_is_told(
    write: Callable[[str], Path], text: str, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        read_page(write(text))


def test_what_is_asked_for_is_found_or_told(write: Callable[[str], Path], tmp_path: Path) -> None:
    page, keys = find_page("p1")
    assert (page.name, keys) == ("switchable", ["P1"])
    assert find_page(str(write(tiny())))[1] == ["X1", "X2"]
    with pytest.raises(ConfigError, match="got 'P77'"):
        find_page("P77")
    with pytest.raises(
        ConfigError, match="must be a Python file with a finding, and there is none"
    ):
        find_page("absent.py")
    other = tmp_path / "other.py"
    other.write_text(tiny().replace('"X1"', '"P1"'))
    with pytest.raises(ConfigError, match="finding P1: its key must be new"):
        find_page(str(other))
    (tmp_path / "x.py").mkdir()
    with pytest.raises(ConfigError, match="and is a folder"):
        find_page(str(tmp_path / "x.py"))
    with pytest.raises(ConfigError, match="Did you mean 'toy'"):
        check_scale("tooy")


def test_a_later_page_replaces_a_design_and_no_two_pages_share_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, later = tmp_path / "first.py", tmp_path / "later.py"
    first.write_text(tiny())
    one = tiny().partition('@finding("X2"')[0]
    later.write_text(one)
    monkeypatch.setattr(page_module, "shipped_pages", lambda: [read_page(first), read_page(later)])
    with pytest.raises(ConfigError, match="finding X1: its key must be new, and first has it"):
        all_findings()
    again = tmp_path / "again.py"
    again.write_text(one + '\nREPLACES = {"X1": "first"}\n')
    monkeypatch.setattr(page_module, "shipped_pages", lambda: [read_page(first), read_page(again)])
    assert {key: page.name for key, (page, _) in all_findings().items()} == {
        "X1": "again", "X2": "first",
    }  # fmt: skip
    kept, new = (read_page(path).sha256 for path in (first, again))
    assert registrations() == {("X1", kept), ("X2", kept), ("X1", new)}
    assert find_page(str(first))[1] == ["X2"]
    assert find_page(str(again))[1] == ["X1"]


def test_findings_are_listed_by_source() -> None:
    keys = list(all_findings())
    assert keys[:5] == ["S1", "S2", "S3", "S4", "S5"]
    assert keys.index("I1") < keys.index("G1") < keys.index("P1") < keys.index("B1")
    assert len(keys) == len(set(keys))


def settings(norms: list[str]) -> Measured:
    """Made-up outcomes of earlier parts: every rate tried, the first best."""
    rates = (1.5, 1.0, 0.5, 0.4, 0.2, 0.1, 0.05)
    rows = [
        {"arm": f"{norm}, rate {rate}", "norm": norm, "learning_rate": rate, "batch_size": 4,
         "score": rate, "seed": 0, "fold": fold}
        for norm in norms for rate in rates for fold in ("1", "2", "3")
    ]  # fmt: skip
    best = {"norm": '{"*": "BN"}', "learning_rate": 0.1, "batch_size": 8, "score": 0.8}
    return Measured(trials=pd.DataFrame(rows), values=pd.DataFrame([best]))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_registered_part_is_a_study_at_every_scale(page: object, scale: str) -> None:
    norms = ["BN", "GN-2", "GN-4", "none", "IN", "LN", "SN", "WN", "WN+MBN", "mixture", "ILN",
             "ILN(regroup=none)", "ILN(gate=clip,regroup=none)",
             "ILN(gate=softmax,regroup=none)"]  # fmt: skip
    for name, function in page.parts.items():  # type: ignore[attr-defined]
        made = function(scale, **{need: settings(norms) for need in needs(function)})
        if isinstance(made, Measurement):
            continue
        for one in made if isinstance(made, list) else [made]:
            assert isinstance(one, Trainings | Search)
            config = validate(StudyConfig, one.study(f"finding-x-{scale}-{name}"), name)
            if isinstance(one, Trainings):
                assert isinstance(config.space, ArmsConfig)
                pilot = name in ("rates", "long_rates")
                assert min(config.space.seeds) >= (0 if pilot else 5)  # no pilot's seeds


@pytest.mark.parametrize("key", list(all_findings()))
def test_every_finding_says_what_a_reader_needs(key: str) -> None:
    page, finding = all_findings()[key]
    assert page.source
    assert finding.text.endswith(".")
    assert finding.paper
    assert finding.metric
    assert finding.plan
    assert finding.parts
    assert set(finding.advice) <= {
        "reproduced", "contradicted", "equivalent", "not distinguishable"
    }  # fmt: skip
