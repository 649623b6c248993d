"""Gradients of parameters that changed in place, and of a forward pass that is computed again."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from normsearch.norms import build_norm
from tests.benchmarks.each_norm import specs

pytestmark = pytest.mark.usefixtures("both_kernels")


def made(text: str) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a norm that has seen a batch, its input, and the gradient of its output."""
    generator = torch.Generator().manual_seed(0)
    first, x, dy = torch.randn(3, 4, 32, 6, 5, generator=generator)
    norm = build_norm(text, 32, 2)
    norm(first - 1)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.copy_(0.1 + 0.8 * torch.rand(parameter.shape, generator=generator))
    return norm, (2 * x + 1).requires_grad_(), dy


@pytest.mark.parametrize("text", specs())
def test_a_parameter_that_changed_in_place_is_noticed_or_not_needed(text: str) -> None:
    norm, x, dy = made(text)
    want = torch.autograd.grad(norm(x), [x, *norm.parameters()], dy)
    for name, _ in norm.named_parameters():
        norm, x, dy = made(text)
        y = norm(x)
        with torch.no_grad():
            norm.get_parameter(name).mul_(1.5)
        try:
            got = torch.autograd.grad(y, [x, *norm.parameters()], dy)
        except RuntimeError as error:
            if "modified by an inplace operation" not in str(error):
                raise
        else:
            torch.testing.assert_close(got, want)


@pytest.mark.parametrize("text", specs())
def test_a_checkpoint_changes_no_gradient_but_that_of_batch_renorm(text: str) -> None:
    grads = []
    for again in (False, True):
        norm, x, dy = made(text)
        y = checkpoint(norm, x, use_reentrant=False) if again else norm(x)
        grads.append(torch.autograd.grad(y, [x, *norm.parameters()], dy))
    if text == "BRN":  # r and d are those of the running moments, which have moved
        assert not torch.allclose(grads[0][0], grads[1][0], rtol=1e-2)
    else:
        torch.testing.assert_close(*grads)
