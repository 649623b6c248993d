"""Channels last and torch.compile change how a network is computed, not what, nor its names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from normsearch.errors import ConfigError
from normsearch.networks import UNet2d, apply_norm_map, list_norms
from normsearch.norms import set_progress
from normsearch.training import acceleration
from normsearch.training.acceleration import (
    Transfer,
    channels_last,
    check_compiler,
    compiled,
    to_device,
    use_channels_last,
)
from normsearch.training.optimizer_step import Stepper
from normsearch.training.plan import Plan
from tests.specs import every_spec


@pytest.fixture(autouse=True)
def _without_a_c_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trace and differentiate as torch.compile does, without the seconds of its C++ compiler."""
    monkeypatch.setattr(acceleration, "_BACKEND", "aot_eager")


@pytest.mark.parametrize(
    ("shape", "memory"),
    [((2, 3, 4, 5), torch.channels_last), ((2, 3, 4, 5, 6), torch.channels_last_3d)],
)
def test_the_channels_lie_last_in_memory(shape: Any, memory: torch.memory_format) -> None:
    given = torch.randn(shape)
    found = channels_last(given)
    assert torch.equal(found, given)
    assert found.is_contiguous(memory_format=memory)
    assert found.stride(1) == 1


def test_other_tensors_are_left() -> None:
    for given in (torch.randn(3), torch.randn(2, 3), torch.randn(2, 3, 4)):
        assert channels_last(given) is given


def test_weights_keep_their_values_names_and_places_in_an_optimizer() -> None:
    net = nn.Sequential(nn.Conv3d(2, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    known = [id(parameter) for parameter in net.parameters()]
    use_channels_last(net)
    assert [id(parameter) for parameter in net.parameters()] == known
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net[0].weight.is_contiguous(memory_format=torch.channels_last_3d)


def network(spec: str) -> nn.Module:
    net = UNet2d(first_channels=16, depth=1, norm="none", seed=0)
    apply_norm_map(net, {slot.name: spec for slot in list_norms(net)})
    return net


def step(net: nn.Module, forward: Any, image: Tensor) -> dict[str, Tensor]:
    """Return the output and all gradients and buffers after a step in training."""
    out = forward(image)
    out.sin().sum().backward()
    gradients = {
        f"grad {name}": parameter.grad
        for name, parameter in net.named_parameters()
        if parameter.grad is not None
    }
    return {"out": out.detach(), **gradients, **dict(net.named_buffers())}


@pytest.mark.parametrize(
    "spec",
    [
        *("SN", "BKN", "WS+GN-4"),
        *(pytest.param(spec, marks=pytest.mark.slow) for spec in every_spec(samples=2)),
    ],
)
def test_every_norm_computes_the_same_compiled(spec: str) -> None:
    image = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    plain, fast = network(spec).train(), network(spec).train()
    forward = compiled(fast)
    for _ in range(2):  # a second pass sees the running moments of the first
        expected, found = step(plain, plain, image), step(fast, forward, image)
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=2e-3, atol=2e-4, msg=name)
    assert fast.state_dict().keys() == plain.state_dict().keys()


#: Norms with running moments or counters, one a slot, so that one network is compiled for all.
TRACKED = ["BN", "BRN", "SN", "SSN", "BKN", "IN(track=true)", "BGN-4", "EvoNorm-B0", "WN+MBN"]
TRACKED += ["MABN"]


@pytest.mark.slow
def test_three_compiled_steps_leave_the_parameters_and_counters_of_plain_ones() -> None:
    results = []
    for compile_it in (False, True):
        torch.manual_seed(0)
        layers = [[nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), nn.ReLU()] for _ in TRACKED]
        net = nn.Sequential(*(layer for block in layers for layer in block))
        slots = [slot.name for slot in list_norms(net)]
        apply_norm_map(net, dict(zip(slots, TRACKED, strict=True)))
        net.double().train()
        forward = compiled(net) if compile_it else net
        optimizer = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9)
        for number in range(3):
            set_progress(net, number / 2)
            generator = torch.Generator().manual_seed(number)
            image = torch.randn(4, 8, 4, 5, generator=generator, dtype=torch.float64)
            optimizer.zero_grad()
            forward(image).sin().square().sum().backward()
            optimizer.step()
        results.append({**dict(net.named_parameters()), **dict(net.named_buffers())})
    assert sum("num_batches_tracked" in name for name in results[0]) == len(TRACKED)
    for name, value in results[0].items():
        torch.testing.assert_close(results[1][name], value, rtol=1e-6, atol=1e-6, msg=name)


def test_cuda_graphs_are_asked_of_torch_and_each_pass_begins_a_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What this asks of torch; whether graphs compute the same needs a GPU."""
    asked, begun = list[Any](), list[bool]()
    monkeypatch.setattr(torch, "compile", lambda net, **named: asked.append(named) or net)
    monkeypatch.setattr(
        torch.compiler, "cudagraph_mark_step_begin", lambda: begun.append(bool(asked))
    )
    batch = torch.randn(2, 1, 8, 8), torch.zeros(2, 1, 8, 8)
    for graphs in (True, False):
        plan = Plan(4, 1, 0.1, compile=True, cuda_graphs=graphs)
        stepper = Stepper(network("SN"), nn.BCEWithLogitsLoss(), plan, "cpu")
        stepper.step(iter([batch]), 0.0)
        stepper.step(iter([batch]), 0.5)
    assert [named["mode"] for named in asked] == ["reduce-overhead", None]
    assert begun == [True, True]


def test_cuda_graphs_are_refused_on_a_cpu() -> None:
    with pytest.raises(ConfigError, match=r"^training\.cuda_graphs: must be false for .* the CPU"):
        check_compiler("cpu", cuda_graphs=True)


def test_more_trainings_than_torch_compiles_of_one_function() -> None:
    """Without a reset, the ninth network in a process would run as it is, with a warning."""
    counters, seen = torch._dynamo.utils.counters, []
    for _ in range(torch._dynamo.config.recompile_limit + 2):
        counters.clear()
        compiled(nn.Sequential(nn.Conv2d(1, 1, 1)))(torch.randn(2, 1, 8, 8))
        seen.append(counters["stats"]["unique_graphs"])
    assert seen == [1] * len(seen)


def test_a_machine_without_a_compiler_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    check_compiler("cpu")

    def nothing(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("no C++ compiler\nfound")

    monkeypatch.setattr(acceleration, "_BACKEND", nothing)
    with pytest.raises(ConfigError, match=r"^training\.compile: must be false .*no C\+\+ compiler"):
        check_compiler("cpu")


def test_a_gpu_that_is_elsewhere_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(acceleration, "_BACKEND", "no such backend")
    check_compiler("cuda")
    with pytest.raises(ConfigError, match="no such backend"):
        check_compiler("cpu")


def test_on_a_gpu_the_compiler_is_tried_in_a_process_that_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It says what the GPU of this machine says; here, as a rule, that torch has none."""
    if torch.cuda.is_available():
        check_compiler("cuda")
        assert not torch.cuda.is_initialized()
        return
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ConfigError, match=r"^training\.compile: must be false .* and says: \w*Err"):
        check_compiler("cuda")


@pytest.mark.slow
def test_the_compiler_of_torch_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceleration, "_BACKEND", "inductor")
    try:
        check_compiler("cpu")
    except ConfigError as error:
        pytest.skip(str(error))
    image = torch.randn(2, 1, 8, 8)
    plain, fast = network("SN").train(), network("SN").train()
    expected, found = step(plain, plain, image), step(fast, compiled(fast), image)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=2e-3, atol=2e-4, msg=name)


def test_copies_to_a_gpu_are_from_pinned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []

    def pin(self: Tensor) -> Tensor:
        done.append("pinned")
        return self

    def to(self: Tensor, device: str, *, non_blocking: bool) -> Tensor:
        done.append((device, non_blocking))
        return self

    monkeypatch.setattr(Tensor, "pin_memory", pin)
    monkeypatch.setattr(Tensor, "to", to)
    to_device(torch.ones(2), "cuda")
    assert done == ["pinned", ("cuda", True)]
    to_device(torch.ones(2), "cpu")
    assert done[2:] == [("cpu", True)]


class Log(list[tuple[str, ...]]):
    """What is asked of CUDA's streams; the copies themselves stay on the CPU."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.stream, self.events = "steps", 0
        log = self

        class Event:
            def __init__(self, *, blocking: bool) -> None:
                self.number = log.events
                log.events += 1

            def synchronize(self) -> None:
                log.append(("host waits for event", str(self.number)))

        class Stream:
            def __init__(self, device: str, name: str = "copies") -> None:
                self.name = name

            def record_event(self, event: Event) -> Event:
                log.append((f"event {event.number}", self.name))
                return event

            def wait_stream(self, other: Stream) -> None:
                log.append((f"{self.name} waits for", other.name))

        @contextmanager
        def within(stream: Stream) -> Iterator[None]:
            log.stream = stream.name
            yield
            log.stream = "steps"

        def to(tensor: Tensor, device: str, *, non_blocking: bool) -> Tensor:
            log.append(("copied", log.stream, f"pinned: {hasattr(tensor, 'pinned')}"))
            return tensor.clone()

        def pin(tensor: Tensor) -> Tensor:
            copy = tensor.clone()
            copy.pinned = True  # type: ignore[attr-defined]
            return copy

        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch.cuda, "Stream", Stream)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream(device, "steps"))
        monkeypatch.setattr(torch.cuda, "stream", within)
        monkeypatch.setattr(Tensor, "pin_memory", pin)
        monkeypatch.setattr(Tensor, "to", to)
        monkeypatch.setattr(
            Tensor, "record_stream", lambda tensor, by: log.append(("kept for", by.name))
        )


def test_a_batch_is_copied_beside_the_step_before_and_the_next_step_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log, batch = Log(monkeypatch), (torch.ones(2), torch.zeros(2))
    transfer = Transfer("cuda")
    for number in range(3):
        log.clear()
        found = transfer(batch)
        assert all(torch.equal(one, two) for one, two in zip(found, batch, strict=True))
        assert log == [
            *([("host waits for event", str(number - 1))] if number else []),
            (f"event {number}", "steps"),
            *[("copied", "copies", "pinned: True")] * 2,
            ("steps waits for", "copies"),
            *[("kept for", "steps")] * 2,
        ]


def test_on_a_cpu_a_batch_is_not_copied() -> None:
    batch = torch.ones(2), torch.zeros(2)
    found = Transfer("cpu")(batch)
    assert found[0] is batch[0]
    assert found[1] is batch[1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_batches_are_whole_while_steps_lag_and_take_the_memory_of_two() -> None:
    transfer, busy = Transfer("cuda"), torch.randn(4096, 4096, device="cuda")
    given = [torch.full((2**24,), number) for number in range(30)]  # 64 MiB
    torch.cuda.reset_peak_memory_stats()
    before, wrong = torch.cuda.memory_allocated(), []
    for number, images in enumerate(given):
        (found,) = transfer([images.float()])
        for _ in range(10):
            busy = (busy @ busy).clamp(-1, 1)
        wrong.append(found.sub_(number).abs_().amax())
        del found
    assert torch.stack(wrong).sum().item() == 0
    assert torch.cuda.max_memory_allocated() - before < 5 * 2**26  # and of the product
