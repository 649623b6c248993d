"""A search that minimizes a score equals one that maximizes its negative."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from normsearch.cli.progress import Progress
from normsearch.config import TrialConfig
from normsearch.search.coordinator import Coordinator
from normsearch.search.identity import identity
from normsearch.search.jobs import Event
from normsearch.search.local_executor import run_local
from normsearch.search.outcome import best_of
from normsearch.storage.records import StudyRecord
from normsearch.storage.run_folder import write_study
from tests.made_up_search import trainer

Maker = Callable[..., Coordinator]
SHARED = {"task", "network", "training", "space", "fingerprint", "sample_shape"}
LESS = {"name": "mine:wrong_voxels", "direction": "minimize"}


def negated(config: TrialConfig, data: Any, folder: Path, token: str) -> Iterator[dict[str, Any]]:
    for one in trainer(config, data, folder, token):
        yield {**one, "score": -one["score"]}


@pytest.mark.parametrize(
    "search",
    [
        {"sampler": "gp"},
        {"sampler": "gp", "race": 0.4},
        {"sampler": "tpe", "pruner": "median"},
        {"sampler": "evolution", "sampler_arguments": {"population": 5, "tournament": 3}},
        {"sampler": "evonms", "sampler_arguments": {"population": 5}, "pruner": "none"},
        {"sampler": "genetic", "objectives": ["score", "seconds"], "pruner": "none"},
    ],
    ids=lambda search: search["sampler"],
)
def test_the_mirror_image(search: dict[str, Any], study: Maker, tmp_path: Path) -> None:
    first = study(18, search)
    write_study(tmp_path / "run", first.config)
    run_local(first, None, trainer)
    (tmp_path / "run").rename(tmp_path / "more")
    second = study(18, search, metric=LESS)
    write_study(tmp_path / "run", second.config)
    run_local(second, None, negated)
    more, less = StudyRecord(tmp_path / "more"), StudyRecord(tmp_path / "run")
    assert (less.metric, less.direction) == ("wrong voxels", "minimize")
    same = [name for name in more.trials() if name not in ("score", "last_score")]
    assert less.trials()[same].equals(more.trials()[same])
    assert less.trials()["score"].dropna().tolist() == (-more.trials()["score"].dropna()).tolist()
    assert less.ranked() == more.ranked()
    assert less.best_single_norms() == more.best_single_norms()
    assert less.pareto_front() == more.pareto_front()
    found, other = best_of(less), best_of(more)
    assert found is not None
    assert other is not None
    assert (found["metric"], found["direction"]) == ("wrong voxels", "minimize")
    assert (found["best_mixture"] is None) == (other["best_mixture"] is None)
    if found["best_mixture"] is not None:
        assert found["best_mixture"]["number"] == other["best_mixture"]["number"]
    assert [one["number"] for one in found["pareto_front"]] == [
        one["number"] for one in other["pareto_front"]
    ]


@pytest.mark.parametrize(("most", "complete"), [(1.0, 3), (None, 3), (0.2, 0)])
def test_a_score_beyond_the_stated_range_fails(
    most: float | None, complete: int, study: Maker, tmp_path: Path
) -> None:
    coordinator = study(3, {"pruner": "none"}, metric={**LESS, "range": [0, most]})
    write_study(tmp_path / "run", coordinator.config)
    run_local(coordinator, None, trainer)
    table = StudyRecord(tmp_path / "run").trials()
    assert (table["state"] == "COMPLETE").sum() == complete
    for reason in table["failure"].dropna():
        assert reason.startswith("every score must be within training.metric.range, 0 to 0.2, and")


def test_progress_tells_the_lowest(study: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    config = study(3, metric=LESS).config
    progress = Progress(config)
    for number, score in enumerate((0.5, 0.2, 0.9)):
        progress._count(number, "COMPLETE", score)
    assert "best wrong voxels 0.200 (trial 1)" in progress.summary()


def test_progress_counts_against_the_new_total(
    study: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress(study(3).config)
    done = [(number, "COMPLETE", 0.5) for number in range(3)]
    progress(Event("began", -1, {"trials": done, "asked": 5, "metric": "loss"}))
    assert "3/5 done" in progress.summary()
    progress(Event("finished", 3, {"state": "COMPLETE", "score": 0.25}))
    assert "trial 3 COMPLETE, loss 0.250" in capsys.readouterr().err


def test_progress_counts_no_trial_above_a_constraint_as_the_best(
    study: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress(study(3).config)
    done = [(0, "COMPLETE", 0.5), (1, "COMPLETE", math.nan)]  # the second exceeds one
    progress(Event("began", -1, {"trials": done, "asked": 3, "metric": "Dice"}))
    over = {"state": "COMPLETE", "score": 0.75, "exceeded": ["seam"]}
    progress(Event("finished", 2, over))
    told = capsys.readouterr().err
    assert "trial 2 COMPLETE, Dice 0.750, exceeds search.constraints.seam" in told
    assert "3/3 done" in progress.summary()
    assert "best Dice 0.500 (trial 0)" in progress.summary()


def test_progress_names_the_metric_that_the_data_decide(
    study: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress(study(3).config)  # before the data were read: Dice
    progress(Event("began", -1, {"trials": [], "asked": 3, "metric": "accuracy"}))
    progress(Event("finished", 0, {"state": "COMPLETE", "score": 0.5}))
    assert "trial 0 COMPLETE, accuracy 0.500" in capsys.readouterr().err


def test_runs_of_before_there_was_a_choice_have_the_same_identity(
    study: Maker, tmp_path: Path
) -> None:
    config = study(3).config
    facts = config.model_dump(mode="json", include=SHARED)
    del facts["task"]["data"], facts["task"]["augmentation"]["transforms"]
    later = ("metric", "class_weights", "deep_supervision", "channels_last", "compile")
    for name in (*later, "cuda_graphs", "warmup", "gradient_clipping", "ema"):
        del facts["training"][name]
    del facts["space"]["gradient_clipping"]
    of_patches = ("foreground_share", "memory", "validation_cases", "folds")
    for later in ("spacing", "foreground_intensities", *of_patches):
        assert facts["task"].pop(later) is None
    text = json.dumps(facts, sort_keys=True)
    assert identity(config) == hashlib.sha256(text.encode()).hexdigest()
    (tmp_path / "run").rename(tmp_path / "more")
    less = study(3, metric=LESS).config
    ranged = less.training.changed({"metric": {**LESS, "range": [0, 9]}})
    assert identity(less.model_copy(update={"training": ranged})) == identity(less)
    (tmp_path / "run").rename(tmp_path / "less")
    assert identity(study(3, metric=LESS).config) != identity(config)
