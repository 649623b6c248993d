from typing import Any

import numpy as np

from normsearch.data import Case, fingerprint
from tests.data.made_up import SPACING


def test_fingerprint_changes_with_every_part_and_not_with_order() -> None:
    def case(**changes: Any) -> Case:
        fields = {
            "id": "a",
            "subject": "s",
            "fold": "1",
            "image": np.zeros((2, 1, 3, 3), np.float32),
            "label": np.zeros((2, 3, 3), np.uint8),
            "spacing": SPACING,
        }
        return Case(**{**fields, **changes})

    image, label = case().image.copy(), case().label.copy()
    image[0, 0, 0, 0] = label[0, 0, 0] = 1
    variants = [
        {},
        {"id": "b"},
        {"subject": "t"},
        {"fold": "2"},
        {"image": image},
        {"label": label},
        {"image": image.reshape(1, 2, 3, 3)},
    ]
    prints = {fingerprint([case(**changes)]) for changes in variants}
    assert len(prints) == len(variants)
    assert all(len(text) == 64 for text in prints)
    pair = [case(), case(id="b")]
    assert fingerprint(pair) == fingerprint(pair[::-1])
