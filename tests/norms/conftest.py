"""What the tests of all norms share: inputs with no axis as long as another, and the comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from normsearch.norms.kernels import find_compiler, kernels

SIDES = {1: (35,), 2: (5, 7), 3: (5, 7, 4)}


@pytest.fixture(scope="module", params=["c", "torch"])
def both_kernels(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run a test on the compiled kernels and on torch's: for tests that have float32 inputs."""
    if request.param == "c" and find_compiler() is None:
        pytest.skip("no C compiler")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NORMSEARCH_KERNELS", request.param)
        kernels.cache_clear()
        yield
    kernels.cache_clear()


@pytest.fixture
def make_input() -> Callable[..., Tensor]:
    """make_input(channels, dims, dtype, mean, samples): channels and samples differ in spread."""

    def make(
        channels: int = 32,
        dims: int = 2,
        dtype: torch.dtype = torch.float64,
        mean: float = 0.0,
        samples: int = 3,
    ) -> Tensor:
        generator = torch.Generator().manual_seed(7 * channels + dims)
        x = torch.randn(samples, channels, *SIDES[dims], generator=generator, dtype=torch.float64)
        per_map = (samples, channels, *[1] * dims)
        spread = 0.5 + torch.rand(per_map, generator=generator, dtype=torch.float64)
        shift = torch.randn(per_map, generator=generator, dtype=torch.float64)
        return (x * spread + shift + mean).to(dtype)

    return make


@pytest.fixture
def randomize() -> Callable[[nn.Module], nn.Module]:
    """Move all parameters off their initial values; gates stay within (0, 1)."""

    def change(module: nn.Module) -> nn.Module:
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in module.parameters():
                drawn = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.copy_(0.1 + 0.8 * drawn)
        return module

    return change


@pytest.fixture
def assert_same() -> Callable[..., None]:
    """assert_same(module, oracle, x, tolerance): outputs, input and parameter gradients.

    The oracle is run in float64 on the same values; differences are relative to the largest
    value, and to 1 where that is smaller.
    """

    def compare(
        module: nn.Module,
        oracle: Callable[[Tensor, nn.Module], Tensor],
        x: Tensor,
        tolerance: float,
    ) -> None:
        given = x.clone().requires_grad_()
        got = module(given)
        dy = torch.cos(torch.arange(got.numel(), dtype=torch.float64)).reshape(got.shape)
        got_grads = torch.autograd.grad(got, [given, *module.parameters()], dy.to(got.dtype))
        assert got.dtype == x.dtype
        module.double()
        exact = x.double().requires_grad_()
        want = oracle(exact, module)
        want_grads = torch.autograd.grad(want, [exact, *module.parameters()], dy)
        for name, a, b in zip(
            ["y", "x", *dict(module.named_parameters())],
            [got, *got_grads],
            [want, *want_grads],
            strict=True,
        ):
            worst = float(((a - b).abs().max() / b.abs().max().clamp(min=1)).detach())
            assert worst <= tolerance, f"{name}: {worst}"

    return compare
