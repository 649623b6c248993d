import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from normsearch.networks import UNet2d
from normsearch.training import OPTIMIZERS, Plan, acceleration
from normsearch.training.optimizer_step import Stepper
from tests.specs import every_spec

PLAN = Plan(samples=100, evaluations=1, learning_rate=0.1, schedule="constant")
Batch = tuple[Tensor, Tensor]


def batches(size: int, side: int = 16) -> Iterator[Batch]:
    generator = torch.Generator().manual_seed(3)
    while True:
        image = torch.randn(12, 1, side, side, generator=generator)
        label = (torch.rand(12, 1, side, side, generator=generator) > 0.7).float()
        yield from zip(image.split(size), label.split(size), strict=True)


def unet(spec: str = "IN", seed: int = 0) -> UNet2d:
    return UNet2d(first_channels=4, depth=1, norm=spec, seed=seed)


@pytest.mark.parametrize("spec", ["none", "IN", "LN", "GN-2", "ILN(regroup=none)", "WS+GN-2"])
@pytest.mark.parametrize(("accumulate", "size"), [(2, 3), (6, 1), (3, 2)])
def test_accumulating_is_one_batch_of_all(spec: str, accumulate: int, size: int) -> None:
    network, whole = unet(spec), unet(spec)
    loss = functional.binary_cross_entropy_with_logits
    plan = replace(PLAN, accumulate=accumulate)
    small, large = Stepper(network, loss, plan, "cpu"), Stepper(whole, loss, PLAN, "cpu")
    parts, six = batches(size), batches(6)
    for _ in range(3):
        value, samples = small.step(parts, 0.0)
        expected, _ = large.step(six, 0.0)
        assert samples == 6
        assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    for (name, one), other in zip(network.named_parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6, msg=name)


def test_norms_of_batches_see_the_small_batches() -> None:
    network = unet("BN")
    stepper = Stepper(
        network, functional.binary_cross_entropy_with_logits, replace(PLAN, accumulate=2), "cpu"
    )
    stepper.step(batches(3), 0.0)
    assert network.get_submodule("enc1.conv1.norm").num_batches_tracked == 2


def written_out(name: str, gradients: list[float], rate: float) -> float:
    """One weight from 1, by SGD with momentum 0.8 or Adam(W) with betas (0.8, 0.999)."""
    weight, velocity, first, second, decay = 1.0, 0.0, 0.0, 0.0, 0.1
    for step, gradient in enumerate(gradients, 1):
        if name == "adamw":
            weight -= rate * decay * weight
        else:
            gradient += decay * weight
        if name == "sgd":
            velocity = 0.8 * velocity + gradient
            weight -= rate * velocity
        else:
            first = 0.8 * first + 0.2 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            corrected = first / (1 - 0.8**step), second / (1 - 0.999**step)
            weight -= rate * corrected[0] / (math.sqrt(corrected[1]) + 1e-8)
    return weight


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_each_optimizer_is_its_formula(name: str) -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.ones_(network.weight)
    plan = replace(PLAN, optimizer=name, momentum=0.8, weight_decay=0.1)
    stepper = Stepper(network, lambda logits, truth: (logits * truth).sum(), plan, "cpu")
    given = [0.5, -0.2, 0.9]
    pairs = ((torch.ones(1, 1), torch.tensor([[value]])) for value in given)
    for _ in given:
        stepper.step(pairs, 0.0)
    assert network.weight.item() == pytest.approx(written_out(name, given, 0.1), rel=1e-5)


def test_the_schedule_takes_the_share_of_the_budget() -> None:
    network = nn.Linear(1, 1, bias=False)
    plan = replace(PLAN, schedule="step", step_points=(0.2, 0.6), step_factor=0.1, momentum=0.0)
    stepper = Stepper(network, lambda logits, truth: logits.sum(), plan, "cpu")
    pairs = itertools.repeat((torch.ones(1, 1), torch.ones(1, 1)))
    moved = []
    for share in (0.0, 0.19, 0.2, 0.59, 0.6, 0.99):
        before = network.weight.item()
        stepper.step(pairs, share)
        moved.append(before - network.weight.item())
    assert moved == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001], rel=1e-3)


@pytest.mark.parametrize("spec", every_spec())
def test_every_norm_trains_in_bfloat16(spec: str) -> None:
    network = UNet2d(first_channels=16, depth=1, norm=spec, seed=0)
    seen: list[Any] = []
    loss = lambda logits, truth: (seen.append(logits.dtype), logits.abs().mean())[1]  # noqa: E731
    stepper = Stepper(network, loss, replace(PLAN, amp="bfloat16", learning_rate=1e-4), "cpu")
    before = [parameter.detach().clone() for parameter in network.parameters()]
    for _ in range(2):
        value, _ = stepper.step(batches(4), 0.0)
        assert torch.isfinite(value)
    assert seen == [torch.float32] * 2
    for new in network.parameters():
        assert new.dtype == torch.float32
        assert torch.isfinite(new).all()
    assert not torch.equal(before[0], next(network.parameters()))


def test_bfloat16_is_near_full_precision() -> None:
    values = {}
    for amp in ("off", "bfloat16"):
        loss = functional.binary_cross_entropy_with_logits
        stepper = Stepper(unet("IN"), loss, replace(PLAN, amp=amp), "cpu")
        pairs = batches(4)
        values[amp] = [stepper.step(pairs, 0.0)[0].item() for _ in range(5)]
    assert values["bfloat16"] == pytest.approx(values["off"], rel=0.02)
    assert values["bfloat16"] != values["off"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_float16_scales_the_loss_and_its_state_goes_on() -> None:
    loss = functional.binary_cross_entropy_with_logits
    network = unet("IN").cuda()
    plan = replace(PLAN, amp="float16")
    stepper, pairs = Stepper(network, loss, plan, "cuda"), batches(4)
    values = [stepper.step(pairs, 0.0)[0].item() for _ in range(5)]
    assert values[-1] < values[0]
    state = stepper.state()
    assert state["scaler"]["scale"] > 1
    other = Stepper(unet("IN").cuda(), loss, plan, "cuda")
    other.restore({**state, "scaler": {**state["scaler"], "scale": 512.0}})
    assert other.state()["scaler"]["scale"] == 512


@pytest.mark.parametrize("other", [{"optimizer": "adam"}, {"amp": "bfloat16"}])
def test_the_state_of_another_optimizer_or_precision_is_refused(other: dict[str, Any]) -> None:
    loss = functional.binary_cross_entropy_with_logits
    given = Stepper(unet(), loss, PLAN, "cpu").state()
    with pytest.raises(ValueError, match=r"it is for \['sgd', 'off'\], and the training uses \["):
        Stepper(unet(), loss, replace(PLAN, **other), "cpu").restore(given)


@pytest.mark.parametrize("largest", [0.5, 1e3])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_long_gradient_is_scaled_down_to_the_largest_norm(
    largest: float, accumulate: int
) -> None:
    network = nn.Sequential(nn.Linear(3, 1), nn.Linear(1, 2))
    before = [parameter.detach().clone() for parameter in network.parameters()]
    plan = replace(PLAN, momentum=0.0, gradient_clipping=largest, accumulate=accumulate)
    loss = lambda logits, truth: 50 * (logits * truth).sum()  # noqa: E731
    images = [torch.randn(4, 3, generator=torch.Generator().manual_seed(k)) for k in range(2)]
    total = sum(loss(network(one), torch.ones(4, 2)) for one in images[:accumulate]) / accumulate
    gradient = torch.autograd.grad(total, list(network.parameters()))
    norm = math.sqrt(sum(float(part.double().square().sum()) for part in gradient))
    assert 0.5 < norm < 1e3
    stepper = Stepper(network, loss, plan, "cpu")
    stepper.step(iter([(one, torch.ones(4, 2)) for one in images]), 0.0)
    factor = min(1.0, largest / norm)
    for old, new, part in zip(before, network.parameters(), gradient, strict=True):
        torch.testing.assert_close(new, old - 0.1 * factor * part, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("schedule", ["constant", "step"])
def test_the_rate_rises_over_the_warm_up_together_with_every_schedule(schedule: str) -> None:
    network = nn.Linear(1, 1, bias=False)
    plan = replace(PLAN, samples=20, schedule=schedule, warmup=0.4, momentum=0.0)
    stepper = Stepper(network, lambda logits, truth: logits.sum() / 2, plan, "cpu")
    pairs = itertools.repeat((torch.ones(2, 1), torch.ones(2, 1)))
    moved = []
    for number in range(10):
        before = network.weight.item()
        stepper.step(pairs, number / 10)
        moved.append(before - network.weight.item())
    lower = 0.2 if schedule == "step" else 1.0
    rates = [0.025, 0.05, 0.075, 0.1, 0.1, *[0.1 * lower] * 5]
    assert moved == pytest.approx(rates, rel=1e-3)


def test_channels_last_and_compiled_steps_are_near_plain_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(acceleration, "_BACKEND", "aot_eager")
    values = {}
    for option in ("", "channels_last", "compile"):
        loss = functional.binary_cross_entropy_with_logits
        plan = replace(PLAN, **({option: True} if option else {}))
        stepper, pairs = Stepper(unet("BN"), loss, plan, "cpu"), batches(4)
        values[option] = [stepper.step(pairs, 0.0)[0].item() for _ in range(4)]
    assert values["channels_last"] == pytest.approx(values[""], rel=1e-3)
    assert values["compile"] == pytest.approx(values[""], rel=1e-3)
