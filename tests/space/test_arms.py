"""Fixed trainings: every arm with every seed, once, and nothing else."""

import pytest

from normsearch.config import ArmsConfig, StudyConfig, TrainingConfig
from normsearch.config.reading import validate
from normsearch.errors import ConfigError
from normsearch.networks import build_network, list_norms
from normsearch.space.arms import ArmsSpace

ARMS = [
    {"name": "BN", "norm": "BN", "learning_rate": 0.1, "batch_size": 2},
    {
        "name": "mixed",
        "norm": {"*": "IN", "enc1.*": "LN"},
        "learning_rate": 0.2,
        "batch_size": 1,
        "training": {"schedule": "constant"},
    },
]
SLOTS = list_norms(
    build_network("unet2d", in_channels=1, out_channels=1, first_channels=4, depth=2)
)


def study(**space):
    return {"name": "s", "task": {"data": "phantom"}, "space": {"arms": ARMS, **space}}


class Answers:
    """Stands in for an Optuna trial: answers with given parameters."""

    def __init__(self, parameters):
        self.parameters = parameters

    def suggest_categorical(self, name, choices):
        assert self.parameters[name] in choices
        return self.parameters[name]


def every(space):
    past = []
    while (found := space.unseen(past)) is not None:
        past.append(found)
    return past


def test_every_arm_with_every_seed_once_the_arms_of_a_seed_together():
    space = ArmsSpace(ArmsConfig(arms=ARMS, seeds=2), SLOTS, "")
    expected = [(0, "BN"), (0, "mixed"), (1, "BN"), (1, "mixed")]
    assert [(p["seed"], p["arm"]) for p in every(space)] == expected
    assert space.size == 4


def test_folds_multiply():
    space = ArmsSpace(ArmsConfig(arms=ARMS, seeds=[7], folds=[1, 2, 3]), SLOTS, "")
    assert [(p["fold"], p["arm"]) for p in every(space)][:3] == [
        ("1", "BN"),
        ("1", "mixed"),
        ("2", "BN"),
    ]
    assert len(every(space)) == space.size == 6


def test_an_arm_says_all_of_its_training():
    space = ArmsSpace(ArmsConfig(arms=ARMS, seeds=[3], folds=["2"]), SLOTS, "")
    choice = space.suggest(Answers({"arm": "mixed", "seed": 3, "fold": "2"}))
    config = StudyConfig.model_validate(study())
    training = choice.training(config.training)
    assert (training.schedule, training.data_seed, training.augmentation_seed) == ("constant", 3, 3)
    assert choice.network(config.network).seed == 3
    assert choice.task(config.task).test_folds == ("2",)
    assert choice.norm_map["enc1.conv1.norm"] == "LN"
    assert choice.norm_map["dec1.conv1.norm"] == "IN"
    assert choice.values == {
        "learning_rate": 0.2, "batch_size": 1, "arm": "mixed", "seed": 3, "fold": "2",
    }  # fmt: skip
    unchanged = space.suggest(Answers({"arm": "BN", "seed": 3, "fold": "2"}))
    assert unchanged.training(TrainingConfig()).schedule == "cosine"


def test_a_study_of_arms_is_not_searched():
    found = StudyConfig.model_validate(study(seeds=3))
    assert found.search.trials == 6
    assert (found.search.sampler, found.search.pruner.name, found.search.baselines) == (
        "grid",
        "none",
        False,
    )
    assert StudyConfig.model_validate(found.model_dump()) == found


@pytest.mark.parametrize(
    ("space", "search", "message"),
    [
        ({}, {"trials": 9}, r"search.trials: must be left out for arms, got 9"),
        ({}, {"sampler": "tpe"}, r"search.sampler: must be left out for arms, got tpe"),
        ({}, {"race": 0.2}, r"search.race: must be left out for arms, got 0.2"),
        ({"seeds": []}, {}, r"space.seeds: "),
        ({"seeds": [1, 1]}, {}, r"space.seeds: must name each once, got 1 2 times"),
        ({"arms": [*ARMS, ARMS[0]]}, {}, r"space.arms: must name each once, got 'BN' 2 times"),
        (
            {"arms": [{**ARMS[0], "norm": "INN"}]},
            {},
            r"space.arms\[0\].norm\[\*\]: .*Did you mean 'IN'",
        ),
        ({"arms": [{**ARMS[0], "training": {"schedule": "cosin"}}]}, {}, r"cosin"),
    ],
)
def test_faults_are_told(space, search, message):
    with pytest.raises(ConfigError, match=message):
        validate(StudyConfig, {**study(**space), "search": search}, "s.yaml")


def test_a_slot_without_a_norm_is_refused():
    arms = [{**ARMS[0], "norm": {"enc*": "BN"}}]
    with pytest.raises(ConfigError, match=r"arms\[0\].norm: must give every slot a norm, and bott"):
        ArmsSpace(ArmsConfig(arms=arms), SLOTS, "")


def test_only_arms_may_be_scored_on_the_test_folds():
    task = {"data": "phantom", "validation": "test", "test_folds": ["a"]}
    assert validate(StudyConfig, {**study(), "task": task}, "s.yaml").task.validation == "test"
    searched = {"norm": {"choices": ["BN"]}, "learning_rate": 0.1, "batch_size": 2}
    with pytest.raises(ConfigError, match="must not be test in a search"):
        validate(StudyConfig, {"name": "s", "task": task, "space": searched}, "s.yaml")
