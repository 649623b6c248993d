"""From a search to the study that confirms it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from normsearch.config import ArmsConfig, StudyConfig, TrialConfig
from normsearch.confirmation.plan import plan_confirmation, resumed
from normsearch.errors import ConfigError, StudyError
from normsearch.search.identity import identity
from normsearch.storage.records import StudyRecord
from tests.made_up_confirmation import SEARCH, changed

MadeUp = Callable[..., StudyRecord]
SINGLE = {"none": 0.1, "BN": 0.5, "IN": 0.7, "GN-2": 0.6}


def score(trial: TrialConfig) -> dict[str, float]:
    """Baselines by their norm; others the better the later they come."""
    value = SINGLE[trial.baseline] if trial.baseline else 0.3 + trial.number / 100
    return {"v1": value, "v2": value}


def arms_of(config: StudyConfig) -> ArmsConfig:
    assert isinstance(config.space, ArmsConfig)
    return config.space


def study_of(search: StudyRecord, **how: Any) -> StudyConfig:
    return plan_confirmation(search, **how).config


def test_all_single_norms_and_the_best_others_are_the_arms(made_up: MadeUp) -> None:
    search = made_up(SEARCH, score)
    config = study_of(search, top=2, seeds=3)
    space = arms_of(config)
    assert config.name == "made-up-confirm"
    names = [arm.name for arm in space.arms]
    assert names[:6] == ["IN", "GN-2", "BN", "none", "trial 11", "trial 10"]
    assert set(names[6:]) <= {"IN at trial 11's setting", "IN at trial 10's setting"}
    assert space.origin is not None
    assert space.origin.mixtures == ("trial 11", "trial 10")
    assert space.origin.untuned == {"IN": 1, "GN-2": 1, "BN": 1, "none": 1}
    assert space.reference == "IN"
    assert (space.seeds, space.folds, space.size) == ((1, 2, 3), (), 3 * len(names))
    assert space.origin is not None
    assert space.origin.trials["trial 11"] == 11
    assert space.origin.scores["GN-2"] == pytest.approx(0.6)
    assert space.origin.study == "made-up"
    for arm in space.arms[:6]:
        number = space.origin.trials[arm.name]
        values = {"learning_rate": arm.learning_rate, "batch_size": arm.batch_size}
        assert values == search.values(number)
        if arm.name in SINGLE:
            assert arm.norm == {"*": arm.name}
            assert arm.learning_rate == 0.05
        else:
            assert arm.norm == search.norm_map(number)


def test_the_study_is_the_searchs_but_for_what_it_is_scored_on(made_up: MadeUp) -> None:
    raw = changed(SEARCH, search__time_limit=60.0, search__resources={"cpu": 2})
    search = made_up({**raw, "fingerprint": "f" * 64}, score)
    config = study_of(search, top=1, seeds=2)
    assert config.task.validation == "test"
    assert config.task.test_folds == ("3",)
    assert config.task.validation_folds is None
    assert (config.training.weight_decay, config.training.samples) == (0.001, 90)
    assert config.fingerprint == "f" * 64
    assert (config.search.time_limit, config.search.resources.cpu) == (60.0, 2)
    assert config.search.pruner.name == "none"
    assert config.search.trials == 2 * len(arms_of(config).arms)


#: Singles at a setting of their own, and mixtures that share one, that of BN, or that of IN.
MIXED = {"*": "IN", "enc1.*": "BN"}
TUNED: dict[str, Any] = {
    "search__trials": 9,
    "search__points": [
        {"norm": {"*": "IN"}, "learning_rate": 0.02, "batch_size": 2},
        {"norm": MIXED, "learning_rate": 0.02, "batch_size": 2},
        {"norm": MIXED, "learning_rate": 0.1, "batch_size": 4},
        {"norm": {"*": "BN", "enc1.*": "IN"}, "learning_rate": 0.1, "batch_size": 4},
        {"norm": {"*": "BN", "enc1.*": "GN-2"}, "learning_rate": 0.03, "batch_size": 2},
    ],
}


def tuned_score(trial: TrialConfig) -> dict[str, float]:
    """IN is best at the learning rate 0.02; the mixtures are better."""
    if len(set(trial.norm_map.values())) > 1:
        return {"v1": 0.95, "v2": 0.95 - trial.number / 1000}
    value = 0.8 if trial.learning_rate == 0.02 else SINGLE[next(iter(trial.norm_map.values()))]
    return {"v1": value, "v2": value}


def test_each_single_norm_has_its_own_best_setting_and_the_reference_the_mixtures(
    made_up: MadeUp,
) -> None:
    search = made_up(changed(SEARCH, **TUNED), tuned_score)
    space = arms_of(study_of(search, top=4))
    arms = {arm.name: arm for arm in space.arms}
    assert list(arms) == [
        *("IN", "GN-2", "BN", "none", "trial 5", "trial 6", "trial 7", "trial 8"),
        *("IN at trial 6's setting", "IN at trial 8's setting", "IN at GN-2's setting"),
    ]
    assert (arms["IN"].learning_rate, arms["IN"].batch_size) == (0.02, 2)
    assert arms["BN"].learning_rate == 0.05
    assert space.origin is not None
    assert space.origin.beside == {
        "trial 5": "IN",  # at IN's own setting
        "trial 6": "IN at trial 6's setting",
        "trial 7": "IN at trial 6's setting",  # one arm for both
        "trial 8": "IN at trial 8's setting",
        **dict.fromkeys(("GN-2", "BN", "none"), "IN at GN-2's setting"),  # all at the default
    }
    added = arms["IN at trial 6's setting"]
    assert (added.norm, added.learning_rate, added.batch_size) == ({"*": "IN"}, 0.1, 4)
    assert "IN at trial 6's setting" not in space.origin.trials


def test_what_was_chosen_at_the_end_of_its_range_is_recorded(made_up: MadeUp) -> None:
    space = arms_of(study_of(made_up(changed(SEARCH, **TUNED), tuned_score), top=4))
    assert space.origin is not None
    found = {arm: " ".join(told) for arm, told in space.origin.edges.items()}
    assert "learning rate 0.1 lies at the upper end of its range (0.01 to 0.1)" in found["trial 6"]
    assert "learning rate" not in found.get("BN", "")


def test_a_slot_in_which_a_single_norm_has_another_form_is_named(
    made_up: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = made_up(SEARCH, score)
    number = search.best_single_norms()["GN-2"]
    placed = dict.fromkeys(search.slots, "GN-2") | {"enc1.conv1.norm": "IN"}
    own = search.norm_map
    monkeypatch.setattr(search, "norm_map", lambda n: placed if n == number else own(n))
    arms = {arm.name: arm for arm in arms_of(study_of(search, top=0)).arms}
    assert arms["GN-2"].norm == {"*": "GN-2", "enc1.conv1.norm": "IN"}


def test_a_configuration_is_an_arm_once(made_up: MadeUp) -> None:
    search = made_up(SEARCH, score)
    best = search.ranked()[4]  # the first beside the four single norms
    twice = [best, *search.ranked()]
    search.ranked = lambda: twice  # type: ignore[method-assign]
    names = [arm.name for arm in arms_of(study_of(search, top=3)).arms]
    assert len(names) == len(set(names))
    assert sum(name.startswith("trial") for name in names) == 3


def test_more_than_there_are_and_none(made_up: MadeUp) -> None:
    search = made_up(SEARCH, score)
    origin = arms_of(study_of(search, top=99)).origin
    assert origin is not None
    assert len(origin.trials) == 12
    assert {arm.name for arm in arms_of(study_of(search, top=0)).arms} == set(SINGLE)


def test_what_failed_is_no_arm_and_is_told(made_up: MadeUp) -> None:
    def some_fail(trial: TrialConfig) -> dict[str, float] | str:
        return "not finite" if trial.baseline == "none" or trial.number == 11 else score(trial)

    space = arms_of(study_of(made_up(SEARCH, some_fail), top=9))
    names = [arm.name for arm in space.arms]
    assert "none" not in names
    assert "trial 11" not in names
    assert space.origin is not None
    assert space.origin.left_out == {"none": "nan: not finite"}


def test_in_a_search_without_baselines_its_own_single_norms_serve(made_up: MadeUp) -> None:
    points = [{"norm": {"*": "BN"}, "learning_rate": 0.02}, {"norm": {"*": "IN"}}]
    search = made_up(
        changed(SEARCH, search__baselines=False, search__trials=5, search__points=points), score
    )
    space = arms_of(study_of(search, top=1))
    names = [arm.name for arm in space.arms if " at " not in arm.name]
    assert set(names) == {"IN", "BN", "trial 4"}
    assert space.reference == "IN"
    assert space.arms[1].learning_rate == 0.02


def test_all_folds_in_turn_and_which_of_them_the_search_had_seen(made_up: MadeUp) -> None:
    config = study_of(made_up(SEARCH, score), top=1, seeds=2, folds=("1", "2", "3"))
    space = arms_of(config)
    assert space.folds == ("1", "2", "3")
    assert space.size == len(space.arms) * 2 * 3
    assert space.origin is not None
    assert space.origin.seen_folds == ("1", "2")


def test_looks_may_be_allowed_more_and_a_fixed_design_no_less(made_up: MadeUp) -> None:
    search = made_up(SEARCH, score)
    looks = study_of(search, trainings=30)
    assert arms_of(resumed(looks, lambda: False, trainings=31)).trainings == 31
    assert arms_of(resumed(looks, lambda: False, trainings=10**4)).trainings is None

    def close(trial: TrialConfig) -> dict[str, float]:
        luck = np.random.default_rng([trial.network.seed, len(str(trial.arm))]).normal(0, 0.02)
        return {f"c{case}": 0.5 + case / 100 + luck for case in range(6)}

    first = 2 * len(arms_of(looks).arms)
    at_first = looks.model_copy(
        update={"space": arms_of(looks).model_copy(update={"trainings": first})}
    )
    cut = made_up(at_first, close)
    assert len(cut.trials()) == first
    made_up(resumed(looks, lambda: False, trainings=10**4), close)
    assert len(cut.trials()) > first
    assert identity(resumed(looks, lambda: False, trainings=31)) == identity(looks)
    for config in (looks, study_of(search, top=0, trainings=29)):
        with pytest.raises(StudyError, match=r"must be resumed with --trainings \d+ or more"):
            resumed(config, lambda: False, trainings=19)
        assert resumed(config, lambda: True, trainings=19) == config


def test_refusals(made_up: MadeUp) -> None:
    unheld = made_up(changed(SEARCH, name="unheld", task__test_folds=[]), score)
    with pytest.raises(StudyError, match="unheld: must have held out test_folds to be confirmed"):
        study_of(unheld)
    assert arms_of(study_of(unheld, folds=("1", "2"))).folds == ("1", "2")
    mixed = changed(SEARCH, name="mixed", search__baselines=False, search__trials=2)
    with pytest.raises(
        StudyError, match=r"mixed: must have a COMPLETE single-norm network .* --tr"
    ):
        study_of(made_up(mixed, score))
    begun = made_up(changed(SEARCH, name="begun"), lambda _: "not finite", trials=1)
    with pytest.raises(
        StudyError, match=r"none; train them with `normsearch resume begun .*--trials 22`"
    ):
        study_of(begun)
    confirmed = made_up(study_of(made_up(SEARCH, score), top=1, seeds=1), score)
    with pytest.raises(StudyError, match="made-up-confirm: must be a search to be confirmed"):
        study_of(confirmed)


def test_the_reference_must_be_an_arm() -> None:
    from normsearch.config.reading import validate

    arms = [{"name": "BN", "norm": "BN", "learning_rate": 0.1, "batch_size": 2}]
    raw = {"name": "s", "task": {"data": "none"}, "space": {"arms": arms, "reference": "IN"}}
    with pytest.raises(ConfigError, match=r"space.reference: must be one of BN, got 'IN'"):
        validate(StudyConfig, raw, "s.yaml")
