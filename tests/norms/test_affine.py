import pytest
import torch
from torch import nn

from normsearch.norms import NORMS, MixedNorm, build_norm, freeze_affine, gate_parameters

SPECS = [
    "BN",
    "IN",
    "LN",
    "GN-4",
    "BIN",
    "ILN",
    "SN",
    "SSN",
    "BGN-4",
    "GBGN-2x4",
    "BCN-4",
    "BRN",
    "BKN",
    *("IBN", "LN2d"),
]


@pytest.mark.parametrize("text", [*SPECS, "none", "LRN"])
def test_weight_and_bias_stay_and_gates_learn(text: str) -> None:
    assert text.partition("-")[0] in NORMS
    net = nn.Sequential(nn.Conv2d(2, 32, 3), build_norm(text, 32, 2), nn.Conv2d(32, 1, 1))
    freeze_affine(net)
    gates = gate_parameters(net)
    learnt = [p for p in net.parameters() if p.requires_grad]
    assert len(learnt) == 4 + len(gates)  # the convolutions' and the gates
    before = {name: p.clone() for name, p in net.named_parameters()}
    optimizer = torch.optim.SGD(learnt, lr=0.1)
    x = torch.randn(4, 2, 8, 8)
    (net(x) * torch.randn(4, 1, 6, 6)).pow(2).sum().backward()
    optimizer.step()
    for name, parameter in net.named_parameters():
        assert torch.equal(parameter, before[name]) == (not parameter.requires_grad)


@pytest.mark.parametrize(
    ("text", "learnt"), [("DyT", ["alpha"]), ("Derf", ["alpha", "shift"]), ("GRN", ["weight"])]
)
def test_what_is_no_affine_map_still_learns(text: str, learnt: list[str]) -> None:
    norm = build_norm(text, 8, 2)
    freeze_affine(norm)
    assert [name for name, p in norm.named_parameters() if p.requires_grad] == learnt


def test_gates_within_a_mixture_still_learn() -> None:
    norm = MixedNorm(8, 2, ["SN", "BN"], nn.Parameter(torch.zeros(2)))
    freeze_affine(norm)
    learnt = {name for name, p in norm.named_parameters() if p.requires_grad}
    assert learnt == {"logits", "norms.0.mean_logits", "norms.0.variance_logits"}


def test_the_same_gradients_as_with_them() -> None:
    torch.manual_seed(0)
    one, two = (nn.Sequential(nn.Conv2d(2, 16, 3), build_norm("SN", 16, 2)) for _ in range(2))
    two.load_state_dict(one.state_dict())
    freeze_affine(two)
    x, weight = torch.randn(3, 2, 8, 8), torch.randn(3, 16, 6, 6)
    for net in (one, two):
        (net(x) * weight).sum().backward()
    for first, second in zip(one[0].parameters(), two[0].parameters(), strict=True):
        torch.testing.assert_close(first.grad, second.grad)
    assert two[1].weight.grad is None
