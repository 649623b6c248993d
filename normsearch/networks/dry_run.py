"""Tries a network before the first trial: forward in eval and training, backward, one step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import torch
from torch import Tensor, nn

from normsearch.errors import NetworkError, count, one_line
from normsearch.networks.outputs import scales
from normsearch.networks.slots import apply_norm_map, norm_modules
from normsearch.networks.verify import idle_slots, norms_called

Loss = Callable[[Any, Tensor], Tensor]
Batch = tuple[Tensor, Tensor]
_Mode = Literal["eval", "training"]

_RATE = 1e-3
_DRAWS = 16  # random weights; for half of them a network with a single final bias stays above 0
_CURE = "turn deep supervision and other extra outputs off in network.arguments, or wrap it"
_FIRST = "; or train its first output alone, with training.deep_supervision: false"
_NO_MEMORY = ("can't allocate memory", "out of memory")


@dataclass(frozen=True)
class Tried:
    """The result of a dry run.

    Attributes:
        idle: the norm slots whose norm runs neither in eval nor in training.
        warnings: possible problems, as sentences.
    """

    idle: tuple[str, ...]
    warnings: tuple[str, ...]


def dry_run(
    net: nn.Module,
    shapes: Sequence[Sequence[int]],
    batches: Sequence[Batch],
    loss: Loss,
    outputs: int,
    *,
    first_alone: bool = False,
) -> Tried:
    """Check that a network can be trained and searched on this machine.

    Runs one sample of every shape in eval. In training, each batch takes a forward pass, and the
    first one also a backward pass and an optimizer step. All norms are replaced by LN, which allows
    any batch size; the norms of the space are tried in their trials.

    Args:
        net: the network, which is changed and should not be used afterwards.
        shapes: each (C, *spatial) of a sample.
        batches: images and labels as the loss takes them.
        loss: scalar from all that the network returns in training, and labels.
        outputs: the number of channels of the logits.
        first_alone: whether the loss takes only the first of several outputs.

    Raises:
        NetworkError: a check fails; the message names the size and the check.
    """
    net = _ready(net)
    classified = batches[0][1].dim() == 1
    with torch.random.fork_rng(devices=[]), norms_called() as called:
        torch.manual_seed(0)
        for shape in shapes:
            wanted = (1, outputs, *(() if classified else shape[1:]))
            with torch.no_grad():
                _forward(net, torch.randn(1, *shape), wanted, "eval")
        warnings = _train(net, batches, loss, outputs, first_alone)
        idle = idle_slots(net, called)
        if len(idle) == len(norm_modules(net)):
            _refuse(net, "must have a norm slot that runs, and none of its norms does")
        warnings += _never_negative(net, batches[0][0])
    return Tried(tuple(idle), tuple(warnings))


def _ready(net: nn.Module) -> nn.Module:
    """Return the network on the CPU with LN in its slots, after checking slots and parameters."""
    tensors = [*net.parameters(), *net.buffers()]
    if any(nn.parameter.is_lazy(tensor) for tensor in tensors):
        _refuse(net, "must know the sizes of its parameters, and has lazy ones; give the channels")
    devices = sorted({str(tensor.device) for tensor in tensors})
    if len(devices) > 1 or "meta" in devices:
        _refuse(
            net,
            f"must have all its parameters on one device, got {', '.join(devices)}; build it on "
            "the CPU: the training moves it",
        )
    if not norm_modules(net):
        _refuse(net, "must have a norm slot (BN, IN or GN module), and has none")
    net = net.cpu()
    apply_norm_map(net, {"*": "LN"})
    return net


def _train(
    net: nn.Module, batches: Sequence[Batch], loss: Loss, outputs: int, first_alone: bool
) -> list[str]:
    """Try the batches in training; return a warning if there is too little memory."""
    for index, (images, labels) in enumerate(batches):
        wanted = (len(images), outputs, *(() if labels.dim() == 1 else images.shape[2:]))
        try:
            with torch.set_grad_enabled(index == 0):
                out = _forward(net, images, wanted, "training", first_alone)
                if index == 0:
                    _step(net, loss, out, labels)
        except _NoMemoryError as error:
            return [f"{error}; it is not tried in training before the first trial"]
    return []


def _step(net: nn.Module, loss: Loss, out: object, labels: Tensor) -> None:
    """Run the backward pass from what the network returned, and one optimizer step."""
    with _faults(net, "must be trainable"):
        value = loss(out, labels)
    number = float(value.detach())
    if not math.isfinite(number):
        _refuse(net, f"must have a finite loss in training, got {number}")
    learning = [parameter for parameter in net.parameters() if parameter.requires_grad]
    if not (learning and value.requires_grad):
        _refuse(
            net,
            "must give its parameters a gradient in training, and none gets one; look for "
            "detach(), no_grad() or frozen parameters",
        )
    optimizer = torch.optim.SGD(learning, lr=_RATE)
    with _faults(net, "must be trainable"):
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    gradients = [parameter.grad for parameter in learning if parameter.grad is not None]
    if not gradients:
        _refuse(net, "must give its parameters a gradient in training, and none gets one")
    if not all(bool(gradient.isfinite().all()) for gradient in gradients):
        _refuse(net, "must have finite gradients in training, and has NaN or infinite ones")


def _forward(
    net: nn.Module, images: Tensor, wanted: Sequence[int], mode: _Mode, first_alone: bool = False
) -> object:
    """Return a network's output for images, after checking its logits (in training, all scales)."""
    size = _sides(images.shape)
    net.train(mode == "training")
    with _faults(net, f"must accept an input of {size} in {mode}", "; change task.size or "):
        out = net(images)
    found = [out] if isinstance(out, Tensor) else None
    if mode == "training":
        found = scales(out, len(wanted) - 2, first_alone=first_alone)
    if found is None:
        several, first = "", ""
        if mode == "training":
            several = ", or a list of them at several scales,"
            first = _FIRST if isinstance(out, list | tuple) and not first_alone else ""
        _refuse(
            net,
            f"must return one tensor of logits{several} in {mode}, got {_described(out)}; {_CURE}"
            f"{first}",
        )
    _check_sizes(net, size, [tuple(one.shape) for one in found], tuple(wanted), mode)
    for logits in found:
        if not logits.is_floating_point():
            _refuse(
                net, f"must return logits, floating-point numbers, in {mode}, got {logits.dtype}"
            )
        if not bool(logits.isfinite().all()):
            _refuse(net, f"must return finite logits in {mode}, got NaN or infinite ones")
    return out


def _check_sizes(
    net: nn.Module, size: str, found: list[tuple[int, ...]], wanted: tuple[int, ...], mode: _Mode
) -> None:
    """Check that the first logits have the wanted size, and those of other scales no larger one."""
    if found[0] != wanted:
        deep = f"; {_CURE}" if mode == "training" else ""
        _refuse(
            net,
            f"must turn an input of {size} into an output of {_sides(wanted)} in {mode}, got "
            f"{_sides(found[0])}; see network.arguments{deep}",
        )
    for number, shape in enumerate(found[1:], 2):
        alike = shape[:2] == wanted[:2] and len(shape) == len(wanted)
        if not alike or any(side > most for side, most in zip(shape, wanted, strict=True)):
            _refuse(
                net,
                f"must return logits of {count(wanted[1], 'channel')} at every scale in {mode}, "
                f"none larger than the first, {_sides(wanted)}, got "
                f"{_sides(shape) or 'a scalar'} as output {number}; {_CURE}{_FIRST}",
            )


def _never_negative(net: nn.Module, images: Tensor) -> list[str]:
    """Return a warning if no output is below 0 for any of several random weights."""
    with torch.no_grad():
        for _ in range(_DRAWS):
            if bool((net.eval()(images[:1]) < 0).any()):
                return []
            for parameter in net.parameters():
                inputs = max(1, math.prod(parameter.shape[1:]))
                parameter.normal_(std=math.sqrt(2 / inputs))
    return [
        f"{type(net).__name__}: its outputs never go below 0, and the losses take logits, before "
        "any sigmoid or softmax; a ReLU, sigmoid or softmax at its end belongs out of it"
    ]


class _NoMemoryError(NetworkError):
    """There is too little memory on this machine."""


@contextmanager
def _faults(net: nn.Module, must: str, or_change: str = "; see ") -> Iterator[None]:
    """Convert exceptions of a network to NetworkError."""
    try:
        yield
    # Foreign code may raise anything, and every exception is a fault of the network.
    except (Exception, SystemExit) as error:
        if isinstance(error, MemoryError) or any(text in str(error) for text in _NO_MEMORY):
            raise _NoMemoryError(
                f"{type(net).__name__}: {must}, and says: {one_line(error)}"
            ) from error
        raise NetworkError(
            f"{type(net).__name__}: {must}, and says: {one_line(error)}{or_change}network.arguments"
        ) from error


def _refuse(net: nn.Module, what: str) -> NoReturn:
    raise NetworkError(f"{type(net).__name__}: {what}")


def _described(out: Any) -> str:
    """Describe what a network returned, with the sizes of its tensors."""
    kind = type(out).__name__
    items = list(out.values()) if isinstance(out, Mapping) else out
    if not isinstance(items, list | tuple):
        return f"a {kind}"
    sizes = [_sides(item.shape) if isinstance(item, Tensor) else _described(item) for item in items]
    return f"a {kind} of {len(items)} ({', '.join(sizes)})"


def _sides(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
