import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from normsearch.errors import NetworkError
from normsearch.networks import ResUNet3d, UNet2d, use_checkpointing
from normsearch.networks.checkpointing import checkpointed
from normsearch.norms import set_progress
from tests.specs import every_spec


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small convolutions are faster so, above all beside other programs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def step(network: nn.Module, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Output and gradients of one pass in training mode."""
    network.train().zero_grad()
    out: Tensor = network(x)
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()  # type: ignore[no-untyped-call]
    grads = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    return out.detach(), grads


@pytest.mark.parametrize("spec", every_spec(samples=2))
def test_gradients_and_running_statistics_are_those_of_an_ordinary_pass(spec: str) -> None:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(3, 2, 1, 4, 8, 8, generator=generator)
    plain = ResUNet3d(first_channels=16, depth=1, norm=spec, seed=0)
    set_progress(plain, 0.5)
    saving = copy.deepcopy(plain)
    use_checkpointing(saving)
    for x in images:  # statistics of one pass are what the next one starts from
        expected, gradients = step(plain, x)
        found, again = step(saving, x)
        assert torch.equal(found, expected)
        assert again.keys() == gradients.keys()
        for name, gradient in gradients.items():
            assert torch.equal(again[name], gradient), name
        for (name, one), other in zip(saving.named_buffers(), plain.buffers(), strict=True):
            assert torch.equal(one, other), name


@pytest.mark.parametrize("spec", every_spec())
def test_a_block_runs_twice_and_no_more(spec: str) -> None:
    network = ResUNet3d(first_channels=16, depth=1, norm=spec, seed=0)
    use_checkpointing(network)
    calls = []
    conv = network.get_submodule("enc1.conv1.conv")
    conv.register_forward_hook(lambda *given: calls.append(1))
    step(network, torch.randn(1, 1, 4, 8, 8))
    assert len(calls) == 2


def test_running_statistics_are_updated_once() -> None:
    network = ResUNet3d(first_channels=4, depth=1, seed=0)
    use_checkpointing(network)
    step(network, torch.randn(1, 1, 4, 8, 8))
    counts = {name: b for name, b in network.named_buffers() if name.endswith("batches_tracked")}
    assert len(counts) == 6
    assert all(count == 1 for count in counts.values())


def test_buffers_stay_the_tensors_they_were() -> None:
    network = ResUNet3d(first_channels=4, depth=1, seed=0)
    use_checkpointing(network)
    before = {name: buffer.data_ptr() for name, buffer in network.named_buffers()}
    step(network, torch.randn(1, 1, 4, 8, 8))
    assert {name: buffer.data_ptr() for name, buffer in network.named_buffers()} == before


def test_less_is_kept_for_the_backward_pass() -> None:
    kept: list[int] = []

    def count(tensor: Tensor) -> Tensor:
        kept[-1] += tensor.numel()
        return tensor

    network = ResUNet3d(first_channels=8, depth=2, seed=0)
    for checkpointing in (False, True):
        network.checkpointing = checkpointing
        kept.append(0)
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            network(torch.randn(1, 1, 8, 16, 16))
    assert kept[1] < 0.6 * kept[0]


def test_dropout_is_the_same_in_both_passes() -> None:
    class Block(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.dropout(x.exp(), 0.5)

    x = torch.ones(64, requires_grad=True)
    out = checkpointed(Block(), x)
    out.sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert torch.equal(x.grad, out.detach())


def test_a_network_that_does_not_offer_it_is_named() -> None:
    with pytest.raises(NetworkError, match=r"checkpointing: UNet2d must have .*leave the key"):
        use_checkpointing(UNet2d(first_channels=2, depth=1))
