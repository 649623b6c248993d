import copy
import itertools
import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from normsearch.errors import CheckpointError, TrainingError
from normsearch.networks import UNet2d, apply_norm_map
from normsearch.norms import SparseSwitchableNorm, clamp_gates, gate_parameters, set_progress
from normsearch.training import (
    Evaluation,
    Plan,
    acceleration,
    bce_dice_loss,
    load_checkpoint,
    save_checkpoint,
    score_cases,
    segmentation_score,
    train,
)

PLAN = Plan(samples=24, evaluations=4, learning_rate=0.1, statistics_samples=6)


def square(number: int) -> tuple[Tensor, Tensor]:
    """Noise of 16 x 16 with a bright square, and its mask; a function of the number alone."""
    generator = torch.Generator().manual_seed(number)
    image = torch.randn(1, 16, 16, generator=generator)
    label = torch.zeros(1, 16, 16)
    y, x = torch.randint(0, 9, (2,), generator=generator).tolist()
    label[:, y : y + 7, x : x + 7] = 1
    return image + 4 * label, label


class Squares:
    """A loader of squares that counts what it is asked for."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.starts: list[int] = []
        self.given = 0

    def batches(self, start_sample: int) -> Iterator[tuple[Tensor, Tensor]]:
        self.starts.append(start_sample)
        return self._batches(start_sample)

    def _batches(self, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        for first in itertools.count(start, self.batch_size):
            self.given += 1
            images, labels = zip(*map(square, range(first, first + self.batch_size)), strict=True)
            yield torch.stack(images), torch.stack(labels)


def case(first: int, slices: int) -> tuple[Tensor, Tensor]:
    images, labels = zip(*map(square, range(first, first + slices)), strict=True)
    return torch.stack(images), torch.stack(labels)


VALIDATION = {"a": case(10_000, 2), "b": case(20_000, 3)}


def unet(spec: str = "BN", **settings: Any) -> UNet2d:
    return UNet2d(**{"first_channels": 2, "depth": 1, "norm": spec, "seed": 0, **settings})


def groups(network: nn.Module) -> list[dict[str, Any]]:
    gates = gate_parameters(network)
    known = {id(gate) for gate in gates}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in known]
    return [{"params": rest}, *([{"params": gates, "lr": 0.5}] if gates else [])]


def untimed(evaluation: Evaluation) -> dict[str, Any]:
    """What must be equal bit for bit; NaN as a text, for it is equal to nothing."""
    record = {**asdict(evaluation), "seconds": 0, "peak_memory": 0}
    return {key: repr(value) for key, value in record.items()}


@pytest.mark.parametrize("batch_size", [1, 3, 4, 7, 16])
@pytest.mark.parametrize(("samples", "evaluations"), [(30, 5), (31, 4), (4, 4)])
def test_evaluations_lie_at_equal_fractions(
    batch_size: int, samples: int, evaluations: int
) -> None:
    loader = Squares(batch_size)
    plan = replace(PLAN, samples=samples, evaluations=evaluations, statistics_samples=0)
    found = list(train(unet("IN"), loader, VALIDATION, plan))
    assert [item.evaluation for item in found] == list(range(1, evaluations + 1))
    for number, item in enumerate(found, 1):
        batches = math.ceil(samples * number / evaluations / batch_size)
        assert (item.samples, item.steps) == (batches * batch_size, batches)
    assert samples <= found[-1].samples < samples + batch_size
    assert loader.given == found[-1].steps
    assert loader.starts == [0]


def test_without_a_step_there_is_no_loss() -> None:
    plan = replace(PLAN, samples=4, evaluations=4)
    found = list(train(unet("IN"), Squares(3), VALIDATION, plan))
    assert [item.steps for item in found] == [1, 1, 1, 2]
    assert [math.isnan(item.loss) for item in found] == [False, True, True, False]
    assert found[1].score == found[0].score


def test_it_learns_an_easy_task() -> None:
    plan = Plan(samples=320, evaluations=4, learning_rate=0.1, statistics_samples=16)
    network = unet(first_channels=4)
    found = list(train(network, Squares(8), VALIDATION, plan))
    assert found[0].loss > 2 * found[-1].loss
    assert found[-1].score > 0.9
    assert found[0].score < found[-1].score


def test_the_loss_is_the_mean_since_the_point_before() -> None:
    seen: list[float] = []

    def spied(logits: Tensor, labels: Tensor) -> Tensor:
        value = bce_dice_loss(logits, labels)
        seen.append(value.item())
        return value

    found = list(train(unet(), Squares(2), VALIDATION, PLAN, loss=spied))
    for number, item in enumerate(found):
        assert item.loss == pytest.approx(sum(seen[3 * number : 3 * number + 3]) / 3, rel=1e-6)


def plain_loop(network: nn.Module, steps: int, batch_size: int) -> None:
    """The same training written out: momentum 0.9, cosine from 0.1 over 24 samples."""
    buffers = [torch.zeros_like(parameter) for parameter in network.parameters()]
    network.train()
    for step in range(steps):
        rate = 0.1 * 0.5 * (1 + math.cos(math.pi * step * batch_size / 24))
        images, labels = case(step * batch_size, batch_size)
        network.zero_grad()
        bce_dice_loss(network(images), labels).backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for parameter, buffer in zip(network.parameters(), buffers, strict=True):
                assert parameter.grad is not None
                buffer.mul_(0.9).add_(parameter.grad + 0.01 * parameter)
                parameter.sub_(rate * buffer)


def test_it_trains_as_the_loop_written_out_and_leaves_running_statistics() -> None:
    network, expected = unet(), unet()
    plan = replace(PLAN, weight_decay=0.01, statistics_samples=0)
    list(train(network, Squares(3), VALIDATION, plan))
    plain_loop(expected, 8, 3)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, expected.state_dict()[name], rtol=1e-4, atol=1e-6)
    tracked = network.get_submodule("enc1.conv1.norm").num_batches_tracked
    assert tracked == 8  # nothing but training touched them


@pytest.mark.parametrize("samples", [6, 7])
def test_running_statistics_are_the_average_over_the_first_batches(samples: int) -> None:
    network, loader = unet(), Squares(3)
    next(train(network, loader, VALIDATION, replace(PLAN, statistics_samples=samples)))
    conv = network.get_submodule("enc1.conv1.conv")
    norm = network.get_submodule("enc1.conv1.norm")
    count = math.ceil(samples / 3)
    with torch.no_grad():
        outputs = [conv(case(3 * k, 3)[0]).double() for k in range(count)]
    mean = torch.stack([output.mean((0, 2, 3)) for output in outputs]).mean(0)
    variance = torch.stack([output.var((0, 2, 3)) for output in outputs]).mean(0)
    torch.testing.assert_close(norm.running_mean.double(), mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(norm.running_var.double(), variance, rtol=1e-5, atol=1e-6)
    assert norm.num_batches_tracked == count
    assert norm.momentum == 0.1
    assert loader.starts == [0, 0]
    assert loader.given == 2 + count


def test_recomputing_statistics_does_not_change_the_weights() -> None:
    kept, fresh = unet(), unet()
    list(train(kept, Squares(3), VALIDATION, replace(PLAN, statistics_samples=0)))
    list(train(fresh, Squares(3), VALIDATION, PLAN))
    for (name, one), other in zip(kept.named_parameters(), fresh.parameters(), strict=True):
        assert torch.equal(one, other), name


class WithDropout(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(4, 1, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return out


class Scales(nn.Module):
    """Returns logits of three scales, and in eval those of the first."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.heads = nn.ModuleList(nn.Conv2d(4, 1, 1) for _ in range(3))

    def forward(self, x: Tensor) -> Any:
        maps = [self.body(x)]
        maps += [functional.avg_pool2d(maps[0], 2), functional.avg_pool2d(maps[0], 4)]
        found = [head(one) for head, one in zip(self.heads, maps, strict=True)]
        return found if self.training else found[0]


def network_of(kind: str) -> nn.Module:
    if kind == "dropout":
        return WithDropout()
    if kind == "scales":
        return Scales()
    network = unet("BN" if kind == "mixed" else kind)
    if kind == "mixed":
        apply_norm_map(network, {"enc1.*": "SN", "bottom.conv1.norm": "BIN", "dec1.up.norm": "IN"})
    return network


def check_going_on(kind: str, plan: Plan, tmp_path: Path) -> None:
    """Interrupt a training after each evaluation; compare the rest with the unbroken training."""

    def run(state: dict[str, Any] | None, where: Path) -> tuple[nn.Module, Iterator[Evaluation]]:
        network = network_of(kind)
        return network, train(
            network,
            Squares(5),
            VALIDATION,
            plan,
            parameter_groups=groups(network),
            after_step=lambda: clamp_gates(network),
            on_progress=lambda share: set_progress(network, share),
            state=state,
            save=lambda state: save_checkpoint(where, state),
        )

    paths = [tmp_path / f"{number}.pt" for number in range(1, 5)]
    torch.manual_seed(7)
    whole, unbroken = run(None, tmp_path / "now.pt")
    expected = []
    for path, evaluation in zip(paths, unbroken, strict=True):
        expected.append(evaluation)
        (tmp_path / "now.pt").rename(path)
    assert len({item.loss for item in expected}) == 4
    for stopped_after, path in enumerate(paths, 1):
        torch.manual_seed(stopped_after)  # whatever state the next process is in
        again, resumed = run(load_checkpoint(path), tmp_path / "again.pt")
        found = list(resumed)
        assert [untimed(item) for item in found] == [untimed(item) for item in expected]
        assert found[:stopped_after] == expected[:stopped_after]
        assert found[-1].seconds >= expected[stopped_after - 1].seconds
        for name, value in again.state_dict().items():
            assert torch.equal(value, whole.state_dict()[name]), (stopped_after, name)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize(
    "kind", ["BN", "SN", "BIN", "BRN", "SSN", "GBGN-2x2", "WN+MBN", "WS+BGN-1", "mixed", "dropout"]
)
def test_going_on_is_bit_for_bit_the_unbroken_run(
    kind: str, optimizer: str, tmp_path: Path
) -> None:
    check_going_on(kind, replace(PLAN, optimizer=optimizer, weight_decay=1e-3), tmp_path)


OPTIONS: dict[str, dict[str, Any]] = {
    "warmup": {"warmup": 0.6},
    "gradient_clipping": {"gradient_clipping": 0.1},
    "ema": {"ema": 0.5},
    "channels_last": {"channels_last": True},
    "compile": {"compile": True},
    "all": {
        "warmup": 0.6,
        "gradient_clipping": 0.1,
        "ema": 0.5,
        "channels_last": True,
        "compile": True,
        "optimizer": "adamw",
        "schedule": "polynomial",
        "accumulate": 2,
    },
}


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        *(("mixed", "warmup"), ("mixed", "gradient_clipping"), ("BRN", "ema"), ("SSN", "ema")),
        *(("mixed", "ema"), ("dropout", "ema"), ("scales", "ema"), ("mixed", "channels_last")),
        *(("mixed", "compile"), ("scales", "all")),
    ],
)
def test_going_on_with_each_option(
    kind: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceleration, "_BACKEND", "aot_eager")  # without the C++ compiler
    check_going_on(kind, replace(PLAN, samples=40, **OPTIONS[option]), tmp_path)


def test_the_average_is_what_is_scored_and_training_goes_on_without_it() -> None:
    plain, averaged, written = unet(), unet(), unet()
    expected = list(train(plain, Squares(3), VALIDATION, PLAN))
    plan, saved = replace(PLAN, ema=0.8), list[dict[str, Any]]()
    run = train(averaged, Squares(3), VALIDATION, plan, save=lambda state: saved.append(state))
    found = list(run)
    assert [one.loss for one in found] == [one.loss for one in expected]
    assert [one.cases for one in found] != [one.cases for one in expected]
    for name, value in plain.named_parameters():
        assert torch.equal(saved[-1]["trained"][name], value), name

    seen = list[dict[str, Tensor]]()
    keep = lambda: seen.append({n: p.detach().clone() for n, p in written.named_parameters()})  # noqa: E731
    list(train(written, Squares(3), VALIDATION, PLAN, after_step=keep))
    assert len(seen) == 8
    for name, value in averaged.named_parameters():
        mean = seen[0][name]
        for weights in seen[1:]:
            mean = 0.8 * mean + 0.2 * weights[name]
        torch.testing.assert_close(value, mean, rtol=1e-5, atol=1e-6)
        assert torch.equal(saved[-1]["network"][name], value)
    scored = score_cases(averaged, VALIDATION, segmentation_score)
    assert {name: values["score"] for name, values in scored.items()} == found[-1].cases


def test_running_statistics_are_those_of_the_averaged_weights() -> None:
    network = unet()
    list(train(network, Squares(3), VALIDATION, replace(PLAN, ema=0.8)))
    conv = network.get_submodule("enc1.conv1.conv")
    norm = network.get_submodule("enc1.conv1.norm")
    with torch.no_grad():
        means = [conv(case(3 * k, 3)[0]).mean((0, 2, 3)) for k in range(2)]
    torch.testing.assert_close(norm.running_mean, torch.stack(means).mean(0))


def test_a_state_with_an_average_needs_a_training_with_one(tmp_path: Path) -> None:
    for before, after in ((None, 0.9), (0.9, None)):
        state = stopped(1, tmp_path, replace(PLAN, ema=before))
        run = train(unet(), Squares(3), VALIDATION, replace(PLAN, ema=after), state=state)
        with pytest.raises(CheckpointError, match="the average of the weights is in one of the"):
            next(run)


def test_scales_are_trained_by_their_weights() -> None:
    network, expected = Scales(), Scales()
    plan = replace(PLAN, samples=3, evaluations=1, statistics_samples=0, momentum=0.0)
    (found,) = train(network, Squares(3), VALIDATION, plan)
    images, labels = case(0, 3)
    out = expected(images)
    halved = functional.interpolate(labels, (8, 8), mode="nearest-exact")
    loss = (2 * bce_dice_loss(out[0], labels) + bce_dice_loss(out[1], halved)) / 3
    assert found.loss == pytest.approx(loss.item(), rel=1e-6)
    torch.optim.SGD(expected.parameters(), lr=0.1).zero_grad()
    loss.backward()
    torch.optim.SGD(expected.parameters(), lr=0.1).step()
    for (name, one), other in zip(network.named_parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7, msg=name)


def test_without_deep_supervision_the_other_scales_stay_as_they_are() -> None:
    network, before = Scales(), Scales()
    list(train(network, Squares(3), VALIDATION, replace(PLAN, deep_supervision=False)))
    changed = {name for name, one in network.named_parameters()
               if not torch.equal(one, before.get_parameter(name))}  # fmt: skip
    assert {name for name in changed if "heads" in name} == {"heads.0.weight", "heads.0.bias"}


def stopped(after: int, tmp_path: Path, plan: Plan = PLAN) -> dict[str, Any]:
    """The state of a training of the 2-channel U-Net with BN after some evaluations."""
    save = lambda state: save_checkpoint(tmp_path / "c.pt", state)  # noqa: E731
    run = train(unet(), Squares(3), VALIDATION, plan, save=save)
    for _ in range(after):
        next(run)
    state = load_checkpoint(tmp_path / "c.pt")
    assert state is not None
    return state


@pytest.mark.parametrize("after", [1, 3, 4])
def test_what_the_state_holds_is_yielded_first_without_training(after: int, tmp_path: Path) -> None:
    state = stopped(after, tmp_path)
    loader, steps = Squares(3), []
    run = train(unet(), loader, VALIDATION, PLAN, state=state, after_step=lambda: steps.append(1))
    replayed = [next(run) for _ in range(after)]
    assert [asdict(item) for item in replayed] == state["history"]
    assert (loader.given, steps) == (0, [])
    rest = list(run)
    assert [item.evaluation for item in rest] == list(range(after + 1, 5))
    assert len(steps) == 2 * len(rest)
    assert loader.starts[0] == state["samples"] == 6 * after


def test_a_state_is_saved_before_each_evaluation_is_yielded() -> None:
    saved: list[int] = []
    run = train(
        unet(), Squares(3), VALIDATION, PLAN, save=lambda state: saved.append(len(state["history"]))
    )
    for number, item in enumerate(run, 1):
        assert saved == list(range(1, number + 1))
        assert item.evaluation == number


def without(key: str, state: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in state.items() if name != key}


def test_a_state_of_another_network_is_refused(tmp_path: Path) -> None:
    state = stopped(1, tmp_path)
    foreign = [
        (unet(first_channels=4), state),
        (unet(depth=2), state),
        (unet("IN"), state),
        *(
            (unet(), without(key, state))
            for key in ("network", "optimizer", "names", "random", "history")
        ),
        (unet(), {**state, "history": [{"evaluation": 1}]}),
    ]
    for network, given in foreign:
        run = train(network, Squares(3), VALIDATION, PLAN, state=given)
        with pytest.raises(CheckpointError, match="must be of this network and optimizer"):
            next(run)


@pytest.mark.parametrize(("before", "after"), [("sgd", "adam"), ("adam", "sgd"), ("adamw", "adam")])
def test_a_state_of_another_optimizer_is_refused(before: str, after: str, tmp_path: Path) -> None:
    state = stopped(1, tmp_path, replace(PLAN, optimizer=before))
    run = train(unet(), Squares(3), VALIDATION, replace(PLAN, optimizer=after), state=state)
    with pytest.raises(CheckpointError, match="must be of this network and optimizer"):
        list(run)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_training(value: float) -> None:
    calls = itertools.count(1)
    saved: list[dict[str, Any]] = []

    def breaks_at_step_3(logits: Tensor, labels: Tensor) -> Tensor:
        loss = bce_dice_loss(logits, labels)
        return loss * value if next(calls) == 3 else loss

    plan = replace(PLAN, samples=40, evaluations=2)
    run = train(unet(), Squares(1), VALIDATION, plan, loss=breaks_at_step_3, save=saved.append)
    with pytest.raises(
        TrainingError, match=r"loss is not finite \((nan|inf)\) by step 10; a small"
    ) as info:
        next(run)
    assert info.value.kind == "nan"
    assert saved == []


def test_a_broken_loss_in_the_last_steps_before_a_point_is_seen() -> None:
    nothing = lambda logits, labels: logits.sum() * math.nan  # noqa: E731
    run = train(unet(), Squares(3), VALIDATION, PLAN, loss=nothing)
    with pytest.raises(TrainingError, match=r"not finite \(nan\) by step 2;"):
        next(run)


@pytest.mark.parametrize("training", [True, False])
def test_out_of_memory_in_training_and_in_validation(
    training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = unet()
    forward = network.forward

    def short_of_memory(x: Tensor) -> Tensor:
        if network.training is training:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return forward(x)

    monkeypatch.setattr(network, "forward", short_of_memory)
    with pytest.raises(TrainingError, match=r"batch size 3: CUDA out of memory") as info:
        next(train(network, Squares(3), VALIDATION, PLAN))
    assert info.value.kind == "memory"


@pytest.mark.parametrize("place", ["to", "load_state_dict"])
def test_out_of_memory_before_the_first_step(
    place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    state = stopped(1, tmp_path)
    network = unet()

    def short_of_memory(*given: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(network, place, short_of_memory)
    with pytest.raises(TrainingError, match=r"batch size 5: CUDA out of memory") as info:
        next(train(network, Squares(5), VALIDATION, PLAN, state=state))
    assert info.value.kind == "memory"


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_the_schedule_reaches_every_group_of_the_optimizer(
    schedule: str, optimizer: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kind: Any = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer]
    rates: list[list[float]] = []
    step = kind.step

    def spied(self: torch.optim.Optimizer, *args: Any) -> Any:
        rates.append([group["lr"] for group in self.param_groups])
        return step(self, *args)

    monkeypatch.setattr(kind, "step", spied)
    plan = replace(PLAN, optimizer=optimizer, schedule=schedule)

    def run(state: dict[str, Any] | None) -> Iterator[Evaluation]:
        network = unet("SN")
        save = lambda state: save_checkpoint(tmp_path / "c.pt", state)  # noqa: E731
        parts = groups(network)
        return train(
            network, Squares(3), VALIDATION, plan, parameter_groups=parts, state=state, save=save
        )

    next(run(None))
    list(run(load_checkpoint(tmp_path / "c.pt")))  # also where it was taken up again
    expected = [
        1.0 if schedule == "constant" else 0.5 * (1 + math.cos(math.pi * 3 * k / 24))
        for k in range(8)
    ]
    assert len(rates) == 8
    for (rate, gate_rate), factor in zip(rates, expected, strict=True):
        assert rate == pytest.approx(0.1 * factor, rel=1e-12)
        assert gate_rate == pytest.approx(0.5 * factor, rel=1e-12)


def test_the_settings_reach_the_optimizer(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []
    step = torch.optim.Adam.step

    def spied(self: torch.optim.Adam, *args: Any) -> Any:
        made.append(dict(self.param_groups[0]))
        return step(self, *args)

    monkeypatch.setattr(torch.optim.Adam, "step", spied)
    plan = replace(PLAN, optimizer="adam", momentum=0.8, weight_decay=0.02)
    next(train(unet(), Squares(3), VALIDATION, plan))
    assert made[0]["betas"] == (0.8, 0.999)
    assert made[0]["weight_decay"] == 0.02


def test_progress_is_told_before_each_step_and_evaluation() -> None:
    told: list[float] = []
    run = train(unet(), Squares(5), VALIDATION, PLAN, on_progress=told.append)
    ends = []
    for _ in run:
        ends.append(told[-1])
    assert ends == [10 / 24, 15 / 24, 20 / 24, 1.0]
    assert told == [n / 24 for n in (0, 5, 10, 10, 15, 15, 20, 20)] + [1.0]


def test_a_sparse_norm_has_chosen_when_training_ends() -> None:
    network = unet()
    apply_norm_map(network, {"*": "SSN"})
    for _ in train(
        network,
        Squares(3),
        VALIDATION,
        PLAN,
        on_progress=lambda share: set_progress(network, share),
    ):
        pass
    norms = [norm for norm in network.modules() if isinstance(norm, SparseSwitchableNorm)]
    assert norms
    for norm in norms:
        assert (norm.choices >= 0).all()
        assert sorted(norm.mixing_weights()["mean"].values()) == [0, 0, 1]


def test_after_step_is_called_after_each_step() -> None:
    network = unet()
    weights = [next(network.parameters()).detach().clone()]

    def look() -> None:
        now = next(network.parameters()).detach().clone()
        assert not torch.equal(now, weights[-1])
        weights.append(now)

    found = list(train(network, Squares(3), VALIDATION, PLAN, after_step=look))
    assert len(weights) == 1 + found[-1].steps == 9


class Nothing(nn.Module):
    """Sees foreground where the image is above 50: nowhere in the squares."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x - 50


def test_cases_empty_on_both_sides_are_left_out() -> None:
    plan = replace(PLAN, learning_rate=1e-9, evaluations=1)
    image = torch.zeros(2, 1, 16, 16)
    empty = torch.zeros_like(image)
    bright, label = image.clone(), empty.clone()
    bright[0, 0, :4, :4] = 100
    label[0, 0, :4, :2] = 1
    given = {"empty": (image, empty), "half": (bright, label), "missed": (image, label)}
    item = next(train(Nothing(), Squares(3), given, plan))
    assert math.isnan(item.cases["empty"])
    assert item.cases["half"] == 2 * 8 / (16 + 8)
    assert item.cases["missed"] == 0
    assert item.score == (2 / 3 + 0) / 2
    alone = next(train(Nothing(), Squares(3), {"empty": (image, empty)}, plan))
    assert math.isnan(alone.score)


def test_the_dice_of_a_case_is_that_of_its_volume_not_of_its_slices() -> None:
    images, labels = case(500, 70)  # more slices than go through the network at once
    network = unet()
    item = next(train(network, Squares(3), {"large": (images, labels)}, PLAN))
    network.eval()
    with torch.no_grad():
        prediction = torch.cat([network(image[None]) > 0 for image in images])
    both = (prediction & (labels > 0)).sum().item()
    assert both > 0
    assert item.score == pytest.approx(
        2 * both / (prediction.sum().item() + labels.sum().item()), abs=1e-3
    )


def test_evaluation_does_not_train() -> None:
    network = unet()
    run = train(network, Squares(3), VALIDATION, replace(PLAN, statistics_samples=0))
    next(run)
    at_first = copy.deepcopy(network.state_dict())
    longer = {**VALIDATION, "c": case(30_000, 5)}
    other = unet()
    next(train(other, Squares(3), longer, replace(PLAN, statistics_samples=0)))
    for name, value in other.state_dict().items():
        assert torch.equal(value, at_first[name]), name


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_it_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    def run(state: dict[str, Any] | None) -> list[Evaluation]:
        network = network_of("mixed")
        return list(
            train(
                network,
                Squares(5),
                VALIDATION,
                replace(PLAN, optimizer="adam"),
                parameter_groups=groups(network),
                state=state,
                save=lambda state: save_checkpoint(tmp_path / f"{len(state['history'])}.pt", state),
                device="cuda",
            )
        )

    expected = run(None)
    found = run(load_checkpoint(tmp_path / "2.pt"))
    assert found[:2] == expected[:2]
    assert found[-1].loss == pytest.approx(expected[-1].loss, rel=1e-2)
    assert found[-1].peak_memory > 0


def test_evaluations_on_the_way_score_fewer_cases_and_the_last_one_all() -> None:
    some = {"b": VALIDATION["b"]}
    whole = list(train(unet("IN"), Squares(3), VALIDATION, PLAN))
    found = list(train(unet("IN"), Squares(3), VALIDATION, PLAN, interim=some))
    assert [list(one.cases) for one in found] == [["b"], ["b"], ["b"], ["a", "b"]]
    for one, every in zip(found[:-1], whole[:-1], strict=True):
        assert one.score == one.cases["b"] == every.cases["b"]
        assert one.details == {"b": every.details["b"]}
    assert untimed(found[-1]) == untimed(whole[-1])


def test_an_interrupted_training_scores_the_same_cases_again() -> None:
    some, states = {"b": VALIDATION["b"]}, []
    whole = list(
        train(
            unet(), Squares(3), VALIDATION, PLAN, interim=some,
            save=lambda state: states.append(copy.deepcopy(state)),
        )
    )  # fmt: skip
    again = list(train(unet(), Squares(3), VALIDATION, PLAN, interim=some, state=states[1]))
    assert [untimed(one) for one in again] == [untimed(one) for one in whole]
