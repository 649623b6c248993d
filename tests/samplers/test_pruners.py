"""Pruners by name: the settings reach Optuna's, and each stops what it should."""

import optuna
import pytest
from optuna.pruners import (
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
    SuccessiveHalvingPruner,
)

from normsearch.config import PrunerConfig
from normsearch.config.search import PRUNERS
from normsearch.samplers.pruners import build_pruner

KINDS = {
    "successive_halving": SuccessiveHalvingPruner,
    "hyperband": HyperbandPruner,
    "median": MedianPruner,
    "patient": PatientPruner,
    "none": NopPruner,
}


def test_every_name_has_its_pruner() -> None:
    assert KINDS.keys() == PRUNERS.keys()
    for name, kind in KINDS.items():
        assert type(build_pruner(PrunerConfig.model_validate({"name": name}), 9)) is kind


def pruned(config: dict[str, object], curves: list[list[float]]) -> list[int | None]:
    """Return the evaluation point at which each curve is stopped, None if it is not."""
    pruner = build_pruner(PrunerConfig.model_validate(config), len(curves[0]))
    study = optuna.create_study(direction="maximize", pruner=pruner)
    stopped: list[int | None] = []
    for curve in curves:
        trial = study.ask()
        at = None
        for step, value in enumerate(curve, 1):
            trial.report(value, step)
            if step < len(curve) and trial.should_prune():
                at = step
                break
        study.tell(trial, None if at else curve[-1], state=None if not at else PRUNED)
        stopped.append(at)
    return stopped


PRUNED = optuna.trial.TrialState.PRUNED


def test_halving_stops_below_the_best_third_at_its_rungs() -> None:
    curves = [[0.5] * 9, [0.6] * 9, [0.9] * 9, [0.4] * 9]
    config = {"name": "successive_halving", "min_resource": 1, "reduction_factor": 3}
    assert pruned(config, curves)[3] == 1


def test_median_waits_for_startup_and_warmup() -> None:
    curves = [[0.5] * 6, [0.6] * 6, [0.7] * 6, [0.1] * 6]
    assert pruned({"name": "median", "startup_trials": 3}, curves)[3] == 1
    assert pruned({"name": "median", "startup_trials": 4}, curves)[3] is None
    assert pruned({"name": "median", "startup_trials": 3, "warmup": 3}, curves)[3] == 4


def test_patient_asks_only_once_the_curve_falls() -> None:
    curves = [[0.5] * 6, [0.6] * 6, [0.1, 0.2, 0.3, 0.2, 0.2, 0.2], [0.1] * 6]
    wrapped = {"name": "median", "startup_trials": 2}
    assert pruned(wrapped, curves)[2:] == [1, 1]
    assert pruned({"name": "patient", "patience": 1, "wrapped": wrapped}, curves)[2:] == [5, None]
    patient = {"name": "patient", "patience": 1, "min_delta": 0.2, "wrapped": wrapped}
    assert pruned(patient, curves)[2:] == [None, None]
    assert pruned({"name": "patient", "patience": 1}, curves)[2:] == [5, None]  # wraps nothing


@pytest.mark.parametrize(("evaluations", "brackets"), [(2, 1), (9, 3), (30, 4)])
def test_hyperband_has_brackets_up_to_the_last_point(evaluations: int, brackets: int) -> None:
    pruner = build_pruner(PrunerConfig(name="hyperband", min_resource=1), evaluations)
    study = optuna.create_study(pruner=pruner)
    trial = study.ask()
    trial.report(0.5, 1)
    trial.should_prune()
    assert isinstance(pruner, HyperbandPruner)
    assert pruner._n_brackets == brackets
