"""The reference of the YAML files is generated from the models, and every field has a text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import normsearch.config as config
from normsearch.config import Model
from normsearch.config.reference import reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference.md"


def models() -> Iterator[type[Model]]:
    for name in config.__all__:
        found = getattr(config, name)
        if isinstance(found, type) and issubclass(found, Model) and found is not Model:
            yield found


def test_the_page_is_that_of_the_models() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), (
        "must be what the models say: python -m normsearch.config.reference > docs/reference.md"
    )


@pytest.mark.parametrize("model", list(models()), ids=lambda model: model.__name__)
def test_every_field_is_described(model: type[Model]) -> None:
    assert model.model_fields
    assert [name for name, field in model.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    "row",
    [
        "| `warm_start_top` | `5` | integer above 0 up to 1000000 | How many of them. |",
        "| `momentum` | `0.9` | number from 0 below 1 | Momentum of sgd. |",
        "| `seed` | `0` | integer from 0 up to 4294967295 | Seed of the sampler. |",
        "| `flip` |  | list of `z`, `y`, `x` | Axes to flip at random, of z, y and x. |",
    ],
)
def test_a_row_says_default_and_bounds(row: str) -> None:
    assert row in reference()


def test_a_space_of_each_kind_has_a_section() -> None:
    for title in ("## space\n", "## space: fixed trainings\n", "## space: a Python function\n"):
        assert reference().count(title) == 1
