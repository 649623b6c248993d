"""The course of recorded trainings: what is due, what is decided, whoever trains in what order."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from optuna.trial import TrialState

from normsearch.config import ArmsConfig, StudyConfig, TrialConfig
from normsearch.config.reading import validate
from normsearch.confirmation.comparison import confirmation
from normsearch.confirmation.look_course import Course, course, course_of
from normsearch.confirmation.look_progress import cost, progress_sentences
from normsearch.errors import ConfigError, StudyError
from normsearch.search.jobs import Event, Job
from normsearch.search.local_executor import run_local
from normsearch.storage.records import StudyRecord
from normsearch.storage.run_folder import trial_folder
from tests.confirmation.look_driver import (
    CASES,
    GAINS,
    begin,
    coordinator,
    raw_study,
    scores,
    train,
)

MadeUp = Callable[..., StudyRecord]
ROOT = Path(__file__).resolve().parents[2]


def space(**changed: Any) -> ArmsConfig:
    config = validate(StudyConfig, raw_study(**changed), "made-up")
    assert isinstance(config.space, ArmsConfig)
    return config.space


def table(gains: dict[str, float], seeds: int = 8, folds: tuple[Any, ...] = ("3",)) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    rows = []
    for arm, gain in gains.items():
        for seed in range(seeds):
            luck = gain + draw.normal(0, 0.01)
            rows += [
                (
                    arm,
                    seed,
                    fold,
                    f"{fold}-{case}",
                    0.6 + 0.01 * place + luck + draw.normal(0, 0.02),
                )
                for fold in folds
                for place, case in enumerate(CASES)
            ]
    return pd.DataFrame(rows, columns=["arm", "seed", "fold", "case", "score"])


def followed(rows: pd.DataFrame, arms: ArmsConfig, **more: Any) -> list[Course]:
    """All courses, from the first trainings to the last, seen only by what is due."""
    found = [course(rows.iloc[:0], set(), arms, **more)]
    while not found[-1].finished:
        ended = set(found[-1].due)
        there = [key in ended for key in zip(rows["seed"], rows["arm"], strict=True)]
        found.append(course(rows[there], ended, arms, **more))
        assert len(found) <= 5
    return found


def decisions(found: Course) -> dict[str, tuple[str, int]]:
    return {arm: (told, seeds) for arm, told, seeds in found.decided()}


def test_looks_add_seeds_of_open_arms_and_of_the_reference_alone() -> None:
    first, *later = followed(table(GAINS), space())
    assert first.due == tuple((seed, arm) for seed in (0, 1) for arm in GAINS)
    assert (first.judged, first.reference, list(first.decided())) == (0, None, [])
    for before, after in zip([first, *later], later, strict=False):
        assert after.due[: len(before.due)] == before.due
        added = {arm for _, arm in after.due[len(before.due) :]}
        open_arms = {arm for arm, (told, _) in decisions(after).items() if told == "open"}
        assert added == (open_arms | {"IN"} if open_arms else set())
    last = later[-1]
    assert decisions(last)["mixed"] == ("better", 3)
    assert decisions(last)["none"] == decisions(last)["other"] == ("not pursued", 2)
    assert "open" not in {told for told, _ in decisions(last).values()}
    assert last.trainings == len(last.due) < last.space.size


def test_no_look_begins_that_exceeds_the_trainings_allowed() -> None:
    rows = table(GAINS)
    whole = followed(rows, space())
    second = whole[1]  # what the looks at 2 seeds decide, and the look at 3 takes
    cut = followed(rows, space(trainings=second.trainings - 1))[-1]
    assert (cut.finished, cut.judged, cut.lacking) == (True, 2, 1)
    assert cut.due == whole[0].due
    told = decisions(second)
    assert decisions(cut) == {
        arm: ("to the end" if decision == "open" else decision, seeds)
        for arm, (decision, seeds) in told.items()
    }
    assert cost(whole[0]).most > cost(course(rows.iloc[:0], set(), cut.space)).most
    assert list(progress_sentences(cut))[1:] == [
        "Finished with 14 trainings.",
        f"The {second.trainings - 1} trainings allowed end after 2 seeds, before "
        f"{', '.join(arm for arm in told if told[arm][0] == 'open')} could be decided; the next "
        f"look takes --trainings {second.trainings}.",
    ]
    assert followed(rows, space(trainings=whole[-1].trainings))[-1].due == whole[-1].due
    with pytest.raises(ConfigError, match=r"space.trainings: must be at least 14, .* got 13"):
        space(trainings=13)


def test_a_look_waits_for_all_its_trainings_and_for_no_others() -> None:
    rows, arms = table(GAINS), space()
    first, second, *_ = followed(rows, arms)
    for left in first.due:
        assert course(rows, set(first.due) - {left}, arms).judged == 0
    early = course(rows, set(first.due), arms)  # with scores of seeds that were not due
    assert decisions(early) == decisions(second)
    assert early.due == second.due


def test_decisions_do_not_depend_on_the_order_of_arrival() -> None:
    rows, arms = table(GAINS), space()
    expected = followed(rows, arms)[-1]
    for seed in range(5):
        shuffled = rows.sample(frac=1, random_state=seed)
        found = course(shuffled, set(expected.due), arms)
        assert decisions(found) == decisions(expected)
        assert found.due == expected.due


def test_lower_is_better_in_a_minimized_metric() -> None:
    rows = table({arm: -gain for arm, gain in GAINS.items()})
    found = followed(rows, space(), direction="minimize")[-1]
    assert decisions(found) == decisions(followed(table(GAINS), space())[-1])


def test_folds_are_parts_of_one_training() -> None:
    arms = space(folds=["2", "3"])
    found = followed(table(GAINS, folds=("2", "3")), arms)
    assert found[0].trainings == 2 * len(found[0].due) == 28
    half = table(GAINS, folds=("2",))
    rows = pd.concat([half, table(GAINS, folds=("3",))[lambda part: part["arm"] != "BN"]])
    lost = course(rows, set(found[0].due), arms)  # every training of BN failed on one fold
    assert decisions(lost)["BN"] == ("not pursued", 2)


def test_a_reference_that_always_fails_is_replaced_at_the_first_look_for_good() -> None:
    rows = table(GAINS)
    rows = rows[(rows["arm"] != "IN") | (rows["seed"] >= 2)]
    found = followed(rows, space())
    assert {one.reference for one in found[1:]} == {"BN"}
    assert decisions(found[-1])["IN"] == ("not pursued", 2)
    nothing = course(rows.iloc[:0], set(found[0].due), space())
    assert nothing.finished
    assert nothing.reference is None


def test_the_cost_lies_between_what_is_due_and_the_most() -> None:
    courses = followed(table(GAINS), space())
    first = cost(courses[0])
    assert (first.due, first.most) == (14, 56)
    assert 14 < first.likely < 35
    middle, last = cost(courses[1]), cost(courses[-1])
    assert len(courses[1].due) <= middle.likely <= middle.most < 56
    assert last.due == last.most == last.likely == len(courses[-1].due)
    told = " ".join(progress_sentences(courses[1]))
    assert told.startswith("Judged after 2 seeds, against IN: not pursued: ")
    assert "none (after 2 seeds)" in told
    assert "; open: mixed. 16 trainings up to the next look, " in told
    assert f"at most {middle.most} in all, about {middle.likely} as it stands" in told
    assert " ".join(progress_sentences(courses[-1])).endswith(
        f"Finished with {last.due} trainings."
    )


def test_a_run_trains_what_is_due_and_says_what_it_decides(tmp_path: Path) -> None:
    events: list[Event] = []
    config = begin(tmp_path / "run")
    run_local(coordinator(tmp_path / "run", config, events.append), None, train)
    record = StudyRecord(tmp_path / "run")
    is_whole(record, config)
    judged = [event for event in events if event.kind == "judged"]
    assert [event.record["asked"] for event in judged][-1] == len(record.trials())
    assert judged[0].record["notes"][0].startswith("Judged after 2 seeds, against IN: ")
    assert judged[-1].record["notes"][-1].startswith("Finished with ")


def test_two_drivers_and_a_crash_come_to_the_same_decisions(tmp_path: Path) -> None:
    """Trainings of two drivers end in a random order; one driver is lost and comes back."""
    folder = tmp_path / "run"
    config = begin(folder)
    drivers = [coordinator(folder, config), coordinator(folder, config)]
    draw = random.Random(0)
    jobs: list[tuple[int, Job]] = []
    ended = 0
    while not drivers[0].done:
        for place, driver in enumerate(drivers):
            if len(jobs) < 5 and (job := driver.next_job()):
                jobs.append((place, job))
        place, job = jobs.pop(draw.randrange(len(jobs)))
        _end(drivers[place], job)
        ended += 1
        if ended == 6:  # the second driver stops without having finished its trainings
            drivers[1].close()
            jobs = [(place, job) for place, job in jobs if place == 0]
            drivers[1] = coordinator(folder, config)
    assert not jobs
    for driver in drivers:
        driver.close()
    is_whole(StudyRecord(folder), config)


def _end(driver: Any, job: Job) -> None:
    if isinstance(scores(job.config), str):
        driver.finish(job.config.number, TrialState.FAIL, reason="nan: made to fail")
        return
    for evaluation in train(job.config, None, job.folder, job.token):
        driver.report(job.config.number, evaluation)
    driver.finish(job.config.number, TrialState.COMPLETE)


def is_whole(record: StudyRecord, config: StudyConfig) -> None:
    """Every due training is there once, and decisions are those of the scores alone."""
    trials, found = record.trials(), course_of(record, config)
    assert found.finished
    there = Counter(zip(trials["seed"], trials["arm"], strict=True))
    assert there == Counter(found.due)
    assert set(trials["state"]) == {"COMPLETE", "FAIL"}
    expected = _expected(config)
    assert decisions(found) == decisions(expected)
    assert found.due == expected.due
    counts = trials[trials["state"] == "COMPLETE"].groupby("arm").size()
    assert (counts["mixed"], counts["none"], counts["other"]) == (3, 2, 2)
    assert len(trials) < config.search.trials


def _expected(config: StudyConfig) -> Course:
    rows = [
        (arm, seed, case, score)
        for arm in GAINS
        for seed in range(8)
        for case, score in _scores(arm, seed).items()
    ]
    assert isinstance(config.space, ArmsConfig)
    return followed(pd.DataFrame(rows, columns=["arm", "seed", "case", "score"]), config.space)[-1]


def _scores(arm: str, seed: int) -> dict[str, float]:
    network = {"seed": seed}
    trial = TrialConfig.model_validate({
        "study": "made-up", "number": 0, "task": {"data": "none"}, "network": network,
        "training": {"samples": 90, "evaluations": 1}, "norm_map": {}, "arm": arm,
        "learning_rate": 0.05, "batch_size": 2,
    })  # fmt: skip
    found = scores(trial)
    return {} if isinstance(found, str) else found


def test_missing_scores_of_a_finished_training_are_told(made_up: MadeUp) -> None:
    record = made_up(raw_study(), scores)
    config = validate(StudyConfig, raw_study(), "made-up")
    (trial_folder(record.folder, 3) / "cases.csv").unlink()
    with pytest.raises(StudyError, match=r"0003/cases\.csv: must hold the score of each case"):
        course_of(record, config)


def test_a_stopped_run_has_verdicts_of_decided_arms_alone(made_up: MadeUp) -> None:
    record = made_up(raw_study(), scores, trials=16)
    found = confirmation(record)
    assert not found.finished
    verdicts = found.table.set_index("arm")["verdict"]
    assert verdicts["none"] == "not pursued after 2 seeds"
    assert verdicts["mixed"] == "not finished"
    whole = confirmation(made_up(raw_study(), scores))
    assert whole.finished
    assert whole.table.set_index("arm").loc["mixed", "verdict"] == "better"


@pytest.mark.slow
def test_drivers_killed_at_any_time_lose_nothing_and_train_nothing_twice(tmp_path: Path) -> None:
    folder, draw = tmp_path / "run", random.Random(1)
    command = [sys.executable, "-m", "tests.confirmation.look_driver", str(folder)]

    def started() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, cwd=ROOT)

    drivers = [started()]
    until = time.monotonic() + 60
    while not (folder / "trials").is_dir() and time.monotonic() < until:
        time.sleep(0.1)
    drivers.append(started())
    for begun in (2, 7, 13, 16):
        until = time.monotonic() + 100
        while len(list((folder / "trials").glob("*"))) < begun and time.monotonic() < until:
            time.sleep(0.1)
        place = draw.randrange(2)
        drivers[place].kill()
        drivers[place].wait()
        drivers[place] = started()
    for driver in drivers:
        assert driver.wait(timeout=400) == 0
    is_whole(StudyRecord(folder), validate(StudyConfig, raw_study(), "made-up"))
