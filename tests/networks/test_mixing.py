import pytest
import torch

from normsearch.errors import NetworkError, NormError
from normsearch.networks import UNet2d, apply_norm_map, list_norms, mix_norms
from normsearch.norms import MixedNorm, gate_parameters


def test_slots_of_a_unit_share_their_logits() -> None:
    net = UNet2d(first_channels=8, depth=1, seed=0)
    encoder = ("enc1.conv1.norm", "enc1.conv2.norm")
    mix_norms(net, {encoder: ("BN", "IN"), ("bottom.conv1.norm",): ("LN", "GN-4", "none")})
    norms = [net.get_submodule(name) for name in (*encoder, "bottom.conv1.norm")]
    assert all(isinstance(norm, MixedNorm) for norm in norms)
    assert norms[0].logits is norms[1].logits
    assert [gate.shape[0] for gate in gate_parameters(net)] == [2, 3]
    assert not isinstance(net.get_submodule("bottom.conv2.norm"), MixedNorm)
    net(torch.randn(2, 1, 16, 16)).sum().backward()


def test_a_mixture_that_has_chosen_is_that_network() -> None:
    mixed, plain = (UNet2d(first_channels=8, depth=1, seed=0, norm="BN") for _ in range(2))
    names = [slot.name for slot in list_norms(plain)]
    mix_norms(mixed, {(name,): ("BN", "IN", "LN") for name in names})
    apply_norm_map(plain, {"*": "IN"})
    with torch.no_grad():
        for gate in gate_parameters(mixed):
            gate.copy_(torch.tensor([-50.0, 50.0, -50.0]))
    x = torch.randn(2, 1, 16, 16)
    torch.testing.assert_close(mixed(x), plain(x))


def test_faults() -> None:
    net = UNet2d(first_channels=8, depth=1)
    with pytest.raises(NetworkError, match=r"no norm slot is called 'enc1\.conv3\.norm'\. Did you"):
        mix_norms(net, {("enc1.conv3.norm",): ("BN",)})
    with pytest.raises(NormError, match="WN"):
        mix_norms(net, {("enc1.conv1.norm",): ("BN", "WN")})
