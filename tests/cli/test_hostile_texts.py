"""Texts that a terminal, a page or a figure would interpret, and links that a write follows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from normsearch import analysis
from normsearch.analysis.palette import style
from normsearch.analysis.report import write_report
from normsearch.cli.progress import Progress
from normsearch.cli.status import _tables
from normsearch.cli.terminal import Terminal, show
from normsearch.config import StudyConfig
from normsearch.errors import StudyError
from normsearch.search.jobs import Event
from tests.analysis.fake_study import tiny
from tests.cli.conftest import Outcome

HOSTILE = "[/tmp/x] [enforce fail at alloc.cpp:117] [bold]b[/bold] :smile: \x1b[2J\x07 \u202eabc"
SHOWN = "[/tmp/x] [enforce fail at alloc.cpp:117] [bold]b[/bold] :smile: \\x1b[2J\\x07 \\u202eabc"


def found(reason: str) -> dict[str, object]:
    row = {
        "number": 0, "state": "FAIL", "score": None, "last_score": None, "arm": reason,
        "seed": 0.0, "single_norm": None, "learning_rate": 0.1, "batch_size": 2, "samples": None,
        "steps": None, "seconds": None, "failure": reason,
    }  # fmt: skip
    return {"name": "s", "states": {"FAIL": 1}, "asked": 1, "shares": None, "best": None,
            "trials": [row]}  # fmt: skip


def test_a_table_shows_a_reason_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    for part in _tables(found(HOSTILE), "Dice", None):
        Terminal(width=500).print(part)
    assert capsys.readouterr().out.count(SHOWN) == 2  # the reason, and the arm's name


def test_progress_shows_a_reason_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    config = StudyConfig.model_validate(
        {
            "name": "s",
            "task": {"data": "d"},
            "space": {"norm": {"choices": ["BN"]}, "learning_rate": 0.1, "batch_size": 2},
        }
    )
    progress = Progress(config)
    progress(Event("finished", 0, {"state": "FAIL", "reason": HOSTILE}))
    progress._console.print(HOSTILE, soft_wrap=True)
    assert capsys.readouterr().err.count(SHOWN) == 2


def test_lines_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    show(f"{HOSTILE}\udc80")
    assert capsys.readouterr().out == f"{SHOWN}\\udc80\n"


def test_an_error_on_the_command_line(normsearch: Callable[..., Outcome]) -> None:
    told = normsearch("status", HOSTILE)
    assert told.code == 1
    assert SHOWN in told.err


@pytest.mark.parametrize("name", ["../x", "/abs", "a\x1bb", "", "x" * 300])
def test_a_run_is_not_called_so(
    name: str, normsearch: Callable[..., Outcome], data_set: Path, study_file: Path
) -> None:
    told = normsearch("run", study_file, "--data", data_set, "--name", name)
    assert (told.code, told.out) == (1, "")
    rule = "must be a run's name" if name else "must not be an empty text"
    assert f"name: {rule}" in told.err
    assert not Path("runs").exists()


def test_a_number_is_a_name(
    normsearch: Callable[..., Outcome], data_set: Path, study_file: Path
) -> None:
    arguments = ["--set", "search.trials=1", "--set", "search.baselines=false", "--local"]
    told = normsearch("run", study_file, "--data", data_set, "--name", "007", *arguments)
    assert told.code == 0, told.err
    assert Path("runs/007/study.yaml").is_file()


def test_a_case_called_by_dollars_is_no_formula(tmp_path: Path) -> None:
    style()
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    axes.set_yticks([0, 1], ["a$b$c", "$\\nosuch{$"])
    axes.set_title("a\x1b[2J$^^$")
    axes.plot(np.arange(2))
    for suffix in analysis.SUFFIXES:
        analysis.save(figure, tmp_path / f"f{suffix}")
    ElementTree.parse(tmp_path / "f.svg")
    assert axes.get_yticklabels()[0].get_parse_math() is False


@pytest.mark.parametrize("suffix", analysis.SUFFIXES)
def test_a_figure_does_not_follow_a_link(suffix: str, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    link = tmp_path / f"f{suffix}"
    link.symlink_to(tmp_path / "precious")
    assert analysis.save(Figure(), link) == link
    assert (tmp_path / "precious").read_text() == "mine"
    assert not link.is_symlink()


def test_a_report_does_not_follow_a_link_and_shows_what_a_page_would_obey(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "r.html").symlink_to(tmp_path / "precious")
    study = tiny([], ["a.norm"], folder=tmp_path)
    study.name = "<script>alert(1)</script>\x1b[2J"
    write_report(study, tmp_path / "r.html")
    assert (tmp_path / "precious").read_text() == "mine"
    page = (tmp_path / "r.html").read_text()
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[2J" in page


def test_a_file_that_cannot_be_written_is_one_sentence(
    normsearch: Callable[..., Outcome], tmp_path: Path
) -> None:
    with pytest.raises(StudyError, match="must end in one of"):
        analysis.save(Figure(), tmp_path / "a.txt")
    told = normsearch("validate", tmp_path / ("x" * 300))
    assert told.code == 1
    assert len(told.err.splitlines()) == 1
