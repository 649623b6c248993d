"""BKN against its formula by hand, in chains of convolutions."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from normsearch.errors import NormError
from normsearch.norms import BatchKalmanNorm

CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
UPS = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
SIDES = {1: (9,), 2: (7, 6), 3: (4, 5, 6)}


class Chain(nn.Module):
    """conv -> BKN -> ReLU -> conv -> BKN -> ReLU -> up-convolution -> BKN."""

    def __init__(self, dims: int, p: float = 0.9) -> None:
        super().__init__()
        widths = (2, 3, 5, 4)
        kinds = (CONVS, CONVS, UPS)
        extra = ({"padding": 1}, {"padding": 1}, {"stride": 2})
        self.convs = nn.ModuleList(
            kind[dims](a, b, 3 if kind is CONVS else 2, **settings)
            for kind, settings, (a, b) in zip(kinds, extra, pairwise(widths), strict=True)
        )
        self.norms = nn.ModuleList(BatchKalmanNorm(width, dims, p) for width in widths[1:])
        for before, conv, after in zip(self.norms, self.convs[1:], self.norms[1:], strict=False):
            after.link(conv, before)

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = norm(conv(x))
            x = x if norm is self.norms[-1] else x.relu()
        return x


@pytest.fixture
def make_chain(randomize: Callable[[nn.Module], nn.Module]) -> Callable[..., Chain]:
    def make(dims: int, p: float = 0.9) -> Chain:
        chain = randomize(Chain(dims, p).double())
        with torch.no_grad():
            chain.norms[0].weight[0] = -0.7  # a negative γ: the deviation is its size
        return chain

    return make


def draw(dims: int, samples: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(samples, 2, *SIDES[dims], generator=generator, dtype=torch.float64)


def prior_by_hand(before: nn.Module, conv: nn.Module) -> tuple[Tensor, Tensor]:
    """The issue's words in plain loops: rectified Gaussian, then Σ w·mean + bias, Σ w²·variance."""
    m, s = before.bias, before.weight.abs()
    cdf = 0.5 * (1 + torch.erf(m / s / math.sqrt(2)))
    pdf = torch.exp(-((m / s) ** 2) / 2) / math.sqrt(2 * math.pi)
    mean = m * cdf + s * pdf
    variance = (m**2 + s**2) * cdf + m * s * pdf - mean**2
    if type(conv) in CONVS.values():
        weight = conv.weight.flatten(2)
        new = torch.einsum("oik,i->o", weight, mean) + conv.bias
        return new, torch.einsum("oik,i->o", weight**2, variance)
    weight = conv.weight.flatten(2)  # kernel 2, stride 2: each pixel sees one weight an input
    means = torch.einsum("iok,i->ok", weight, mean)
    variances = torch.einsum("iok,i->ok", weight**2, variance)
    spread = ((means - means.mean(1, True)) ** 2).mean(1)
    return means.mean(1) + conv.bias, variances.mean(1) + spread


def by_hand(chain: Chain, x: Tensor, p: float = 0.9) -> tuple[Tensor, list[Tensor]]:
    """The chain's output and the moments each layer normalized with."""
    used, before = [], None
    for conv, norm in zip(chain.convs, chain.norms, strict=True):
        x = conv(x)
        axes = [0, *range(2, x.dim())]
        shape = (1, -1, *[1] * (x.dim() - 2))
        mean, variance = x.mean(axes), x.var(axes, unbiased=False)
        if before is not None:
            m, v = prior_by_hand(before, conv)
            if (v / variance).mean() < 100:
                variance = p * v + (1 - p) * variance + p * (1 - p) * (mean - m) ** 2
                mean = p * m + (1 - p) * mean
        used += [mean, variance]
        x = (x - mean.view(shape)) / torch.sqrt(variance + 1e-5).view(shape)
        x = x * norm.weight.view(shape) + norm.bias.view(shape)
        x = x if norm is chain.norms[-1] else x.relu()
        before = norm
    return x, used


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("p", [0.0, 0.5, 0.9])
def test_the_formula_forward_and_backward(dims: int, p: float, make_chain) -> None:
    chain, x = make_chain(dims, p), draw(dims).requires_grad_()
    inputs = [x, *chain.parameters()]
    got = chain(x)
    want, _ = by_hand(chain, x, p)
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)
    dy = torch.cos(torch.arange(got.numel(), dtype=torch.float64)).view_as(got)
    for one, other in zip(
        torch.autograd.grad(got, inputs, dy), torch.autograd.grad(want, inputs, dy), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_the_prior_changes_the_result(make_chain) -> None:
    x = draw(2)
    assert (make_chain(2)(x) - make_chain(2, p=0.0)(x)).abs().max() > 1e-2


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_gradcheck_through_the_prior(dims: int, make_chain) -> None:
    chain, x = make_chain(dims), draw(dims).requires_grad_()
    names = list(dict(chain.named_parameters()))

    def call(x: Tensor, *values: Tensor) -> Tensor:
        given = dict(zip(names, values, strict=True))
        return torch.func.functional_call(chain, given, (x,)).sin()

    values = [p.detach().clone().requires_grad_() for p in chain.parameters()]
    assert torch.autograd.gradcheck(call, [x, *values], fast_mode=True)


def test_float32_agrees_with_float64(make_chain) -> None:
    x = draw(2)
    want = make_chain(2)(x)
    got = make_chain(2).float()(x.float())
    assert (got - want).abs().max() < 1e-5 * want.abs().max()


def batch_norm_of(norm: BatchKalmanNorm) -> nn.Module:
    """torch's own BN with the weights and running moments of a BKN."""
    bn = nn.BatchNorm2d(norm.channels).double()
    bn.load_state_dict(norm.state_dict())
    return bn


def feed(chain: Chain, between: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The second convolution's output where `between` stands after the first BKN."""
    return chain.convs[1](between(chain.norms[0](chain.convs[0](x))))


def test_a_prior_far_too_wide_is_left_out(make_chain) -> None:
    """Equal channels that cancel in the next convolution have no variance; the prior has much."""
    chain, x = make_chain(2), draw(2)
    with torch.no_grad():
        for tensor in (*chain.convs[0].parameters(), *chain.norms[0].parameters()):
            tensor.copy_(tensor[:1].expand_as(tensor))
        chain.convs[1].weight[:, 1:2] = 0.01 - chain.convs[1].weight[:, :1]
        chain.convs[1].weight[:, 2] = 0
        out = feed(chain, torch.relu, x)
        _, variance = prior_by_hand(chain.norms[0], chain.convs[1])
        assert (variance / out.var((0, 2, 3), unbiased=False)).mean() > 100
        bn = batch_norm_of(chain.norms[1])
        torch.testing.assert_close(chain.norms[1](out), bn(out))
        torch.testing.assert_close(chain.norms[1].running_var, bn.running_var)


@pytest.mark.parametrize(
    "between",
    [
        lambda y: y,
        lambda y: nn.functional.leaky_relu(y, 0.01),
        lambda y: nn.functional.dropout(y.relu(), 0.3),
        lambda y: y.relu() + 0.1 * y,
        lambda y: nn.functional.max_pool2d(y.relu(), 2),
        lambda y: nn.functional.max_pool2d(y.relu(), 3, 1, 1),
        lambda y: torch.cat((y.relu(), y.relu())),
    ],
)
def test_bn_where_something_else_stands_between(between, make_chain) -> None:
    chain = make_chain(2)
    bn = batch_norm_of(chain.norms[1])
    out = feed(chain, between, draw(2))
    torch.testing.assert_close(chain.norms[1](out), bn(out))


def test_bn_where_the_convolution_is_not_what_feeds_it(make_chain) -> None:
    chain = make_chain(2)
    bn = batch_norm_of(chain.norms[1])
    out = feed(chain, torch.relu, draw(2))
    for other in (2 * out, out[:1]):
        feed(chain, torch.relu, draw(2))
        torch.testing.assert_close(chain.norms[1](other), bn(other))


@pytest.mark.parametrize("way", [torch.relu, torch.relu_, nn.ReLU(), nn.ReLU(inplace=True)])
def test_every_way_to_write_relu_counts(way, make_chain) -> None:
    chain, x = make_chain(2), draw(2)
    want = chain.norms[1](feed(chain, torch.relu, x))
    torch.testing.assert_close(chain.norms[1](feed(chain, way, x)), want, rtol=0, atol=0)
    bn = batch_norm_of(chain.norms[1])
    assert (bn(feed(chain, way, x)) - want).abs().max() > 1e-2


def test_eval_uses_running_means_of_the_posterior(make_chain) -> None:
    chain, x = make_chain(2), draw(2)
    chain(x)
    _, used = by_hand(chain, x)
    for norm, mean, variance in zip(chain.norms, used[::2], used[1::2], strict=True):
        torch.testing.assert_close(norm.running_mean, 0.1 * mean.detach())
        values = 2 * (7 * 6 if norm is not chain.norms[2] else 14 * 12)
        share = 1.0 if norm is chain.norms[0] else 0.1
        batch = feed_moments(chain, x, norm)
        unbiased = variance.detach() + share * batch / (values - 1)
        torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * unbiased)
    chain.eval()
    close = torch.cat([chain(sample[None]) for sample in x])
    torch.testing.assert_close(chain(x), close)


def feed_moments(chain: Chain, x: Tensor, norm: nn.Module) -> Tensor:
    """The batch's variance in front of a norm."""
    seen = []
    handle = norm.register_forward_pre_hook(
        lambda _, given: seen.append(given[0].var((0, 2, 3), unbiased=False).detach())
    )
    copy.deepcopy(chain)(x)
    handle.remove()
    return seen[0]


def test_nothing_is_left_of_a_step_but_a_few_values(make_chain) -> None:
    chain = make_chain(2)
    for _ in range(2):
        chain(draw(2)).square().sum().backward()
    assert all(norm._prior is None for norm in chain.norms)
    *feeding, last = chain.norms
    assert last._left is None
    for norm in feeding:
        assert not norm._left.values.requires_grad
        assert norm._left.values.numel() <= 9 * norm.channels


def test_checkpointing_changes_no_gradient(make_chain) -> None:
    x, grads = draw(2), []
    for again in (False, True):
        chain = make_chain(2)
        y = x
        for conv, norm in zip(chain.convs, chain.norms, strict=True):
            block = nn.Sequential(conv, norm, nn.ReLU())
            y = checkpoint(block, y, use_reentrant=False) if again else block(y)
        y.square().sum().backward()
        grads.append([p.grad for p in chain.parameters()])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


def test_misfits_are_not_linked() -> None:
    norms = [BatchKalmanNorm(4, 2), BatchKalmanNorm(6, 2)]
    for conv in (nn.Conv2d(8, 6, 1), nn.Conv2d(4, 8, 1), nn.ConvTranspose2d(4, 6, 2, groups=2)):
        norms[1].link(conv, norms[0])
        assert not conv._forward_hooks
    conv = nn.Conv2d(4, 6, 1)
    norms[1].link(conv, norms[0])
    norms[1].link(conv, norms[0])
    assert len(conv._forward_hooks) == 1
    norms[1].unlink()
    assert not conv._forward_hooks


@pytest.mark.parametrize("p", [-0.1, 1.0])
def test_p_out_of_range(p: float) -> None:
    with pytest.raises(NormError, match="BKN: p must be from 0 to below 1, got"):
        BatchKalmanNorm(4, 2, p)
