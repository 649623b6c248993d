"""Confirmations in looks that are killed, or allowed more later, end as undisturbed ones do."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from normsearch.config import StudyConfig
from normsearch.config.reading import validate
from normsearch.confirmation.look_course import course_of
from normsearch.confirmation.plan import resumed
from normsearch.storage.records import StudyRecord
from tests.confirmation.look_driver import raw_study, scores
from tests.confirmation.test_look_course import ROOT, decisions, is_whole
from tests.search.test_ray_executor import begun, kill_everything, told, wait_until

MadeUp = Callable[..., StudyRecord]


def started(folder: Path) -> subprocess.Popen[bytes]:
    """Start a driver with two workers of Ray."""
    command = [sys.executable, "-m", "tests.confirmation.look_driver", str(folder), "ray"]
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True)


def trainings(folder: Path) -> int:
    """Return how many trainings have begun, again ones too."""
    return sum(map(Counter.total, begun(folder).values()))


@pytest.mark.slow
def test_looks_by_ray_that_are_killed_end_as_undisturbed_ones(tmp_path: Path) -> None:
    """`is_whole` compares with the decisions of all scores together, which no run interrupts."""
    folder = tmp_path / "run"
    process = started(folder)
    wait_until(lambda: trainings(folder) >= 16, process)  # the look after 2 seeds is judged
    assert process.poll() is None
    kill_everything(process)
    before = {number for number, counts in begun(folder).items() if counts}
    assert started(folder).wait(timeout=600) == 0
    record = StudyRecord(folder)
    is_whole(record, validate(StudyConfig, raw_study(), "made-up"))
    assert set(told(folder).values()) == {1}
    again = {number for number, counts in begun(folder).items() if counts.total() > 1}
    assert again <= before
    assert trainings(folder) - len(record.trials()) <= 2  # what the two workers were training


@pytest.mark.parametrize("further", [0, 3, 99])
def test_looks_that_are_allowed_more_later_end_as_if_they_had_been_at_once(
    further: int, made_up: MadeUp
) -> None:
    short = validate(StudyConfig, raw_study(trainings=14), "made-up")
    lacking = course_of(made_up(short, scores), short).lacking
    assert lacking > 0
    later = 14 + lacking + further
    more = resumed(short, lambda: False, trainings=later)
    grown = made_up(more, scores)
    at_once = validate(
        StudyConfig, {**raw_study(trainings=later), "name": "at-once-confirm"}, "made-up"
    )
    whole = made_up(at_once, scores)
    found, expected = course_of(grown, more), course_of(whole, at_once)
    assert found.finished
    assert len(grown.trials()) >= 14 + lacking
    assert (decisions(found), found.due, found.lacking) == (
        decisions(expected), expected.due, expected.lacking
    )  # fmt: skip
    columns = ["number", "arm", "seed", "state", "score"]
    assert grown.trials()[columns].equals(whole.trials()[columns])
