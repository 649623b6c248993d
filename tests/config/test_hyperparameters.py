from typing import Annotated

import pytest
from pydantic import ValidationError, create_model

from normsearch.config import Arm, NumberSpace, Point, SpaceConfig, TrialConfig
from normsearch.config.hyperparameters import (
    HYPERPARAMETERS,
    Hyperparameters,
    Offered,
    Required,
    fields_of_a_space,
)
from normsearch.config.study import OF_NETWORK, OF_TRAINING, OF_TRIAL
from normsearch.space.choice import Choice
from normsearch.storage.records import StudyRecord


@pytest.mark.parametrize(
    "record", [SpaceConfig, Point, Arm, Choice], ids=lambda kind: kind.__name__
)
def test_every_record_holds_every_hyperparameter(record: type) -> None:
    assert set(HYPERPARAMETERS) <= set(record.model_fields)  # type: ignore[attr-defined]


def test_a_trial_holds_those_that_neither_training_nor_network_say() -> None:
    assert {*OF_TRAINING, *OF_NETWORK, *OF_TRIAL} == set(HYPERPARAMETERS)
    assert set(HYPERPARAMETERS) & TrialConfig.model_fields.keys() == set(OF_TRIAL)
    given = {"study": "a", "number": 0, "network": {}, "training": {}, "norm_map": {}}
    assert TrialConfig(**given, learning_rate=0.1, batch_size=2).affine is True
    with pytest.raises(ValidationError, match="weight_decay"):
        TrialConfig(**given, learning_rate=0.1, batch_size=2, weight_decay=0.1)
    with pytest.raises(ValidationError, match="learning_rate"):
        TrialConfig(**given, learning_rate=-0.1, batch_size=2)


def test_a_made_up_hyperparameter_is_one_field() -> None:
    class More(Hyperparameters):
        dropout: Annotated[float | None, Offered(NumberSpace)] = None

    space = create_model("Space", **fields_of_a_space(More))
    found = space.model_validate({"learning_rate": 0.1, "batch_size": 2, "dropout": [0, 0.5]})
    assert found.dropout.choices == (0, 0.5)  # type: ignore[attr-defined]
    assert More(dropout=0.5).given(More.model_fields) == {"dropout": 0.5}


def test_a_space_must_offer_what_a_training_needs() -> None:
    needed = {name for name, field in Required.model_fields.items() if field.is_required()}
    offered = {name for name, field in SpaceConfig.model_fields.items() if field.is_required()}
    assert offered == {"norm"} | needed


def test_tables_of_trials_have_a_column_each() -> None:
    record = StudyRecord.__new__(StudyRecord)
    record.frozen = list  # type: ignore[method-assign]
    assert set(HYPERPARAMETERS) <= set(record.trials().columns)
