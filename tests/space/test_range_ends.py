"""Reports of numbers at an end of their range."""

import pytest

from normsearch.space.range_ends import at_edges

SPACE = {
    "learning_rate": {"low": 0.01, "high": 1.0, "log": True},
    "batch_size": {"choices": [1, 2, 4]},
    "weight_decay": {"low": 0.0, "high": 0.1, "log": False},
}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"learning_rate": 0.1, "batch_size": 2, "weight_decay": 0.05}, []),
        (
            {"learning_rate": 0.98},
            ["The learning rate 0.98 lies at the upper end of its range (0.01 to 1): search a "
             "wider one, for example high: 3."],
        ),
        ({"learning_rate": 0.7}, []),  # 8% of the range's length, in logarithms, from its end
        (
            {"learning_rate": 0.0101},
            ["The learning rate 0.0101 lies at the lower end of its range (0.01 to 1): search a "
             "wider one, for example low: 0.00333."],
        ),
        (
            {"batch_size": 4},
            ["The batch size 4 is the largest in the space (1, 2, 4): add 8 to the choices."],
        ),
        ({"batch_size": 1}, []),  # nothing is smaller
        ({"weight_decay": 0.0}, []),
        (
            {"weight_decay": 0.1, "batch_size": 4},
            ["The batch size 4 is the largest in the space (1, 2, 4): add 8 to the choices.",
             "The weight decay 0.1 lies at the upper end of its range (0 to 0.1): search a wider "
             "one, for example high: 1."],
        ),
    ],
)  # fmt: skip
def test_sentences(values: dict[str, float], expected: list[str]) -> None:
    assert at_edges(SPACE, values) == expected


def test_one_choice_has_no_end() -> None:
    assert at_edges({"batch_size": {"choices": [2]}}, {"batch_size": 2}) == []


def test_a_batch_size_above_one_at_the_lower_end() -> None:
    (sentence,) = at_edges({"batch_size": {"choices": [2, 8]}}, {"batch_size": 2})
    assert sentence == "The batch size 2 is the smallest in the space (2, 8): add 1 to the choices."
