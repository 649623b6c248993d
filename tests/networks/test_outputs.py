"""What networks return is read as logits at one or several scales."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from normsearch.networks.outputs import first_in_eval, scales

ONE, HALF = torch.zeros(2, 3, 8, 6), torch.zeros(2, 3, 4, 3)


@pytest.mark.parametrize(
    ("out", "expected"),
    [
        (ONE, [(2, 3, 8, 6)]),
        ([ONE, HALF], [(2, 3, 8, 6), (2, 3, 4, 3)]),
        ((ONE, HALF), [(2, 3, 8, 6), (2, 3, 4, 3)]),
        (torch.zeros(2, 4, 3, 8, 6), [(2, 3, 8, 6)] * 4),
        ([], None),
        ([ONE, None], None),
        ([[ONE]], None),
        ({"out": ONE}, None),
        (None, None),
    ],
)
def test_one_tensor_a_list_or_a_stack(out: Any, expected: Any) -> None:
    found = scales(out, 2)
    assert (found and [tuple(one.shape) for one in found]) == expected


def test_a_stack_is_taken_apart_in_order() -> None:
    stack = torch.arange(24.0).view(1, 2, 3, 2, 2)
    found = scales(stack, 2)
    assert found is not None
    assert torch.equal(torch.stack(found, 1), stack)
    assert scales(torch.zeros(2, 3), 0) is not None  # classes of whole images
    assert len(scales(torch.zeros(2, 4, 3), 0) or ()) == 4


@pytest.mark.parametrize("out", [ONE, [ONE, HALF], (ONE, None), (ONE, "more")])
def test_the_first_alone_whatever_follows(out: Any) -> None:
    (found,) = scales(out, 2, first_alone=True) or ()
    assert found is ONE
    assert scales([None, ONE], 2, first_alone=True) is None
    assert scales([], 2, first_alone=True) is None


class Several(nn.Module):
    def __init__(self, out: Any) -> None:
        super().__init__()
        self.out = out

    def forward(self, x: Tensor) -> Any:
        return self.out


@pytest.mark.parametrize("out", [[ONE, HALF], (ONE, HALF), ONE])
def test_in_eval_the_first_output_is_the_prediction(out: Any) -> None:
    net = Several(out)
    net.register_forward_hook(first_in_eval)
    assert net.train()(ONE) is out
    assert net.eval()(ONE) is ONE


@pytest.mark.parametrize("out", [[], {"out": ONE}, None])
def test_other_outputs_are_left_for_the_check_of_the_network(out: Any) -> None:
    net = Several(out)
    net.register_forward_hook(first_in_eval)
    assert net.eval()(ONE) is out
