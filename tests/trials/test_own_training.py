"""A training loop of the user's own is searched, pruned, resumed and confirmed as ours is."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from torch import nn

import normsearch
from normsearch.data import Split
from normsearch.errors import ConfigError, StudyError
from normsearch.networks import UNet2d, apply_norm_map
from normsearch.search.jobs import trial_config
from normsearch.space.choice import Choice
from normsearch.trials.own_training import train_own

SPACE = {
    "norm": {"choices": ["none", "BN", "IN", "BIN"]},
    "learning_rate": {"low": 0.01, "high": 0.2, "default": 0.1},
    "batch_size": [2],
}
TRAINING = {"samples": 36, "evaluations": 3}


def squares(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    label = np.zeros((count, 1, 16, 16), np.float32)
    label[:, :, 4:12, 4:12] = 1
    image = label + random.normal(0, 0.3, label.shape)
    return torch.from_numpy(image.astype(np.float32)), torch.from_numpy(label)


def train(trial: normsearch.Trial) -> Iterator[dict[str, Any]]:
    """A plain loop that can be resumed."""
    network = trial.place_norms(UNet2d(1, 1, first_channels=4, depth=1)).to(trial.device)
    optimizer = torch.optim.SGD(trial.parameter_groups(network), lr=trial.learning_rate)
    images, labels = squares(12, trial.seed)
    start = 0
    if trial.restored:
        network.load_state_dict(trial.restored["network"])
        start = trial.restored["epoch"] + 1
    for epoch in range(start, trial.evaluations):
        for first in range(0, len(images), trial.batch_size):
            batch = slice(first, first + trial.batch_size)
            loss = nn.functional.binary_cross_entropy_with_logits(
                network(images[batch]), labels[batch]
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        subject = 100 if trial.scored_on == "test" else 0
        cases = {f"case-{subject + n}": dice(network, n + subject) for n in range(4)}
        trial.save({"network": network.state_dict(), "epoch": epoch})
        yield {"cases": cases, "loss": loss.item()}


def dice(network: nn.Module, seed: int) -> float:
    image, label = squares(1, 1000 + seed)
    with torch.no_grad():
        found = network.eval()(image).sigmoid()
    network.train()
    return float(2 * (found * label).sum() / (found.sum() + label.sum()))


def study(tmp_path: Path, **parts: Any) -> normsearch.Study:
    search = {"trials": 7, **parts.pop("search", {})}
    given = {"trainer": train, "space": SPACE, "training": TRAINING, **parts}
    return normsearch.Study("own", search=search, runs_dir=tmp_path / "runs", **given)


def test_a_loop_of_ones_own_is_searched_reported_and_confirmed(tmp_path: Path) -> None:
    found = study(tmp_path).run(executor="local")
    trials = found.trials()
    assert set(trials["state"]) <= {"COMPLETE", "PRUNED", "DUPLICATE"}
    assert len(found.record.slots) == 7
    assert list(trials["baseline"].dropna()) == ["none", "BN", "IN", "BIN"]
    assert {"case-0", "case-3"} <= set(found.record.cases()["case"])
    assert found.record.learnt(3)
    assert found.report().is_file()
    found.plot("search_history")
    with pytest.raises(StudyError, match=r"^own: export .*trial\.folder"):
        found.export(tmp_path / "model")
    assert not (tmp_path / "model").exists()
    confirmed = found.confirm(top=1, seeds=2, executor="local")
    assert confirmed.finished
    assert set(confirmed.record.cases()["case"]) == {f"case-{100 + n}" for n in range(4)}
    assert confirmed.comparison().scored_on == "test"
    assert confirmed.report().is_file()


def test_two_equal_searches_agree(tmp_path: Path) -> None:
    columns = ["state", "last_score", "learning_rate"]
    first, second = (
        study(tmp_path / name).run(executor="local").trials()[columns] for name in "ab"
    )
    assert first.equals(second)


def test_an_interrupted_trial_goes_on_from_what_it_saved(tmp_path: Path) -> None:
    config = study(tmp_path).prepare().config
    choice = Choice(norm_map={"*": "IN"}, learning_rate=0.1, batch_size=2)
    trial = trial_config(config, 0, choice, None)
    nothing = Split((), (), ())
    expected = list(train_own(trial, nothing, tmp_path / "whole"))
    begun = train_own(trial, nothing, tmp_path / "halves")
    next(begun)
    del begun
    again = list(train_own(trial, nothing, tmp_path / "halves"))
    assert [record["score"] for record in again] == [record["score"] for record in expected]
    assert [record["evaluation"] for record in again] == [1, 2, 3]


def test_ray_trains_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:  # an earlier study, of a module that no worker can import
        (tmp_path / "imported_here_alone.py").write_text("def train(trial): ...\n")
        patch.syspath_prepend(str(tmp_path))
        module = importlib.import_module("imported_here_alone")
        normsearch.Study("earlier", trainer=module.train, space=SPACE, training=TRAINING)
    found = study(
        tmp_path,
        space=SPACE | {"learning_rate": {"low": 1e-4, "high": 0.2, "default": 0.1}},
        search={"trials": 12, "pruner": {"name": "successive_halving", "min_resource": 1}},
    ).run(workers=2)
    trials, history = found.trials(), found.record.history()
    finished = trials[trials["state"].isin(["COMPLETE", "PRUNED"])]
    assert len(finished) == 12
    assert "PRUNED" in set(finished["state"])
    assert trials["number"].is_unique
    assert not history.duplicated(["number", "evaluation"]).any()
    for number, state in zip(finished["number"], finished["state"], strict=True):
        steps = list(history[history["number"] == number]["evaluation"])
        assert steps == list(range(1, len(steps) + 1))
        assert (len(steps) == 3) == (state == "COMPLETE")


def silent(trial: normsearch.Trial) -> Iterator[float]:
    yield 0.5


def failing(trial: normsearch.Trial) -> Iterator[float]:
    yield from ()
    raise OSError("no such data")


def ending(trial: normsearch.Trial) -> Iterator[float]:
    yield from ()


def leaving(trial: normsearch.Trial) -> Iterator[float]:
    sys.exit(2)
    yield 0.5


@pytest.mark.parametrize(
    ("trainer", "told"),
    [
        (silent, "must call trial.place_norms.*yielded 0.5"),
        (failing, "raised no such data"),
        (ending, "ended without"),
        (leaving, "raised SystemExit 2"),
        ("no_such_module:train", "trainer: no_such_module:train"),
        ("normsearch:__version__", "must be a function"),
    ],
)
def test_trainers_that_place_no_norms(tmp_path: Path, trainer: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        study(tmp_path, trainer=trainer).run(executor="local")
    assert not (tmp_path / "runs").exists()


def texts(trial: normsearch.Trial) -> Iterator[Any]:
    trial.place_norms(UNet2d(1, 1, first_channels=4, depth=1))
    yield "good"


def few(trial: normsearch.Trial) -> Iterator[Any]:
    trial.place_norms(UNet2d(1, 1, first_channels=4, depth=1))
    yield torch.tensor(0.5)


def test_scores_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"must yield a score.*'good'"):
        study(tmp_path, trainer=texts).run(executor="local")
    with pytest.raises(StudyError, match=r"must yield 3 scores .*ended after 1"):
        study(tmp_path / "few", trainer=few, search={"trials": 2}).run(executor="local")


YIELDED: list[Any] = []


def yields(trial: normsearch.Trial) -> Iterator[Any]:
    trial.place_norms(UNet2d(1, 1, first_channels=4, depth=1))
    yield from YIELDED
    sys.exit(0)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([0.5], r"must not end the process, and called sys\.exit \(0\)"),
        ([0.5, np.inf], "the score that .* yields must be finite, got inf"),
        ([{"score": 0.5, "loss": np.inf}], r"not finite \(inf\)"),
    ],
)
def test_trials_that_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: list[Any], told: str
) -> None:
    monkeypatch.setitem(globals(), "YIELDED", values)
    with pytest.raises(StudyError, match=f"failed, trial 0 of .*{told}"):
        study(tmp_path, trainer=yields, search={"trials": 1}).run(executor="local")


@pytest.mark.parametrize(
    ("given", "score"),
    [
        ({"cases": {"a": np.nan, "b": 0.25, "c": 0.75}}, 0.5),
        ({"score": torch.tensor(0.75), "cases": {"a": 0.5}}, 0.75),
    ],
)
def test_a_score_and_those_of_cases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: Any, score: float
) -> None:
    monkeypatch.setitem(globals(), "YIELDED", [given] * 3)
    best = study(tmp_path, trainer=yields, search={"trials": 1}).run(executor="local").best
    assert best is not None
    assert best["score"] == score


def test_a_task_is_needed_without_a_trainer() -> None:
    with pytest.raises(ConfigError, match=r"task\.data: must be given"):
        normsearch.Study("x")


def test_norms_for_a_loop_of_optuna() -> None:
    network = UNet2d(1, 1, first_channels=4, depth=1)

    def objective(trial: optuna.Trial) -> float:
        found = normsearch.suggest_norms(trial, network, SPACE)
        apply_norm_map(network, found)
        return float(sum(norm == "IN" for norm in found.values()))

    search = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    search.optimize(objective, n_trials=5)
    assert len(search.best_trial.params) == 7
    assert all(name.startswith("norm.") for name in search.best_trial.params)
