"""What a search with a race says: the recommended configuration, everywhere the same."""

import json
from pathlib import Path

import pytest

from normsearch.analysis.report import contents
from normsearch.cli.best import _show
from normsearch.cli.progress import Progress
from normsearch.cli.running import _setting
from normsearch.cli.status import _tables, status_of
from normsearch.confirmation.plan import confirm_study
from normsearch.run import Run
from normsearch.search.local_executor import run_local
from normsearch.search.outcome import best_of
from normsearch.storage.records import StudyRecord
from normsearch.storage.run_folder import write_study
from normsearch.storage.run_list import list_runs
from tests.search.racer import coordinator_of, trainer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run of a search of 11 trials with a race of 7."""
    place = tmp_path_factory.mktemp("runs") / "raced"
    shown: list[Progress] = []
    coordinator = coordinator_of(place, listener=lambda event: [one(event) for one in shown])
    shown.append(Progress(coordinator.config))
    write_study(place, coordinator.config)
    run_local(coordinator, None, trainer)
    (place / "summary").write_text(shown[0].summary())
    return place


@pytest.fixture
def record(folder: Path) -> StudyRecord:
    return StudyRecord(folder)


def test_the_recommended_one_was_raced_and_its_score_is_the_mean(
    record: StudyRecord,
) -> None:
    table, best = record.trials().set_index("number"), record.best
    assert best is not None
    again = table[table["replicate_of"] == best]
    scores = [table["score"][best], *again["score"]]
    assert len(scores) >= 2
    found = best_of(record)
    assert found is not None
    assert found["number"] == best
    assert found["score"] == pytest.approx(sum(scores) / len(scores))
    assert [one["score"] for one in found["trainings"]] == scores
    assert [one["seed"] for one in found["trainings"]] == [None, *again["seed"]]
    assert found["highest_single_training"]["score"] == table["score"].max()
    assert found["highest_single_training"]["number"] == table["score"].astype(float).idxmax()
    assert "seed" not in found
    assert record.pareto_front() == [best]
    assert len(found["best_single_norm"]["trainings"]) >= 2  # it was in the first round


def test_ranked_has_each_configuration_once(record: StudyRecord) -> None:
    table = record.trials().set_index("number")
    assert not table["replicate_of"][record.ranked()].notna().any()
    assert len(record.ranked()) == 11


def test_readers_of_outcomes_only_agree(folder: Path, record: StudyRecord) -> None:
    skimmed = StudyRecord(folder, skim=True)
    assert skimmed.best == record.best
    assert skimmed.ranked() == record.ranked()
    (run,) = list_runs(folder.parent)
    best = best_of(record)
    assert best is not None
    assert (run.trial, run.best) == (best["number"], best["score"])
    status = status_of(skimmed)["best"]
    assert (status["number"], status["mean_score"]) == (best["number"], best["score"])
    assert status["trainings"] == best["trainings"]


def test_the_command_line_says_what_a_score_is_the_mean_of(
    record: StudyRecord, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = best_of(record)
    assert found is not None
    ends = sorted(one["score"] for one in found["trainings"])
    told = f"mean of {len(ends)} seeds, {ends[0]:.3f} to {ends[-1]:.3f}"
    assert told in _setting(found)
    _show(found, "validation Dice")
    out = capsys.readouterr().out
    assert f"Dice {found['score']:.3f} ({told})" in out
    highest = found["highest_single_training"]
    assert f"a single training is {highest['score']:.3f}, of trial {highest['number']}." in out
    *_, last = _tables(status_of(record), "Dice", None)
    assert f"Best Dice {found['score']:.3f} ({told}), trial {found['number']} (bold)" in last
    assert "race, highest single Dice" in (folder / "summary").read_text()


def test_the_report_shows_the_recommended_one(record: StudyRecord) -> None:
    shown = contents(record)
    best = best_of(record)
    assert best is not None
    assert shown["raced"]
    assert shown["best"]["number"] == best["number"]
    score, _, told = shown["best"]["score"].partition(" ")
    assert float(score) == pytest.approx(best["score"], abs=6e-5)
    assert told.startswith(f"(mean of {len(best['trainings'])} seeds, ")
    assert shown["single"]["number"] == best["best_single_norm"]["number"]
    assert [row["number"] for row in shown["top"]] == record.ranked()[:10]
    json.dumps(shown["single_norms"])


def test_export_and_confirm_take_the_recommended_one(folder: Path, record: StudyRecord) -> None:
    run = Run.open(folder)
    assert run._trial_or_best(record, None) == record.best
    space = confirm_study(record).space
    kinds = record.trials().set_index("number")["single_norm"]
    mixtures = [number for number in record.ranked() if not isinstance(kinds[number], str)]
    assert list(space.origin.mixtures) == [f"trial {n}" for n in mixtures[:3]]  # type: ignore[union-attr]
    for norm, number in record.best_single_norms().items():
        assert space.origin.trials[norm] == number  # type: ignore[union-attr]
