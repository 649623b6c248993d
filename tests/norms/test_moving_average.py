from __future__ import annotations

import pytest
import torch
from torch import Tensor

from normsearch.norms import MovingAverageBatchNorm

WINDOW, WARMUP = 3, 5


class ByHand:
    """Outputs and gradients of training steps, from lists of statistics."""

    def __init__(self, norm: MovingAverageBatchNorm) -> None:
        self.weight, self.bias = (p.detach().double() for p in (norm.weight, norm.bias))
        self.squares: list[Tensor] = []
        self.products: list[Tensor] = []
        self.running = torch.empty(0)

    def step(self, x: Tensor, dy: Tensor) -> tuple[Tensor, ...]:
        axes, shape = (0, *range(2, x.dim())), (1, -1, *[1] * (x.dim() - 2))
        self.squares.append((x * x).mean(axes))
        steps = len(self.squares)
        early = steps <= WINDOW or steps < WARMUP
        square = self.squares[-1] if early else sum(self.squares[-WINDOW:]) / WINDOW
        self.running = square if steps == 1 else self.running
        ratio = torch.sqrt((square + 1e-5) / (self.running + 1e-5)).clamp(0.2, 5)
        r = torch.ones(1, 1).double() if early else ratio.view(shape)
        self.running = 0.98 * self.running + 0.02 * square
        deviation = torch.sqrt(square + 1e-5).view(shape)
        z, g = x / deviation, dy * self.weight.view(shape) * r
        self.products.append((g * z).mean(axes))
        product = self.products[-1] if early else sum(self.products[-WINDOW:]) / WINDOW
        y = self.weight.view(shape) * r * z + self.bias.view(shape)
        dx = (g - z * product.view(shape)) / deviation
        return y, dx, (dy * r * z).sum(axes), dy.sum(axes)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_by_hand(dims: int, make_input, randomize) -> None:
    for dtype, mean, tolerance in (
        *((torch.float64, 0.0, 1e-9), (torch.float64, 1e4, 1e-9)),
        *((torch.float32, 0.0, 1e-5), (torch.float32, 1e4, 1e-5)),
    ):
        norm = randomize(MovingAverageBatchNorm(8, dims, WINDOW, warmup=WARMUP).to(dtype))
        oracle = ByHand(norm)
        for step in range(9):
            scale = 20.0 if step == 6 else 1 + step / 4  # once beyond the limit of r
            x = (scale * make_input(8, dims, dtype, mean=mean)).requires_grad_()
            y = norm(x)
            dy = torch.cos(torch.arange(x.numel()) * (step + 1.0)).view(x.shape).to(dtype)
            got = (y, *torch.autograd.grad(y, (x, norm.weight, norm.bias), dy))
            want = oracle.step(x.detach().double(), dy.double())
            terms = (1, 1, x[:, 0].numel(), x[:, 0].numel())  # of the sums over (N, s)
            for one, other, count in zip(got, want, terms, strict=True):
                one, other = one / count, other / count
                assert (one - other).abs().max() <= tolerance * other.abs().max().clamp(min=1)
        x = make_input(8, dims, dtype, mean=mean)
        shape = (-1, *[1] * dims)
        want = x.double() * (oracle.weight / torch.sqrt(oracle.running + 1e-5)).view(shape)
        want += oracle.bias.view(shape)
        assert (norm.eval()(x) - want).abs().max() <= tolerance * want.abs().max().clamp(min=1)


def test_an_overflowed_gradient_is_not_remembered(make_input) -> None:
    norm = MovingAverageBatchNorm(8, 2, WINDOW, warmup=0)
    for step in range(8):
        x = make_input(8, 2, torch.float32).requires_grad_()
        (gradient,) = torch.autograd.grad(norm(x).sum() * (torch.inf if step == 5 else 1), x)
        assert bool(gradient.isfinite().all()) == (step != 5)


def test_a_pass_without_gradients_moves_the_running_square_alone(make_input) -> None:
    norm = MovingAverageBatchNorm(8, 2, WINDOW, momentum=None, warmup=0).double()
    norm.reset_running_stats()
    xs = [make_input(8, 2), 2 * make_input(8, 2)]
    with torch.no_grad():
        outs = [norm(x) for x in xs]
    torch.testing.assert_close(
        outs[1].square().mean((0, 2, 3)), torch.ones(8).double(), rtol=1e-4, atol=0
    )
    torch.testing.assert_close(norm.running_square, 2.5 * xs[0].square().mean((0, 2, 3)))
    assert norm.steps == 0
    assert not norm.squares.any()
