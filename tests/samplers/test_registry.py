"""Samplers by name and by import path, and the errors of those that cannot be."""

import sys
from collections import Counter
from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler

from normsearch.config import SearchConfig
from normsearch.config.search import SAMPLERS
from normsearch.errors import ConfigError
from normsearch.samplers.evolution import AgeingEvolution, OnePointGenetic
from normsearch.samplers.fixed import FixedParametersSampler, GridSampler
from normsearch.samplers.registry import build_sampler, how_drawn
from tests.space.test_layered import space

FINITE = {"learning_rate": [0.1], "batch_size": [2, 4], "per": "network"}


def built(name: str, **arguments: Any) -> BaseSampler:
    config = SearchConfig(sampler=name, sampler_arguments=arguments)
    return build_sampler(config, space("BN", "IN", **FINITE), seed=3)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("tpe", TPESampler),
        ("random", RandomSampler),
        ("grid", GridSampler),
        ("genetic", NSGAIISampler),
        ("evonms", OnePointGenetic),
        ("evolution", AgeingEvolution),
        ("optuna.samplers:QMCSampler", QMCSampler),
    ],
)
def test_names_and_paths(name: str, kind: type[BaseSampler]) -> None:
    assert type(built(name)) is kind


def test_arguments_reach_the_constructor() -> None:
    sampler = built("optuna.samplers:QMCSampler", qmc_type="halton")
    assert isinstance(sampler, QMCSampler)
    assert sampler._qmc_type == "halton"
    assert sampler._seed == 3
    assert built("tpe", n_startup_trials=2)._n_startup_trials == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "grid"])
def test_the_seed_decides(name: str) -> None:
    found = space("BN", "IN", "LN", "none", per="layer")

    def draws(seed: int) -> list[dict[str, Any]]:
        sampler = build_sampler(SearchConfig(sampler=name), found, seed)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for _ in range(25):
            trial = study.ask()
            choice = found.suggest(trial)
            trial.report(choice.learning_rate, 1)
            study.tell(trial, choice.learning_rate)
        return [trial.params for trial in study.trials]

    assert draws(1) == draws(1) != draws(2)


def test_the_grid_is_every_configuration_once() -> None:
    found = space("BN", "IN", "LN", **FINITE)
    sampler = build_sampler(SearchConfig(sampler="grid"), found, seed=0)
    study = optuna.create_study(sampler=sampler)
    for _ in range(6):
        trial = study.ask()
        found.suggest(trial)
        study.tell(trial, 0.0)
    seen = Counter(tuple(trial.params.values()) for trial in study.trials)
    assert set(seen.values()) == {1}
    assert len(seen) == found.size == 6


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (
            "no.such:Thing",
            {},
            r"search\.sampler: no\.such:Thing: must name a module that is installed or lies",
        ),
        (
            "optuna.samplers:TPE_Sampler",
            {},
            r"must name something in optuna\.samplers, got 'TPE_Sampler'\. .* 'TPESampler'\?$",
        ),
        ("math:pi", {}, r"search\.sampler: must be a class of Optuna samplers, got math:pi \(3\.1"),
        ("tpe", {"ganma": 1}, r"search\.sampler_arguments: tpe takes .*, got 'ganma'\. .* 'gamma'"),
        ("evolution", {"tournament": 90}, "evolution refuses them: .*tournament must be from 1 to"),
        ("evonms", {"population": 1}, "evonms refuses them: .*population must be 2 or more"),
    ],
)
def test_what_cannot_be_built(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        built(name, **arguments)


def test_grid_refuses_a_range() -> None:
    with pytest.raises(ConfigError, match="grid needs choices for everything, and learning_rate"):
        build_sampler(SearchConfig(sampler="grid"), space("BN", "IN"), seed=0)


def test_a_class_of_one_objective_refuses_several() -> None:
    path = "normsearch.samplers.gp_sampler:GaussianProcessSampler"
    config = SearchConfig(sampler=path, objectives=("score", "seconds"), pruner="none")
    with pytest.raises(ConfigError, match=rf"must support several .* \(score, seconds\).*{path}"):
        build_sampler(config, space("BN", "IN", **FINITE), seed=0)


def test_optunahub_by_path(monkeypatch: pytest.MonkeyPatch) -> None:
    git = pytest.importorskip("git", reason="needs the extra optunahub")
    packages = {"samplers/own": optuna.samplers}

    def fetch(name: str) -> Any:
        if name not in packages:
            raise git.exc.GitCommandError("fetch", 128)
        return packages[name]

    monkeypatch.setattr("optunahub.load_module", fetch)
    assert isinstance(built("optunahub:samplers/own:RandomSampler"), RandomSampler)
    with pytest.raises(ConfigError, match=r"must be optunahub:samplers/PACKAGE:CLASS, got"):
        built("optunahub:samplers/own:Nothing")
    with pytest.raises(ConfigError, match="got samplers/none:X: Cmd"):
        built("optunahub:samplers/none:X")
    monkeypatch.setitem(sys.modules, "optunahub", None)
    with pytest.raises(ConfigError, match=r"pip install normsearch\[optunahub\]"):
        built("optunahub:samplers/own:RandomSampler")


@pytest.mark.parametrize(
    ("name", "arguments", "drawn"),
    [
        ("random", {}, ["uniform"] * 6),
        ("optuna.samplers:QMCSampler", {}, ["uniform"] * 6),
        ("grid", {}, ["grid"] * 4),
        ("gp", {"startup": 4}, ["uniform"] * 4 + ["adaptive"] * 2),
        ("evolution", {"population": 4, "tournament": 2}, ["uniform"] * 4 + ["adaptive"] * 2),
        ("tpe", {}, ["adaptive"] * 6),
    ],
)
def test_how_the_choices_of_a_trial_came_about(
    name: str, arguments: dict[str, Any], drawn: list[str]
) -> None:
    found = space("BN", "IN", **FINITE)
    sampler = build_sampler(SearchConfig(sampler=name, sampler_arguments=arguments), found, seed=3)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    told = []
    for number in range(len(drawn)):
        trial = study.ask()
        found.suggest(trial)
        told.append(how_drawn(sampler, trial))
        trial.report(float(number), 1)
        study.tell(trial, float(number))
    assert told == drawn
    study.enqueue_trial(study.trials[0].params)
    given = study.ask()
    found.suggest(given)
    assert how_drawn(sampler, given) == "given"
    assert how_drawn(FixedParametersSampler(given.params), study.ask()) == "given"
