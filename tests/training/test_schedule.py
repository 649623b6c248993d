import itertools
import math

import pytest
import torch

from normsearch.training.schedule import SCHEDULES


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


def test_both_stay_between_0_and_1_and_never_rise() -> None:
    for schedule in SCHEDULES.values():
        rates = [schedule(k / 100) for k in range(101)]
        assert rates[0] == 1
        assert all(later <= earlier for earlier, later in itertools.pairwise(rates))
        assert min(rates) >= 0
        assert not any(map(math.isnan, rates))
