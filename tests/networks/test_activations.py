import pytest
import torch

from normsearch.errors import NetworkError
from normsearch.networks import ACTIVATIONS, UNet2d
from normsearch.networks.activations import activation

X = torch.tensor([-2.0, -0.5, 0.0, 1.0], dtype=torch.float64)
FORMULAS = {
    "relu": X.clamp(min=0),
    "leaky_relu": torch.where(X > 0, X, 0.01 * X),
    "elu": torch.where(X > 0, X, X.exp() - 1),
    "silu": X / (1 + torch.exp(-X)),
    "gelu": X * 0.5 * (1 + torch.erf(X / 2**0.5)),
    "mish": X * torch.tanh(torch.log1p(X.exp())),
}


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_formulas(name: str) -> None:
    torch.testing.assert_close(activation(name)(X), FORMULAS[name])


def test_the_network_uses_it_everywhere() -> None:
    x = torch.randn(1, 1, 16, 16)
    nets = {name: UNet2d(first_channels=4, depth=1, seed=0, activation=name) for name in FORMULAS}
    outputs = [net(x) for net in nets.values()]
    for index, one in enumerate(outputs):
        assert not any(torch.allclose(one, other) for other in outputs[index + 1 :])
    assert torch.equal(nets["relu"](x), UNet2d(first_channels=4, depth=1, seed=0)(x))


def test_an_unknown_one() -> None:
    with pytest.raises(
        NetworkError, match=r"^activation must be one of relu, .*, got 'reul'\. Did"
    ):
        UNet2d(activation="reul")
