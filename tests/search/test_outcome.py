"""What a search with a race says: the recommended configuration, everywhere the same."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from normsearch.analysis import report
from normsearch.analysis.report import contents
from normsearch.cli.best import _show
from normsearch.cli.progress import Progress
from normsearch.cli.running import _setting, _tell_best
from normsearch.cli.status import _tables, status_of
from normsearch.config import TrialConfig
from normsearch.confirmation.plan import plan_confirmation
from normsearch.errors import TrainingError
from normsearch.run import Run
from normsearch.search.jobs import Event
from normsearch.search.local_executor import run_local
from normsearch.search.outcome import best_of
from normsearch.storage.records import StudyRecord
from normsearch.storage.run_folder import write_study
from normsearch.storage.run_list import list_runs
from tests.search.racer import STUDY, coordinator_of, trainer


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


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes nearly all of a report's time."""
    monkeypatch.setattr(report, "_figures", lambda study, prefix="": [])


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
    assert found["posterior"]["low"] < found["posterior"]["mean"] < found["posterior"]["high"]
    assert found["posterior"] == record.estimate(best)
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
    assert f"expects {found['posterior']['mean']:.3f} of it over further seeds" in out
    highest = found["highest_single_training"]
    assert f"a single training is {highest['score']:.3f}, of trial {highest['number']}." in out
    *_, last = _tables(status_of(record), "Dice", None)
    assert f"Best Dice {found['score']:.3f} ({told}), trial {found['number']} (bold)" in last
    assert "race, highest single Dice" in (folder / "summary").read_text()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"score": 0.7}, "The single norm's score is better, but the race ranks by a posterior"),
        ({"score": 0.7, "direction": "minimize"}, ", lower is better."),
        ({"number": 2}, "It has IN in every slot; no mixture of norms was better."),
        ({"number": 2, "mixtures": 0}, "It has IN in every slot; no mixture of norms was tried."),
        ({"untrained": ["LN", "SN"]}, "Not trained as single norms: LN, SN."),
    ],
)
def test_the_end_of_a_search_is_told(
    changes: dict[str, Any], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    best = {"number": 7, "score": 0.9, "learning_rate": 0.1, "batch_size": 2}
    single = {**best, "number": 2, "norm": "IN", "score": 0.8}
    about = {"best_single_norm": single, "mixtures": 3, "untrained": [], "direction": "maximize"}
    _tell_best({**best, **about, **changes}, "Dice")
    out = capsys.readouterr().out
    assert expected in out
    assert ("posterior" in out) == (changes == {"score": 0.7})


def test_single_norms_that_wait_are_named_and_count_as_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STUDY["search"], "trials", 3)
    folder = tmp_path / "raced"
    coordinator = coordinator_of(folder)
    write_study(folder, coordinator.config)
    run_local(coordinator, None, trainer)
    record = StudyRecord(folder)
    found = best_of(record)
    assert found is not None
    assert record.shares() == {"default": 2, "tuning": 0, "mixtures": 0}
    assert len(found["untrained"]) == 4 - 2
    assert found["mixtures"] == 0


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
    space = plan_confirmation(record).config.space
    kinds = record.trials().set_index("number")["single_norm"]
    mixtures = [number for number in record.ranked() if not isinstance(kinds[number], str)]
    assert list(space.origin.mixtures) == [f"trial {n}" for n in mixtures[:3]]  # type: ignore[union-attr]
    for norm, number in record.best_single_norms().items():
        assert space.origin.trials[norm] == number  # type: ignore[union-attr]
    means = {name: record.mean_score(number) for name, number in space.origin.trials.items()}  # type: ignore[union-attr]
    assert dict(space.origin.scores) == means  # type: ignore[union-attr]
    assert not {0, *record.trials()["seed"].dropna()} & {*space.seeds}  # type: ignore[union-attr]


def told(folder: Path) -> list[tuple[int, float]]:
    """Return which trial is the best, and its score, as each reader of a run tells it."""
    record = StudyRecord(folder)
    best, shown = best_of(record), contents(record)["best"]
    status = status_of(StudyRecord(folder, skim=True))["best"]
    (run,) = list_runs(folder.parent)
    assert best is not None
    assert run.trial is not None
    assert run.best is not None
    return [
        (best["number"], round(best["score"], 4)),
        (status["number"], round(status.get("mean_score", status["score"]), 4)),
        (run.trial, round(run.best, 4)),
        (shown["number"], float(shown["score"].partition(" ")[0])),
    ]


def test_in_the_first_round_the_best_score_still_decides(tmp_path: Path) -> None:
    folder, begun = tmp_path / "raced", []

    def third(event: Event) -> None:
        if event.kind == "started" and "replicate_of" in event.record:
            begun.append(event.number)
            if len(begun) == 3:
                raise KeyboardInterrupt

    coordinator = coordinator_of(folder, listener=third)
    write_study(folder, coordinator.config)
    with pytest.raises(KeyboardInterrupt):
        run_local(coordinator, None, trainer)
    record = StudyRecord(folder)
    table = record.trials().set_index("number")
    assert not record.raced()
    assert table["state"].to_list()[-4:] == ["COMPLETE", "COMPLETE", "RUNNING", "WAITING"]
    highest = table[table["replicate_of"].isna()]["score"].astype(float)
    assert highest.idxmax() in table["replicate_of"][table["state"] == "COMPLETE"].to_list()
    assert told(folder) == [(highest.idxmax(), round(highest.max(), 4))] * 4
    assert not contents(record)["raced"]
    rows = _tables(status_of(record), "Dice", None)[0].columns[3]._cells  # type: ignore[union-attr]
    assert rows[-1] == f"trial {table['replicate_of'].iloc[-1]:.0f} again, seed 1"


def test_where_every_replicate_fails_all_tell_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def once(config: TrialConfig, data: Any, folder: Path, token: str) -> Iterator[dict[str, Any]]:
        if config.network.seed:
            raise TrainingError("no number", kind="nan")
        yield from trainer(config, data, folder, token)

    folder = tmp_path / "raced"
    coordinator = coordinator_of(folder)
    write_study(folder, coordinator.config)
    run_local(coordinator, None, once)
    record = StudyRecord(folder)
    assert record.raced()
    assert len({number for number, _ in told(folder)}) == 1
    found = best_of(record)
    assert found is not None
    lost = len(found["trainings"]) - 1
    assert f"(1 seed, {lost} more failed)" in contents(record)["best"]["score"]
    _show(found, "validation Dice")
    out = capsys.readouterr().out
    assert f"(1 seed, {lost} more failed)" in out
    assert f" 1, {lost} failed " in out
