"""The size of a confirmation within its share, and what is told of it before it starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from normsearch.confirmation import plan
from normsearch.confirmation.plan import plan_confirmation
from normsearch.errors import StudyError
from normsearch.storage.confirm_share import confirm_share
from normsearch.storage.records import StudyRecord
from tests.confirmation.test_plan import arms_of, score, study_of
from tests.made_up_confirmation import SEARCH, changed

MadeUp = Callable[..., StudyRecord]


def budget(samples: int, confirm: float) -> dict[str, Any]:
    """A search whose confirmation may have `samples` x `confirm` samples; a training has 90."""
    return changed(SEARCH, search__trials=None, search__samples=samples, search__confirm=confirm)


@pytest.mark.parametrize(
    ("trainings", "expected"),
    [
        (10, ("fixed", 2, None, 0)),  # 4 arms; with one mixture there are 6
        (19, ("fixed", 3, None, 1)),
        (30, ("looks", 8, 30, 3)),
        (80, ("looks", 8, None, 3)),
    ],
)
def test_a_confirmation_keeps_to_its_share_of_the_samples(
    trainings: int, expected: tuple[str, int, int | None, int], made_up: MadeUp
) -> None:
    search = made_up(budget(90 * (trainings + 20), trainings / (trainings + 20)), score)
    space = arms_of(study_of(search))
    assert space.origin is not None
    assert (space.design, len(space.seeds), space.trainings, space.origin.top) == expected
    assert (space.trainings or space.size) <= trainings
    assert len(arms_of(study_of(search, top=1, seeds=7)).seeds) == 7  # as the user says
    assert len(arms_of(study_of(search, top=1, trainings=1000)).seeds) == 5


def test_what_a_share_leaves_out_is_told_and_too_small_a_one_refused(made_up: MadeUp) -> None:
    search = made_up(budget(90 * 24, 10 / 24), score)
    assert plan_confirmation(search).notes == (
        "made-up-confirm: 4 arms (IN, GN-2, BN, none) x 2 seeds, 8 trainings; compared with IN",
        "made-up-confirm: search.confirm left 900 samples, 10 trainings: 0 mixtures instead of 3, "
        "2 seeds instead of 5; --seeds 5 trains 20.",
        "made-up-confirm: With 2 seeds, 80% of studies find a difference of about 5.4 standard "
        "deviations over seeds at best (2.0 with 5).",
    )
    assert len(plan_confirmation(search, top=3, seeds=5).notes) == 1
    with pytest.raises(StudyError, match=r"made-up: .* 12 trainings at least .* left 900 samples"):
        study_of(search, top=1)
    with pytest.raises(StudyError, match=r"made-up: .* 8 trainings at least .*, and got 7; allow"):
        study_of(search, trainings=7)


def test_looks_name_what_the_fixed_design_takes_within_the_same_limit(made_up: MadeUp) -> None:
    """The share has 15 trainings, so that design fixed takes two seeds of 6 arms, not five."""
    search = made_up(budget(90 * 35, 15 / 35), score)
    for limit in ({}, {"trainings": 15}):
        fixed = arms_of(study_of(search, design="fixed", **limit)).size
        assert fixed == 12
        told = " ".join(plan_confirmation(search, design="looks", **limit).notes)
        assert (
            f"at most 15 in all, about 10 if no arm differs. --design fixed trains {fixed}." in told
        )
    freely = plan_confirmation(search, design="looks", trainings=1000)
    assert freely.notes[0].endswith("--design fixed trains 50.")
    assert arms_of(study_of(search, design="fixed", trainings=1000)).size == 50


def test_a_plan_reads_the_table_of_trials_once(
    made_up: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = made_up(budget(90 * 50, 30 / 50), score)
    calls = Counter[str]()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            calls[name] += 1
            return function(*args)

        return call

    monkeypatch.setattr(StudyRecord, "trials", counted("table", StudyRecord.trials))
    monkeypatch.setattr(plan, "confirm_share", counted("share", confirm_share))
    assert "search.confirm left 2700 samples" in " ".join(plan_confirmation(search).notes)
    assert calls == {"table": 1, "share": 1}
