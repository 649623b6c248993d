"""The average of weights is its formula, and changes nothing in the training."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from normsearch.norms import BatchRenorm, build_norm
from normsearch.training.weight_average import WeightAverage


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), build_norm("BRN", 2, 2), build_norm("SN", 2, 2))


def walk(net: nn.Module, average: WeightAverage, steps: int) -> list[dict[str, Tensor]]:
    """Change weights and buffers at random; return the weights after each step."""
    seen = []
    for _ in range(steps):
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(torch.randn(parameter.shape))
        net.train()(torch.randn(2, 1, 6, 6))
        average.update()
        seen.append({name: value.detach().clone() for name, value in net.named_parameters()})
    return seen


def same(one: nn.Module, state: dict[str, Tensor]) -> bool:
    own = one.state_dict()
    return own.keys() == state.keys() and all(torch.equal(own[name], state[name]) for name in own)


@pytest.mark.parametrize("decay", [0.5, 0.9])
def test_it_is_the_formula_and_the_weights_come_back(decay: float) -> None:
    net = network()
    average = WeightAverage(net, decay)
    seen = walk(net, average, 4)
    trained = copy.deepcopy(net.state_dict())
    average.place()
    for name, value in net.named_parameters():
        expected = seen[0][name].double()
        for weights in seen[1:]:
            expected = decay * expected + (1 - decay) * weights[name].double()
        torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-6)
        assert not torch.equal(value, trained[name])
    norm = net[1]
    assert isinstance(norm, BatchRenorm)
    assert torch.equal(norm.running_mean, trained["1.running_mean"])
    norm.running_mean.fill_(7)  # as if recomputed for the averaged weights
    average.remove()
    assert same(net, trained)


def test_a_state_goes_on_as_if_nothing_had_happened() -> None:
    net, other = network(), network()
    average, again = WeightAverage(net, 0.8), WeightAverage(other, 0.8)
    walk(net, average, 2)
    average.place()
    state = copy.deepcopy({"network": net.state_dict(), **average.state()})
    other.load_state_dict(state["network"])
    again.restore(state)
    assert same(other, net.state_dict())
    for one, its in ((net, average), (other, again)):
        torch.manual_seed(5)
        its.remove()
        walk(one, its, 2)
        its.place()
    assert same(other, net.state_dict())


def test_without_a_decay_nothing_happens() -> None:
    net = network()
    average = WeightAverage(net, None)
    before = copy.deepcopy(net.state_dict())
    average.update()
    average.place()
    assert average.state() == {}
    average.restore({})
    average.remove()
    assert same(net, before)


def test_states_of_other_trainings_are_refused() -> None:
    net = network()
    with pytest.raises(ValueError, match="in one of the two alone"):
        WeightAverage(net, 0.9).restore({})
    with pytest.raises(ValueError, match="in one of the two alone"):
        WeightAverage(net, None).restore({"trained": net.state_dict()})
    with pytest.raises(RuntimeError, match="Missing key"):
        WeightAverage(net, 0.9).restore({"trained": {}})
