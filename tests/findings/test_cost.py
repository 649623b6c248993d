"""Costs that can be counted; that seconds are taken in turn."""

import numpy as np
import pytest

from normsearch.findings import cost
from normsearch.findings.cost import by_pair, kept_bytes, learnt_numbers, paired_seconds

NETWORK = {"name": "unet2d", "first_channels": 4, "depth": 1}


def test_norms_are_timed_in_turn() -> None:
    found = paired_seconds(NETWORK, ["none", "IN"], (1, 1, 8, 8), pairs=3, iterations=2)
    assert found["norm"].tolist() == ["none", "IN"] * 3
    assert found["pair"].tolist() == [0, 0, 1, 1, 2, 2]
    assert np.isfinite(found["log_seconds"]).all()
    assert by_pair(found).shape == (3, 2)


def test_norms_take_turns_at_each_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(
        cost, "_step", lambda network, norm, shape, training: lambda: ran.append(norm)
    )
    paired_seconds(NETWORK, ["none", "IN"], (1, 1, 8, 8), pairs=2, iterations=3)
    assert ran == ["none", "IN"] * (1 + 2 * 3)


def test_predictions_learn_nothing() -> None:
    found = paired_seconds(NETWORK, ["BN"], (1, 1, 8, 8), pairs=1, iterations=1, training=False)
    assert len(found) == 1


def test_numbers_learnt_are_counted() -> None:
    slots, channels = 7, 2 * 4 + 2 * 8 + 4 + 2 * 4  # enc1, bottom, dec1.up, dec1
    bare = learnt_numbers(NETWORK, "none")
    assert learnt_numbers(NETWORK, "IN") - bare == 2 * channels
    assert learnt_numbers(NETWORK, "ILN(regroup=none)") - bare == 2 * channels + slots


def test_bytes_kept_grow_with_the_batch_and_not_with_the_weights() -> None:
    one, two = (kept_bytes(NETWORK, "IN", (size, 1, 8, 8)) for size in (1, 2))
    assert 1.9 < two / one < 2.1
    assert kept_bytes(NETWORK, "none", (1, 1, 8, 8)) < one
