"""Base classes of the norms that PyTorch does not have."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from normsearch.errors import NormError
from normsearch.norms.batch_moments import bessel, is_shared, pool_batch
from normsearch.norms.compiled import Recipe, Running, by_kernels
from normsearch.norms.kernels import use_triton
from normsearch.norms.moments import (
    Affine,
    Moments,
    Pullback,
    by_autograd,
    full,
    in_format_of,
    normalize_composed,
    normalize_linearized,
)


def by_rows(x: Tensor, norm: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply `norm` to a contiguous copy of `x` and return the result in the memory format of `x`.

    On CPUs, group_norm of PyTorch 2.13 computes E[x²] − E[x]² for channels_last inputs; at a mean
    of 1e3 the error exceeds the values. Its instance_norm loses the memory format.
    """
    return in_format_of(norm(x.contiguous()), x)


def by_pixels(x: Tensor, norm: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply `norm` to `x` with its channels last, (N, *spatial, C), and return it as `x` is."""
    out = norm(x.movedim(1, -1)).movedim(-1, 1)
    return out.contiguous() if x.is_contiguous() else in_format_of(out, x)


class Norm(nn.Module):
    """A norm of (N, C, *spatial) tensors that `list_norms` recognizes.

    Args:
        channels: C.
        dims: the number of spatial axes: 1, 2 or 3.
    """

    spec_text: str  # what NormSpec.parse reads back

    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        self.channels = channels
        self.dims = dims

    def check_input(self, x: Tensor) -> None:
        """Raise NormError unless `x` is (N, C, *spatial) with this norm's C and spatial axes."""
        if x.dim() != self.dims + 2 or x.shape[1] != self.channels:
            axes = ", ".join(["N", str(self.channels), *"DHW"[3 - self.dims :]])
            raise NormError(f"{self.spec_text} needs an input ({axes}), got {tuple(x.shape)}")

    def check_values(self, x: Tensor) -> None:
        """Raise NormError if `x` has no value, of which there are no statistics."""
        if x.numel() == 0:
            raise NormError(f"{self.spec_text} needs at least one value, got {tuple(x.shape)}")

    def fix_bias(self) -> None:
        """Give a norm without β a 0 that is neither learnt nor saved."""
        self.register_buffer("bias", torch.zeros(self.channels), persistent=False)

    def gates(self) -> list[nn.Parameter]:
        """Return the parameters that mix statistics; they need their own optimizer group."""
        return []

    def affine_parameters(self) -> list[nn.Parameter]:
        """Return weight and bias, which `freeze_affine` fixes: all but the gates."""
        gates, own = {id(gate) for gate in self.gates()}, self.parameters(recurse=False)
        return [parameter for parameter in own if id(parameter) not in gates]

    def clamp_gates(self) -> None:
        """Clamp the gates to their range; call it after each optimizer step."""

    def mixing_weights(self) -> dict[str, dict[str, float]]:
        """Return the current mixing weights: {statistic: {norm: weight}}."""
        return {}

    def extra_repr(self) -> str:
        return f"{self.spec_text}, {self.channels}, dims={self.dims}"


class FormulaNorm(Norm):
    """Base of norms that are one formula in torch, and a recipe for the compiled kernels.

    A subclass implements `formula`, and `recipe` and `arguments` where the kernels can follow it.
    It has weight, bias and eps; derivatives of any order.
    """

    weight: nn.Parameter
    bias: nn.Parameter  # a buffer after `fix_bias`
    eps: float
    tracks = True  # whether `formula` updates the running statistics, if it has any

    def formula(self, x: Tensor, weight: Tensor, bias: Tensor, *arguments: Tensor) -> Tensor:
        """Return the norm of x (N, C, *spatial) in its dtype, by differentiable operations."""
        raise NotImplementedError

    def formula_alone(self) -> Callable[..., Tensor]:
        """Return `formula` in the mode of now, which updates no running statistic."""
        training = self.training

        def alone(*given: Tensor) -> Tensor:
            before = self.training
            self.training, self.tracks = training, False
            try:
                return self.formula(*given)
            finally:
                self.training, self.tracks = before, True

        return alone

    def arguments(self) -> tuple[Tensor, ...]:
        """Return the parameters other than weight and bias, as `formula` takes them."""
        return ()

    def recipe(self, samples: int, pixels: int) -> Recipe | None:
        """Return `formula` as data for the compiled kernels, None if not supported."""
        return None

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        given = x, self.weight, self.bias
        out = by_kernels(*given, self.recipe, self.eps, self.formula_alone())
        if out is not None:
            return out
        with torch.autocast(x.device.type, enabled=False):
            return in_format_of(self.formula(*given, *self.arguments()), x)


class OwnsActivation:
    """Marks a norm that is its own activation: none may follow it (FRN, EvoNorm).

    In a network it takes the place of the norm and of the activation behind it; see
    `normsearch.networks.following`.
    """

    weight: nn.Parameter
    bias: nn.Parameter

    def affine_parameters(self) -> list[nn.Parameter]:
        """Return weight and bias; what belongs to the activation still learns."""
        return [self.weight, self.bias]


class MomentNorm(Norm):
    """Base of the composite norms: weight, bias, the input check and the pass over the pixels.

    A subclass implements `coefficients`, and `gates` and `mixing_weights` if it learns a mixture.
    Shape: (N, C, *spatial) -> the same, in the input's dtype.
    """

    residual = False  # whether the input is added to the result

    def __init__(self, channels: int, dims: int, eps: float = 1e-5) -> None:
        super().__init__(channels, dims)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def coefficients(self, moments: Moments, pixels: int) -> Affine:
        """Return the affine map, without weight and bias, from moments of shape (N, C).

        Uses differentiable PyTorch operations. It is the only method that a norm must implement.
        """
        raise NotImplementedError

    def linearize(self, moments: Moments, pixels: int) -> tuple[Affine, Pullback]:
        """Return `coefficients` and the pullback to the moments and `extra_inputs`.

        By default autograd computes the pullback. A norm that implements it saves two dozen small
        operations, which cost as much as the pixels of a small map.
        """
        return by_autograd(partial(self.coefficients, pixels=pixels), self.extra_inputs(), moments)

    def recipe(self, samples: int, pixels: int) -> Recipe | None:
        """Return `coefficients` as data for the compiled kernels, None if not supported."""
        return None

    def extra_inputs(self) -> list[Tensor]:
        """Return the tensors other than the moments that `coefficients` depends on."""
        return [p for p in self.parameters() if p is not self.weight and p is not self.bias]

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        out = None if torch.compiler.is_compiling() else self._by_kernels(x)
        if out is None:
            out = self.by_torch(x, x.shape[2:].numel())
            return x + out if self.residual else out
        return out

    def by_torch(self, x: Tensor, pixels: int) -> Tensor:
        """Return the output by torch's kernels."""
        if torch.compiler.is_compiling():
            made = partial(self.coefficients, pixels=pixels)
            return normalize_composed(x, self.weight, self.bias, made)
        self.check_values(x)
        linearize = partial(self.linearize, pixels=pixels)
        # GRN's eps stands beside a norm of x: as part of a variance its rounding would exceed it.
        eps = 1e-20 if self.residual else self.eps
        return normalize_linearized(x, self.weight, self.bias, linearize, eps, self.extra_inputs())

    def _by_kernels(self, x: Tensor) -> Tensor | None:
        """Return the output by the kernels in Triton or C, None if they do not support it."""
        if use_triton():
            from normsearch.norms import triton_norm  # here, as importing Triton takes a second

            if triton_norm.can_compute(x):
                recipe = self.recipe(len(x), x.shape[2:].numel())
                plan = recipe and triton_norm.plan_of(recipe, self.weight, self.bias, x)
                if recipe and plan:
                    given = x, self.weight, self.bias, recipe, self.eps
                    return triton_norm.normalize_triton(*given, plan)
        return by_kernels(x, self.weight, self.bias, self.recipe, self.eps)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, eps={self.eps}"


def update_running(momentum: float | None, batches: Tensor, *pairs: tuple[Tensor, Tensor]) -> None:
    """Count a batch, and move running statistics towards those of the batch, in place.

    Args:
        momentum: the share of the batch; None for a cumulative average.
        batches: the number of batches so far, 0-dim.
        pairs: running statistic, (C,), and that of the batch, (C,) or (1, C).
    """
    batches.add_(1)
    for running, new in pairs:
        # A tensor, not float(): reading the count would make a GPU wait at every batch.
        step = (1.0 / batches).to(running.dtype) if momentum is None else momentum
        running.lerp_(new.detach().view(-1).to(running.dtype), step)


class RunningMomentNorm(MomentNorm):
    """A composite norm with running moments for eval, as in torch's BatchNorm.

    `running_mean`, `running_var`, `num_batches_tracked`, `momentum` (None: cumulative average) and
    `reset_running_stats()` have the same meaning, so that one function can recompute them all.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    sync = False  # whether the batch is that of all processes

    def __init__(
        self, channels: int, dims: int, eps: float = 1e-5, momentum: float | None = 0.1
    ) -> None:
        super().__init__(channels, dims, eps)
        self.momentum = momentum
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.long))

    def by_autograd_alone(self) -> bool:
        """Return whether neither kernels nor gradients by hand will do: with other processes'."""
        return self.training and is_shared(self.sync)

    def reset_running_stats(self) -> None:
        """Reset to mean 0, variance 1 and no tracked batch."""
        self.running_mean.zero_()
        self.running_var.fill_(1)
        self.num_batches_tracked.zero_()

    def track(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running moments with those of one batch, (C,) or (1, C)."""
        pairs = (self.running_mean, mean), (self.running_var, variance)
        update_running(self.momentum, self.num_batches_tracked, *pairs)

    def batch_moments(self, moments: Moments, pixels: int) -> Moments:
        """Return the moments of the batch, (1, C), and track them with the unbiased variance."""
        batch, values = pool_batch(moments, pixels, self.sync)
        self.track(batch.mean, batch.variance * bessel(values, self.spec_text))
        return batch

    def batch_as_data(self, samples: int, pixels: int) -> tuple[int, Running]:
        """Return the samples of BN's pool, 0 in eval, and the running moments, unbiased."""
        if not self.training:
            return 0, Running.of(self)
        return samples, Running.of(self, bessel(samples * pixels, self.spec_text))

    def batch_recipe(self, samples: int, pixels: int) -> Recipe:
        """Return the recipe of BN."""
        block, running = self.batch_as_data(samples, pixels)
        return Recipe(((block, 1),), running=running)

    def running(self) -> Moments:
        """Return the running moments, (1, C)."""
        return Moments(full(self.running_mean)[None], full(self.running_var)[None])
