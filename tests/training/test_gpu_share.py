"""Shares of a GPU's memory; what CUDA answers is made up."""

import pytest
import torch

from normsearch.errors import ConfigError, TrainingError
from normsearch.training import gpu_share, limit_memory, typed_failures
from normsearch.training.gpu_share import CONTEXT, short_of_memory, taken_by_others

GIB = 2**30
TOTAL = 24 * GIB


class Card:
    """A GPU of 24 GiB: what is free, what this process holds, and its limit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free, self.reserved, self.fraction, self.ooms = TOTAL, 0, 1.0, 0
        answers = {
            "is_available": lambda: True,
            "mem_get_info": lambda: (self.free, TOTAL),
            "memory_reserved": lambda: self.reserved,
            "memory_stats": lambda: {"num_ooms": self.ooms},
            "set_per_process_memory_fraction": self.limit,
        }
        for name, answer in answers.items():
            monkeypatch.setattr(torch.cuda, name, answer)

    def limit(self, fraction: float) -> None:
        self.fraction = fraction


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    monkeypatch.setattr(gpu_share, "_allowed", [])
    return Card(monkeypatch)


@pytest.mark.parametrize("trials", [2, 4, 5, 10])
def test_the_shares_of_all_trials_and_their_contexts_fit_the_gpu(card: Card, trials: int) -> None:
    limit_memory(1 / trials)
    assert trials * (card.fraction * TOTAL + CONTEXT) == pytest.approx(TOTAL)


def test_a_whole_gpu_has_no_limit_and_a_small_share_keeps_half_of_itself(card: Card) -> None:
    limit_memory(1.0)
    assert card.fraction == 1
    limit_memory(0.02)
    assert card.fraction == 0.01


def test_memory_that_a_neighbour_took_is_no_fault_of_the_trial(card: Card) -> None:
    limit_memory(0.25)  # 6 GiB less the context
    card.free, card.reserved = 1 * GIB, 3 * GIB
    assert taken_by_others()
    refused = pytest.raises(TrainingError, match="other processes leave the GPU less memory")
    with refused as info, typed_failures(4):
        raise torch.OutOfMemoryError("CUDA out of memory")
    assert info.value.kind == "neighbour"


@pytest.mark.parametrize(("share", "free", "reserved"), [(0.25, 12, 5), (0.25, 1, 5), (1, 1, 3)])
def test_a_trial_that_has_its_share_needs_too_much(
    card: Card, share: float, free: int, reserved: int
) -> None:
    limit_memory(share)
    card.free, card.reserved = free * GIB, reserved * GIB
    with pytest.raises(TrainingError) as info, typed_failures(4):
        raise torch.OutOfMemoryError("CUDA out of memory")
    assert info.value.kind == "memory"


@pytest.mark.parametrize(
    "told",
    [
        "GET was unable to find an engine to execute this computation",
        "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
    ],
)
def test_what_cudnn_says_is_too_little_memory_only_where_memory_is_short(
    card: Card, told: str
) -> None:
    assert not short_of_memory()
    with pytest.raises(RuntimeError, match=told), typed_failures(4):
        raise RuntimeError(told)
    for card.free, card.ooms in ((GIB // 4, 0), (TOTAL, 1)):
        with pytest.raises(TrainingError) as info, typed_failures(4):
            raise RuntimeError(told)
        assert info.value.kind == "memory"


def test_without_a_gpu_memory_is_never_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not short_of_memory()
    assert not taken_by_others()
    with pytest.raises(ConfigError, match=r"device: must be cpu where torch sees no GPU.*gpu: 0"):
        limit_memory(0.5)
