"""Faults of a page's code are one sentence with the place and the line."""

from pathlib import Path

import pytest

from normsearch.errors import ConfigError, StudyError
from normsearch.findings.measurement import check_idle
from normsearch.findings.user_code import call


def test_what_a_page_raises_is_told_with_its_line() -> None:
    def judge(number: int) -> float:
        return number / 0

    line = judge.__code__.co_firstlineno + 1
    with pytest.raises(ConfigError, match=f"line {line}: finding X1 must run, and raised ZeroDiv"):
        call(Path(__file__), "finding X1", judge, 1)
    assert call(Path("x.py"), "part a", lambda scale, *, b: scale + b, "t", b="oy") == "toy"


def test_our_own_errors_keep_their_words() -> None:
    def judge() -> None:
        raise StudyError("where: must leave a training")

    with pytest.raises(ConfigError, match="finding X1: where: must leave a training"):
        call(Path("x.py"), "finding X1", judge)


def test_seconds_are_not_taken_on_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (3.0, 0.0, 0.0))
    with pytest.raises(StudyError, match=r"must be idle to take seconds, and its load is 3\.0"):
        check_idle()
    monkeypatch.setattr("os.getloadavg", lambda: (0.5, 0.0, 0.0))
    check_idle()
