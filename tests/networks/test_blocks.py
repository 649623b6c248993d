import pytest
import torch

from normsearch.errors import NetworkError
from normsearch.networks import build_network


@pytest.mark.parametrize(
    ("name", "side"),
    [("unet2d", (8, 8)), ("res_unet3d", (8, 8, 8)), ("classifier", (8, 8)), ("resnet", (8, 8))],
)
def test_every_network_takes_an_activation(name: str, side: tuple[int, ...]) -> None:
    given = {"first_channels": 2, "depth": 1, "seed": 0}
    plain, other = (build_network(name, **given, activation=one) for one in ("relu", "silu"))
    x = torch.randn(2, 1, *side)
    assert not torch.equal(plain(x), other(x))
    with pytest.raises(NetworkError, match="relu6x"):
        build_network(name, **given, activation="relu6x")
