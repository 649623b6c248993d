from __future__ import annotations

import math
from itertools import combinations, permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from normsearch.norms import SparseSwitchableNorm, set_progress
from normsearch.norms.sparsest_max import sparsest_max
from normsearch.norms.switchable import BRANCHES

from .test_switchable import mixed

pytestmark = pytest.mark.usefixtures("both_kernels")


def sparsemax(logits: Tensor) -> Tensor:
    return sparsest_max(logits, torch.tensor(0.0))


def nearest_on_a_grid(logits: Tensor, radius: float, count: int = 300) -> float:
    """The least distance from `logits` to the simplex outside of `radius`, by looking."""
    steps = np.arange(count + 1)
    first, second = np.meshgrid(steps, steps, indexing="ij")
    inside = first + second <= count
    points = np.stack([first[inside], second[inside], (count - first - second)[inside]], 1) / count
    far = np.linalg.norm(points - 1 / 3, axis=1) >= radius
    return float(np.linalg.norm(points[far] - logits.numpy(), axis=1).min())


def by_search(logits: Tensor, radius: float) -> Tensor:
    """Sparsemax of the logits times the least factor that reaches the radius, by trying."""

    def nearest(z: Tensor) -> Tensor:  # the threshold is the largest of all sets of logits
        sets = (torch.tensor(s) for n in range(1, 4) for s in combinations(range(len(z)), n))
        return (z - max((z[chosen].sum() - 1) / len(chosen) for chosen in sets)).clamp(min=0)

    def distance(factor: float) -> float:
        return float((nearest(factor * logits) - 1 / len(logits)).norm())

    low, high = 1.0, 1e12
    while distance(low) < radius and high - low > 1e-14 * high:
        middle = math.sqrt(low * high) if high > 2 * low else (low + high) / 2
        low, high = (middle, high) if distance(middle) < radius else (low, middle)
    return nearest(low * logits)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("count", [2, 3])
def test_both_rows_are_the_point_that_a_search_finds(count: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(count)
    tolerance, eps = 1e-9 if dtype == torch.float64 else 1e-5, torch.finfo(dtype).eps
    for radius in (0.0, 0.1, 0.3, 0.41, 0.5, 0.69):
        for spread in (0.0, 1e-3, 0.3, 2.0, 50.0):
            drawn = torch.randn(2, count, generator=generator, dtype=torch.float64)
            logits = (1 + spread * drawn).to(dtype)
            got = sparsest_max(logits, torch.tensor(radius, dtype=torch.float64))
            assert got.dtype == dtype
            for row, values in zip(got, logits.double(), strict=True):
                if spread == 0:  # the first is larger by rounding
                    values = values - 1e-9 * torch.arange(count)
                want = by_search(values, radius)
                # Logits that are close have lost their digits.
                rounding = 2 * eps / spread if spread else 1e-6
                assert (row - want).abs().max() <= tolerance + rounding


def test_one_gate_that_is_settled_leaves_the_other_alone() -> None:
    logits = torch.tensor([[1.0, 3.5, 0.2], [1.1, 0.8, 1.25]], dtype=torch.float64)
    for radius in (0.0, 0.3, 0.5, 1.0):
        at = torch.tensor(radius, dtype=torch.float64)
        leaf = logits.clone().requires_grad_()
        got = sparsest_max(leaf, at)
        assert got[0].tolist() == [0, 1, 0]
        assert torch.equal(got[1], sparsest_max(logits[1], at))
        weights = torch.tensor([0.3, -1.0, 2.0]).double()
        (gradient,) = torch.autograd.grad((got * weights).sum(), leaf)
        alone = logits[1].clone().requires_grad_()
        (want,) = torch.autograd.grad((sparsest_max(alone, at) * weights).sum(), alone)
        assert torch.equal(gradient, torch.stack((torch.zeros(3).double(), want)))


@given(
    logits=st.lists(st.floats(-3, 3, width=32), min_size=6, max_size=6),
    radius=st.one_of(st.floats(0, 1), st.sampled_from([0.5**0.5, (2 / 3) ** 0.5])),
    seen=st.booleans(),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_progress_freezes_what_is_one_hot(logits: list[float], radius: float, seen: bool) -> None:
    norm = SparseSwitchableNorm(4, 2)
    with torch.no_grad():
        norm.mean_logits.copy_(torch.tensor(logits[:3]))
        norm.variance_logits.copy_(torch.tensor(logits[3:]))
    norm.num_batches_tracked.fill_(int(seen))
    norm.radius.fill_(radius)
    weights = norm.shares(torch.tensor(seen))
    want = [row.argmax().item() if row.max() == 1 else -1 for row in weights]
    norm.set_progress(radius)
    assert norm.choices.tolist() == want


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("radius", [0.0, 0.2, 0.4, 0.55, 0.7, 0.8])
def test_nearest_point_of_the_simplex_outside_of_the_radius(seed: int, radius: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 1 + 0.4 * torch.randn(3, generator=generator, dtype=torch.float64)
    got = sparsest_max(logits, torch.tensor(radius))
    assert got.sum().item() == pytest.approx(1)
    assert (got >= 0).all()
    assert (got - 1 / 3).norm() >= radius - 1e-6
    assert (got - logits).norm() <= nearest_on_a_grid(logits, radius)


def test_one_hot_from_the_corners_distance_on() -> None:
    for logits in ([0.3, 0.9, 0.5], [1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [0.2, 0.7, 0.7]):
        values = torch.tensor(logits)
        best = [float(index == values.argmax()) for index in range(3)]
        for radius in (math.sqrt(2 / 3), 0.9, 1.0):
            assert sparsest_max(values, torch.tensor(radius)).tolist() == best
        pair = sparsest_max(values[:2], torch.tensor(1.0)).tolist()
        assert pair == [float(index == values[:2].argmax()) for index in range(2)]


def test_sparsemax_by_hand() -> None:
    assert sparsemax(torch.tensor([1.0, 1.0, 1.0])).tolist() == pytest.approx([1 / 3] * 3)
    assert sparsemax(torch.tensor([1.0, 0.5, -1.0])).tolist() == pytest.approx([0.75, 0.25, 0])
    assert sparsemax(torch.tensor([3.0, 0.0, 1.0])).tolist() == [1, 0, 0]


@pytest.mark.parametrize("radius", [0.0, 0.1, 0.3, 0.45, 0.6, 0.75])
def test_gradients_are_right(radius: float) -> None:
    logits = torch.tensor([1.1, 0.8, 1.25], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: sparsest_max(z, torch.tensor(radius)), logits)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("radius", [0.0, 0.01, 0.3, 0.45, 0.6, 0.75, 0.9])
def test_equal_logits_get_the_gradient_of_sparsemax_in_any_order(
    radius: float, count: int, dtype: torch.dtype
) -> None:
    weights = torch.tensor([0.3, -1.0, 2.0, 0.5], dtype=dtype)[:count]
    logits = torch.tensor([1.1, 0.8, 1.25], dtype=dtype)
    for start in (torch.ones(count, dtype=dtype), torch.full((count,), 0.1, dtype=dtype)):
        for order in permutations(range(count)):
            # A row that is not equal beside it.
            rows = torch.stack((start, logits[:2].repeat(2)[:count])).requires_grad_()
            given = torch.stack((weights[list(order)], torch.zeros_like(weights)))
            point = sparsest_max(rows, torch.tensor(radius))
            (gradient,) = torch.autograd.grad(point, rows, given)
            torch.testing.assert_close(gradient[0], given[0] - weights.mean())
            assert not gradient[1].any()


def test_the_norm_chooses_by_the_loss_from_equal_logits(make_input) -> None:
    """Set to a radius before the first step, the first in the list was the choice of all."""
    x = make_input(32, 2, torch.float32, mean=3.0, samples=4)
    for count, text in enumerate(BRANCHES):
        norm = SparseSwitchableNorm(32, 2).requires_grad_(False)
        norm.mean_logits.requires_grad_()
        norm.set_progress(0.3)
        single = SparseSwitchableNorm(32, 2)
        with torch.no_grad():
            single.mean_logits.copy_(9.0 * (torch.arange(3) == count))
        target = single(x).detach()
        optimizer = torch.optim.SGD([norm.mean_logits], 0.1)
        for progress in torch.linspace(0.3, 0.9, 30).tolist():
            norm.set_progress(progress)
            optimizer.zero_grad()
            (norm(x) - target).square().mean().backward()
            optimizer.step()
        assert norm.mixing_weights()["mean"][text] == 1


def formula(x: Tensor, norm: nn.Module, with_batch: bool = True) -> Tensor:
    count = 3 if with_batch else 2
    w, v = (
        torch.cat((sparsest_max(z[:count], norm.radius), torch.zeros(3 - count).double()))
        for z in (norm.mean_logits, norm.variance_logits)
    )
    return mixed(x, norm, w, v)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_formula(
    dims: int, samples: int, training: bool, make_input, randomize, assert_same
) -> None:
    # SparsestMax magnifies the rounding of the logits' gradients, sums over the whole input.
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
        norm = randomize(SparseSwitchableNorm(32, dims).to(dtype))
        norm(make_input(32, dims, dtype, mean=0.5, samples=samples))
        norm.set_progress(0.5)
        x = make_input(32, dims, dtype, samples=samples)
        assert_same(
            norm.train(training), lambda x, norm: formula(x, norm, samples > 1), x, tolerance
        )


def test_it_becomes_one_hot_and_freezes(make_input) -> None:
    norm = SparseSwitchableNorm(32, 2).double()
    third = {"IN": 1 / 3, "LN": 1 / 3, "BN": 1 / 3}
    x = make_input()
    norm(x)
    assert norm.mixing_weights()["mean"] == pytest.approx(third)
    with torch.no_grad():
        norm.mean_logits.copy_(torch.tensor([1.0, 1.2, 0.9]))
        norm.variance_logits.copy_(torch.tensor([1.0, 1.0, 1.1]))
    set_progress(norm, 1.0)
    chosen = {"mean": {"IN": 0, "LN": 1, "BN": 0}, "variance": {"IN": 0, "LN": 0, "BN": 1}}
    assert norm.mixing_weights() == chosen
    with torch.no_grad():
        norm.mean_logits.copy_(torch.tensor([9.0, 0.0, 0.0]))
    set_progress(norm, 0.2)
    assert norm.mixing_weights() == chosen
    copy = SparseSwitchableNorm(32, 2).double()
    copy.load_state_dict(norm.state_dict())
    assert torch.equal(copy.eval()(x), norm.eval()(x))
    norm.train()(x).sin().sum().backward()
    assert norm.mean_logits.grad.abs().max() == 0


def test_a_choice_of_the_batch_falls_back_at_batch_one(make_input) -> None:
    norm = SparseSwitchableNorm(32, 2).double()
    norm(make_input())
    with torch.no_grad():
        norm.mean_logits.copy_(torch.tensor([0.5, 0.2, 1.0]))
        norm.variance_logits.copy_(torch.tensor([0.5, 0.2, 1.0]))
    set_progress(norm, 1.0)
    x = make_input(samples=1)
    torch.testing.assert_close(norm(x), torch.nn.functional.instance_norm(x))


@pytest.mark.parametrize("count", [4, 8])
def test_more_than_three_logits(count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    centre, corner = torch.full((count,), 1 / count).double(), math.sqrt(1 - 1 / count)
    for _ in range(100):
        logits = torch.randn(count, generator=generator).double() * 0.3
        for radius in (0.0, 0.2, 0.5, 0.8, 0.9 * corner, 1.0):
            point = sparsest_max(logits, torch.tensor(radius))
            assert point.min() >= 0
            assert point.sum().item() == pytest.approx(1, abs=1e-9)
            distance = (point - centre).norm().item()
            nearest = (sparsemax(logits) - centre).norm().item()
            assert distance == pytest.approx(min(max(radius, nearest), corner), abs=1e-7)
            assert point.argmax() == logits.argmax()
        assert point.max() == 1
