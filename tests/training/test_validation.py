from typing import Any
from weakref import WeakValueDictionary

import pytest
import torch
from torch import Tensor, nn

from normsearch.training import (
    OnAccess,
    ValidationCase,
    count_windows,
    score_cases,
    segmentation_score,
    validation,
)


class Spy(nn.Module):
    """Gives its input back and notes how large it was; foreground in eval mode alone."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.append(tuple(x.shape))
        assert not torch.is_grad_enabled()
        return x if not self.training else -x


def case(samples: int, side: int, seed: int = 0) -> ValidationCase:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(samples, 1, side, side, generator=generator)
    truth = torch.rand(samples, 1, side, side, generator=generator) > 0.5
    return ValidationCase(image, truth.float())


@pytest.fixture(autouse=True)
def small_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "VOXELS_AT_ONCE", 4 * 16)  # four slices of 4 x 4


def test_small_cases_of_one_shape_go_together_and_large_ones_in_parts() -> None:
    given = {
        name: case(samples, side, seed)
        for seed, (name, samples, side) in enumerate(
            [("a", 1, 4), ("b", 2, 4), ("c", 1, 4), ("d", 1, 4), ("e", 9, 4), ("f", 2, 16)]
        )
    }
    network = Spy()
    found = score_cases(network, given, segmentation_score)
    assert [size[0] for size in network.sizes] == [4, 1, 4, 4, 1, 1, 1]
    assert list(found) == list(given)
    for name, one in given.items():
        assert isinstance(one.truth, Tensor)
        assert found[name] == segmentation_score(one.samples, one.truth)


def test_the_scores_do_not_depend_on_how_cases_are_put_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = {str(seed): case(3, 4, seed) for seed in range(5)}
    together = score_cases(Spy(), given, segmentation_score)
    monkeypatch.setattr(validation, "VOXELS_AT_ONCE", 1)
    alone = Spy()
    assert score_cases(alone, given, segmentation_score) == together
    assert [size[0] for size in alone.sizes] == [1] * 15


def test_samples_are_put_together_as_the_truth_is() -> None:
    # Two samples of three slices that share one: five slices in all.
    volume = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 1, 2, 2)
    samples = torch.stack([volume[:3].transpose(0, 1), volume[2:].transpose(0, 1)])
    seen: list[tuple[Tensor, Tensor]] = []

    def restore(logits: Tensor) -> Tensor:
        assert logits.shape == (2, 1, 3, 2, 2)
        return torch.cat([logits[0].transpose(0, 1), logits[1].transpose(0, 1)[1:]])

    def score(logits: Tensor, truth: Tensor, spacing: object) -> dict[str, float]:
        seen.append((logits, truth))
        return {"score": 0.25, "more": 3}

    found = score_cases(Spy(), {"a": ValidationCase(samples, volume, restore)}, score)
    assert found == {"a": {"score": 0.25, "more": 3}}
    assert torch.equal(*seen[0])


def test_cases_are_built_when_they_are_scored_and_a_large_one_is_alone() -> None:
    images: WeakValueDictionary[str, Tensor] = WeakValueDictionary()
    before: dict[str, list[str]] = {}  # images in memory when a case is asked for
    sizes = {"a": 1, "b": 2, "c": 9, "d": 4, "e": 3, "f": 1}  # four make a pass

    def build(name: str) -> ValidationCase:
        before[name] = sorted(images)
        made = case(sizes[name], 4, sizes[name])
        images[name] = made.samples

        def truth() -> Tensor:
            assert name not in images  # an image goes before its truth comes
            found = case(sizes[name], 4, sizes[name]).truth
            assert isinstance(found, Tensor)
            return found

        return made._replace(truth=truth)

    given, network = OnAccess(sizes, build), nn.Conv2d(1, 1, 1)
    found = score_cases(network, given, segmentation_score)
    # c is asked for while a and b wait for their pass; nothing waits when d and e are.
    assert before == {"a": [], "b": ["a"], "c": ["a", "b"], "d": [], "e": [], "f": ["e"]}
    kept = {name: case(size, 4, size) for name, size in sizes.items()}
    assert found == score_cases(network, kept, segmentation_score)
    assert ([*given], len(given)) == ([*sizes], 6)
    with pytest.raises(KeyError):
        given["none"]


def test_the_network_is_left_in_eval_mode() -> None:
    network: Any = Spy().train()
    score_cases(network, {"a": case(1, 4)}, segmentation_score)
    assert not network.training


def test_a_large_sample_is_slid_over_in_windows_of_the_trained_size() -> None:
    image = torch.randn(1, 1, 10, 7)
    network = Spy()
    seen: list[Tensor] = []

    def score(logits: Tensor, truth: Tensor, spacing: object) -> dict[str, float]:
        seen.append(logits)
        return {"score": 1.0}

    score_cases(network, {"a": ValidationCase(image, image > 0, window=(4, 4))}, score)
    assert {size[2:] for size in network.sizes} == {(4, 4)}
    torch.testing.assert_close(seen[0], image)  # of a network that gives back what it gets


@pytest.mark.parametrize("window", [(4, 4), (5, 3), (8, 1)])
@pytest.mark.parametrize("sides", [(4, 4), (5, 3), (10, 7), (16, 9), (17, 31)])
@torch.no_grad()
def test_windows_are_counted_as_they_are_placed(
    window: tuple[int, int], sides: tuple[int, int]
) -> None:
    network = Spy()
    padded = [max(pair) for pair in zip(sides, window, strict=True)]
    image = torch.zeros(2, 1, *padded)  # `whole_image` pads what is smaller
    validation.window_logits(network, image, window, "cpu")
    assert sum(size[0] for size in network.sizes) == 2 * count_windows(sides, window)


@torch.no_grad()
def test_windows_of_volumes() -> None:
    network = Spy()
    validation.window_logits(network, torch.zeros(1, 1, 9, 12, 5), (4, 6, 5), "cpu")
    assert sum(size[0] for size in network.sizes) == count_windows((9, 12, 5), (4, 6, 5)) == 4 * 3
