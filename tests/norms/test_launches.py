"""How many operations a step of a norm takes: on a GPU, each that is no view is a launch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from normsearch.norms import build_norm, set_progress
from tests.benchmarks.each_norm import kernels_of

_VIEWS = {torch.ops.aten.detach.default, torch.ops.aten._unsafe_view.default}


class Launches(TorchDispatchMode):
    """Counts ATen's operations, without views."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if not function.is_view and function not in _VIEWS:
            self.names.append(str(function))
        return function(*args, **(kwargs or {}))


def launches(run: Callable[[], Any]) -> list[str]:
    with Launches() as counted:
        run()
    return counted.names


def step(norm: nn.Module, samples: int) -> Callable[[], Any]:
    """Forward and backward in training, of the second batch, as the first is often special."""
    x = torch.randn(samples, 32, 6, 5, requires_grad=True)
    norm(x)
    dy = torch.ones_like(x)
    return lambda: torch.autograd.grad(norm(x), [x, *norm.parameters()], dy)


@pytest.fixture(autouse=True)
def _on_torchs_path() -> Iterator[None]:
    with kernels_of("torch"):
        yield


@pytest.mark.parametrize(
    ("text", "most"),
    [
        *(("GN-8", 2), ("BN", 4), ("BIN", 58), ("SN", 60), ("BGN-8", 75), ("ILN", 81)),
        *(("BRN", 87), ("SSN", 98), ("BCN-8", 110)),
    ],
)
@pytest.mark.parametrize("samples", [1, 4])
def test_a_step_on_torchs_path(text: str, most: int, samples: int) -> None:
    assert len(launches(step(build_norm(text, 32, 2), samples))) <= most


def test_the_schedule_of_ssn_and_its_steps_read_no_value() -> None:
    """A value that the host reads makes it wait for the GPU."""
    norm = build_norm("SSN", 32, 2)
    run = step(norm, 4)
    told = launches(lambda: set_progress(norm, 0.5))
    assert len(told) <= 17
    assert not any("_local_scalar_dense" in name for name in [*told, *launches(run)])


def test_the_count_is_not_blind() -> None:
    x = torch.randn(3)
    assert launches(lambda: x.view(3).sum().item()) == [
        "aten.sum.default",
        "aten._local_scalar_dense.default",
    ]
