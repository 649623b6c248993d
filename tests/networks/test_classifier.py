import pytest
import torch
from torch import Tensor
from torch.nn import functional

from normsearch.errors import NetworkError
from normsearch.networks import Classifier, build_network, list_norms, verify_norm_map
from tests.specs import every_spec


def test_slots_in_order_with_channels_that_16_divides() -> None:
    slots = list_norms(Classifier())
    assert [slot.name for slot in slots] == [
        f"stage{stage}.conv{conv}.norm" for stage in (1, 2, 3) for conv in (1, 2)
    ]
    assert [slot.channels for slot in slots] == [16, 16, 32, 32, 64, 64]
    assert [slot.block for slot in slots] == ["stage1"] * 2 + ["stage2"] * 2 + ["stage3"] * 2


def written_out(network: Classifier, x: Tensor) -> Tensor:
    """Two stages with `none` in every slot, from the weights alone."""
    weights = dict(network.named_parameters())
    for stage in (1, 2):
        for conv in (1, 2):
            name = f"stage{stage}.conv{conv}.conv"
            x = functional.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)
            x = x.relu()
        if stage == 1:
            x = functional.max_pool2d(x, 2)
    linear = weights["head.weight"].flatten(1)
    return functional.linear(x.flatten(2).mean(2), linear, weights["head.bias"])


def test_it_is_the_network_written_out() -> None:
    network = Classifier(
        in_channels=2, out_channels=3, first_channels=4, depth=2, norm="none", seed=0
    )
    x = torch.randn(5, 2, 9, 7, generator=torch.Generator().manual_seed(1))
    found = network(x)
    assert found.shape == (5, 3)
    torch.testing.assert_close(found, written_out(network, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("spec", every_spec(samples=2, groups=16))
def test_every_norm_fits_and_runs(spec: str) -> None:
    network = Classifier(norm=spec, depth=2, seed=0)
    verify_norm_map(network, torch.randn(4, 1, 12, 12))


def test_the_seed_decides_the_weights() -> None:
    one, same, other = (Classifier(seed=seed, depth=1).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])


def test_it_learns_four_patterns() -> None:
    generator = torch.Generator().manual_seed(0)
    patterns = torch.randn(4, 1, 8, 8, generator=generator)
    network = Classifier(out_channels=4, first_channels=4, depth=2, norm="IN", seed=0)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    for _ in range(40):
        labels = torch.randint(0, 4, (16,), generator=generator)
        images = patterns[labels] + 0.3 * torch.randn(16, 1, 8, 8, generator=generator)
        optimizer.zero_grad()
        functional.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert network(patterns).argmax(1).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("size", [(3, 8), (8, 8, 8)])
def test_a_size_that_does_not_fit(size: tuple[int, ...]) -> None:
    with pytest.raises(NetworkError, match="two image sides of at least 4, got"):
        Classifier(depth=3).check_size(size)


def test_impossible_settings() -> None:
    with pytest.raises(NetworkError, match="Classifier: out_channels must be 1 or more, got 0"):
        build_network("classifier", out_channels=0)
