"""A network is tried in eval and in training; every fault is one sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from normsearch.errors import NetworkError
from normsearch.networks import Tried, UNet2d, dry_run

SHAPE = (1, 8, 10)


def loss(logits: Tensor, truth: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, truth)


def tried(
    net: nn.Module, *, outputs: int = 1, sizes: tuple[int, ...] = (2,), shapes: Any = (SHAPE,)
) -> Tried:
    batches = [(torch.randn(size, *SHAPE), torch.ones(size, outputs, *SHAPE[1:])) for size in sizes]
    return dry_run(net, shapes, batches, loss, outputs)


class Net(nn.Module):
    """A norm between two convolutions; `end` is what is done to what it computes."""

    def __init__(self, end: Callable[[nn.Module, Tensor], Any] = lambda net, out: out) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.head, self.end = nn.Conv2d(4, 1, 1), end

    def forward(self, x: Tensor) -> Any:
        return self.end(self, self.head(self.norm(self.conv(x)).relu()))


def in_training(change: Callable[[Tensor], Any]) -> Net:
    return Net(lambda net, out: change(out) if net.training else out)


class OwnError(Exception):
    """An exception that only this network knows."""


def raising(error: Exception) -> Callable[[Tensor], Any]:
    def change(out: Tensor) -> Any:
        raise error

    return change


def detached() -> nn.Module:
    return Net(lambda net, out: out.detach())


class Infinite(torch.autograd.Function):
    """Its gradient is NaN."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient * float("nan")


def scattered() -> nn.Module:
    net = Net()
    net.head.to("meta")
    return net


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Net(lambda net, out: [out]), r"in eval, got a list of 1 \(1 x 1 x 8 x 10\); turn"),
        (
            lambda: in_training(lambda out: [out, [out[..., ::2, ::2]]]),
            r"logits, or a list of them at several scales, in training, got a list of 2 \(2 x 1 x "
            r"8 x 10, a list of 1 \(2 x 1 x 4 x 5\)\); turn .*network.arguments, or wrap it; or "
            "train its first output alone, with training.deep_supervision: false",
        ),
        (
            lambda: in_training(lambda out: [out, out[..., ::2, ::2].repeat(1, 2, 1, 1)]),
            "return logits of 1 channel at every scale in training, none larger than the first, "
            "2 x 1 x 8 x 10, got 2 x 2 x 4 x 5 as output 2; turn .*deep_supervision: false",
        ),
        (
            lambda: in_training(lambda out: [out[..., ::2, ::2], out]),
            "into an output of 2 x 1 x 8 x 10 in training, got 2 x 1 x 4 x 5; .*deep supervision",
        ),
        (lambda: in_training(lambda out: (out, None)), r"in training, got a tuple of 2 \(2 x 1 x "),
        (lambda: in_training(lambda out: {"out": out}), r"in training, got a dict of 1 \(2 x 1 x "),
        (
            lambda: in_training(lambda out: out[:, None, None]),
            "output of 2 x 1 x 8 x 10 in training, got 2 x 1 x 1 x 1 x 8 x 10; .*deep supervision",
        ),
        (
            lambda: Net(lambda net, out: out.repeat(1, 3, 1, 1)),
            "an input of 1 x 1 x 8 x 10 into an output of 1 x 1 x 8 x 10 in eval, got 1 x 3 x 8",
        ),
        (
            lambda: Net(lambda net, out: out[..., 1:]),
            "into an output of 1 x 1 x 8 x 10 in eval, got 1 x 1 x 8 x 9; see network.arguments",
        ),
        (
            lambda: Net(lambda net, out: out.long()),
            "floating-point numbers, in eval, got",
        ),
        (lambda: Net(lambda net, out: out * float("nan")), "finite logits in eval, got NaN"),
        (lambda: in_training(lambda out: out / 0), "finite logits in training, got NaN"),
        (
            lambda: in_training(raising(OwnError("a bug\nof theirs"))),
            "Net: must accept an input of 2 x 1 x 8 x 10 in training, and says: a bug of theirs; "
            "change task.size or network.arguments",
        ),
        (lambda: Net(lambda net, out: raising(OwnError())(out)), "in eval, and says: OwnError"),
        (detached, "must give its parameters a gradient in training, and none gets one; look for"),
        (lambda: in_training(Infinite.apply), "must have finite gradients in training"),
        (scattered, "all its parameters on one device, got cpu, meta; build it on the CPU"),
        (lambda: nn.Sequential(nn.LazyConv2d(1, 1), nn.BatchNorm2d(1)), "has lazy ones"),
        (lambda: nn.Conv2d(1, 1, 1), "Conv2d: must have a norm slot"),
    ],
)
def test_faults(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        tried(make())


def test_every_shape_is_tried_in_eval() -> None:
    def choosy(net: nn.Module, out: Tensor) -> Tensor:
        if out.shape[-1] == 9:
            raise ValueError("no nines")
        return out

    with pytest.raises(NetworkError, match="an input of 1 x 1 x 8 x 9 in eval, and says: no nines"):
        tried(Net(choosy), shapes=(SHAPE, (1, 8, 9)))


def test_every_batch_size_is_tried_in_training() -> None:
    squeezed = in_training(lambda out: out.squeeze(0))
    assert tried(squeezed, sizes=(2,)).idle == ()
    with pytest.raises(NetworkError, match="output of 1 x 1 x 8 x 10 in training, got 1 x 8 x 10"):
        tried(squeezed, sizes=(1, 2))
    alone = in_training(lambda out: out.view(1, 1, 8, 10))
    with pytest.raises(NetworkError, match="input of 2 x 1 x 8 x 10 in training, and says: shape"):
        tried(alone, sizes=(1, 2))


def test_batch_size_1_is_no_fault_of_the_norms() -> None:
    """BN with one value a channel fails in training; what of the space does is for its trials."""
    pooled = Net()
    pooled.norm = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4), nn.Upsample((8, 10)))
    assert tried(pooled, sizes=(1, 2)) == Tried((), ())


@pytest.mark.parametrize(
    ("end", "warned"),
    [
        (lambda net, out: out.relu(), True),
        (lambda net, out: out.sigmoid(), True),
        (lambda net, out: torch.cat([out, -out], 1).softmax(1)[:, :1], True),
        (lambda net, out: out, False),
        (lambda net, out: out.tanh(), False),
    ],
)
def test_outputs_that_never_go_below_0_are_told(end: Any, warned: bool) -> None:
    found = tried(Net(end)).warnings
    assert [text.partition(",")[0] for text in found] == (
        ["Net: its outputs never go below 0"] if warned else []
    )


def test_outputs_that_are_positive_by_chance_are_not_told() -> None:
    net = Net()
    with torch.no_grad():
        net.head.weight.abs_()
        net.head.bias.fill_(1)
    assert tried(net).warnings == ()


class Spare(Net):
    """A norm that never runs, and one that runs in training alone."""

    def __init__(self) -> None:
        super().__init__(lambda net, out: net.late(out) if net.training else out)
        self.late, self.spare = nn.BatchNorm2d(1), nn.BatchNorm2d(4)


def test_norms_that_never_run_are_named() -> None:
    assert tried(Spare()).idle == ("spare",)


def test_one_norm_at_least_must_run() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 1))
    net.forward = lambda x: net[0](x)  # type: ignore[method-assign]
    net.spare = nn.BatchNorm2d(1)
    with pytest.raises(NetworkError, match="must have a norm slot that runs, and none of its"):
        tried(net)


class Hidden(Net):
    """Its second norm is in a plain list: torch does not know it."""

    def __init__(self) -> None:
        super().__init__(lambda net, out: net.norms[0](out))
        self.norms = [nn.BatchNorm2d(1)]


def test_norms_that_no_map_reaches_are_found() -> None:
    with pytest.raises(NetworkError, match=r"and 1 \(BatchNorm2d\) is not; no norm map reaches it"):
        tried(Hidden())


def test_want_of_memory_here_is_no_fault_of_the_network() -> None:
    (warning,) = tried(in_training(raising(MemoryError()))).warnings
    assert warning == (
        "Net: must accept an input of 2 x 1 x 8 x 10 in training, and says: MemoryError; it is not "
        "tried in training before the first trial"
    )


def test_random_numbers_are_as_before() -> None:
    net, batch = UNet2d(depth=1, seed=0), (torch.randn(2, *SHAPE), torch.ones(2, *SHAPE))
    before = torch.get_rng_state()
    assert dry_run(net, [SHAPE], [batch], loss, 1) == Tried((), ())
    assert torch.equal(torch.get_rng_state(), before)


def test_whole_images_have_a_class() -> None:
    pooled = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    batch = torch.randn(2, *SHAPE), torch.tensor([3, 0])
    assert dry_run(pooled, [SHAPE], [batch], functional.cross_entropy, 4).idle == ()
    with pytest.raises(NetworkError, match="into an output of 1 x 3 in eval, got 1 x 4"):
        dry_run(pooled, [SHAPE], [batch], functional.cross_entropy, 3)


@pytest.mark.parametrize(
    "change",
    [
        lambda out: [out, out[..., ::2, ::2]],
        lambda out: (out, out[..., ::2, ::2], out[..., ::4, ::4]),
        lambda out: torch.stack([out, out], 1),
    ],
)
def test_several_scales_in_training_are_given_to_the_loss(change: Callable[[Tensor], Any]) -> None:
    seen: list[Any] = []

    def of_all(out: Any, truth: Tensor) -> Tensor:
        seen.append(out)
        return loss(out[0] if isinstance(out, list | tuple) else out[:, 0], truth)

    batch = torch.randn(2, *SHAPE), torch.ones(2, *SHAPE)
    assert dry_run(in_training(change), [SHAPE], [batch], of_all, 1) == Tried((), ())
    (out,) = seen
    assert type(out) is type(change(torch.zeros(2, *SHAPE)))


@pytest.mark.parametrize("change", [lambda out: (out, None), lambda out: [out, out.mean()]])
def test_the_first_of_several_outputs_alone_may_be_trained(change: Callable[[Tensor], Any]) -> None:
    batch = torch.randn(2, *SHAPE), torch.ones(2, *SHAPE)
    first = lambda out, truth: loss(out[0], truth)  # noqa: E731
    net = in_training(change)
    assert dry_run(net, [SHAPE], [batch], first, 1, first_alone=True) == Tried((), ())
    with pytest.raises(NetworkError, match=r"in training, got|got a scalar as output 2"):
        dry_run(in_training(change), [SHAPE], [batch], first, 1)
