"""The options of a training: their bounds, and which of them go together."""

from __future__ import annotations

from typing import Any

import pytest

from normsearch.config import StudyConfig
from normsearch.config.reading import validate
from normsearch.errors import ConfigError

STUDY: dict[str, Any] = {
    "name": "options",
    "task": {"data": "phantom"},
    "space": {"norm": {"choices": ["BN", "IN"]}, "learning_rate": 0.1, "batch_size": 2},
}


def study(**training: Any) -> StudyConfig:
    return validate(StudyConfig, {**STUDY, "training": training}, "s.yaml")


def test_every_option_is_off_unless_asked_for() -> None:
    training = study().training
    assert (training.warmup, training.gradient_clipping, training.ema) == (None, None, None)
    assert (training.channels_last, training.compile) == (False, False)
    assert training.cuda_graphs is False
    assert (training.class_weights, training.deep_supervision) == (None, "auto")


def test_class_weights_are_a_list_or_balanced() -> None:
    assert study(class_weights=[1, 2.5]).training.class_weights == (1, 2.5)
    assert study(class_weights="balanced").training.class_weights == "balanced"
    assert study(deep_supervision=False).training.deep_supervision is False


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"class_weights": "balance"},
            "training.class_weights: must be balanced, or a list of weig",
        ),
        ({"class_weights": 2}, "training.class_weights: must be a list"),
        ({"class_weights": [1]}, "training.class_weights"),
        ({"class_weights": [0, 0]}, "a weight above 0, got only 0"),
        ({"class_weights": [1, -1]}, "training.class_weights"),
        ({"deep_supervision": True}, "training.deep_supervision: must be auto or false, got True"),
        ({"warmup": 1}, "training.warmup"),
        ({"ema": 1.0}, "training.ema"),
        ({"gradient_clipping": 0}, "training.gradient_clipping"),
        ({"compile": True, "checkpointing": True}, "compile and checkpointing must not both be"),
        ({"cuda_graphs": True}, "cuda_graphs needs compile: true, .*, got false"),
        (
            {"cuda_graphs": True, "compile": True, "accumulate": 2},
            "cuda_graphs needs accumulate: 1, .*, got 2; use a larger batch",
        ),
        ({"ema": 0.9, "recompute_statistics": False}, "ema needs recompute_statistics: true"),
    ],
)
def test_wrong_options(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        study(**given)


def test_a_space_may_offer_the_norm_of_the_gradient() -> None:
    space = {**STUDY["space"], "gradient_clipping": [1, 12]}
    found = validate(StudyConfig, {**STUDY, "space": space}, "s.yaml").space
    assert found.gradient_clipping.choices == (1, 12)
    with pytest.raises(ConfigError, match=r"space\.gradient_clipping"):
        validate(StudyConfig, {**STUDY, "space": {**space, "gradient_clipping": [0]}}, "s.yaml")
