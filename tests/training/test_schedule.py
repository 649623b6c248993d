import itertools
import math

import pytest
import torch

from normsearch.training import Plan
from normsearch.training.schedule import SCHEDULES, schedule_of, warmed_up


@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
def test_constant(progress: float) -> None:
    assert SCHEDULES["constant"](progress) == 1


@pytest.mark.parametrize(
    ("progress", "expected"),
    [(0, 1), (1 / 3, 0.75), (0.5, 0.5), (2 / 3, 0.25), (1, 0), (1.02, 0)],
)
def test_cosine(progress: float, expected: float) -> None:
    assert SCHEDULES["cosine"](progress) == pytest.approx(expected, abs=1e-15)


def test_cosine_is_what_torch_does() -> None:
    steps = 20
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    for step in range(steps):
        rate = optimizer.param_groups[0]["lr"]
        assert SCHEDULES["cosine"](step / steps) == pytest.approx(rate, abs=1e-12)
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("progress", [0.0, 0.25, 0.5, 0.99, 1.0, 1.02])
def test_polynomial(progress: float) -> None:
    expected = (1 - min(progress, 1)) ** 0.9
    assert SCHEDULES["polynomial"](progress) == pytest.approx(expected, abs=1e-15)


def test_step_is_what_torch_does() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [5, 15], gamma=0.1)
    schedule = schedule_of(
        Plan(20, 1, 0.1, schedule="step", step_points=(0.25, 0.75), step_factor=0.1)
    )
    for step in range(20):
        rate = optimizer.param_groups[0]["lr"]
        assert schedule(step / 20) == pytest.approx(rate, rel=1e-12)
        optimizer.step()
        scheduler.step()


def test_step_is_a_fifth_in_the_second_half_if_nothing_is_said() -> None:
    assert [SCHEDULES["step"](progress) for progress in (0.49, 0.5, 1.0)] == [1, 0.2, 0.2]


def test_all_stay_between_0_and_1_and_never_rise() -> None:
    for schedule in SCHEDULES.values():
        rates = [schedule(k / 100) for k in range(101)]
        assert rates[0] == 1
        assert all(later <= earlier for earlier, later in itertools.pairwise(rates))
        assert min(rates) >= 0
        assert not any(map(math.isnan, rates))


@pytest.mark.parametrize(
    ("progress", "expected"), [(0.01, 0.2), (0.025, 0.5), (0.05, 1), (0.4, 1), (1.02, 1)]
)
def test_a_warm_up_rises_linearly_and_stays_at_1(progress: float, expected: float) -> None:
    assert warmed_up(progress, 0.05) == pytest.approx(expected, rel=1e-12)
