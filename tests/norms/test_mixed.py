from __future__ import annotations

import pytest
import torch
from torch import nn

from normsearch.errors import NormError
from normsearch.norms import MixedNorm, build_norm, gate_parameters, set_progress

SPECS = ("none", "BN", "IN", "LN", "GN-4", "BIN", "ILN(regroup=none)", "SN")


def mixed(*specs: str, sparse: bool = False, channels: int = 16) -> MixedNorm:
    return MixedNorm(channels, 2, specs, nn.Parameter(torch.zeros(len(specs))), sparse)


@pytest.mark.parametrize("training", [True, False])
def test_it_is_the_weighted_sum_of_its_candidates(training: bool) -> None:
    norm = mixed(*SPECS).train(training).double()
    with torch.no_grad():
        norm.logits.copy_(torch.randn(len(SPECS), dtype=torch.float64))
    x = torch.randn(3, 16, 6, 5, dtype=torch.float64) * 2 + 1
    weights = torch.exp(norm.logits) / torch.exp(norm.logits).sum()
    alone = [build_norm(text, 16, 2).double().train(training)(x) for text in SPECS]
    expected = sum(w * y for w, y in zip(weights, alone, strict=True))
    torch.testing.assert_close(norm(x), expected)


def test_gradients_reach_logits_and_candidates() -> None:
    norm = mixed("BN", "IN", "LN").double()
    x = torch.randn(2, 16, 4, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(16, dtype=torch.float64)[None, :, None, None]

    def loss(values: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            norm.logits.copy_(values)
        return (norm(x) * weight).pow(2).sum()

    values = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)
    loss(values).backward()
    gradient = norm.logits.grad
    assert gradient is not None
    for index in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[index] = 1e-6
        numeric = (loss(values + step) - loss(values - step)).item() / 2e-6
        scale = gradient.abs().max().item()  # a small one is a difference of large ones
        assert gradient[index].item() == pytest.approx(numeric, abs=1e-6 * scale)
    assert norm.norms[1].weight.grad is not None


def test_its_logits_are_the_gates_each_once_where_shared() -> None:
    logits = nn.Parameter(torch.zeros(2))
    net = nn.Sequential(
        MixedNorm(8, 2, ("BN", "SN"), logits), MixedNorm(8, 2, ("IN", "LN"), logits)
    )
    gates = gate_parameters(net)
    assert [gate is logits for gate in gates] == [True, False, False]  # then those of the SN


def test_sparse_mixtures_end_with_one_candidate() -> None:
    norm = mixed(*SPECS, sparse=True)
    with torch.no_grad():
        norm.logits[3] = 0.1
    assert max(norm.mixing_weights()["mixture"].values()) < 0.25
    set_progress(norm, 1.0)
    assert norm.mixing_weights()["mixture"]["LN"] == 1.0
    x = torch.randn(2, 16, 4, 4)
    torch.testing.assert_close(norm(x), build_norm("LN", 16, 2)(x))


def test_candidates_are_named_by_their_canonical_specs() -> None:
    assert mixed("GN-16", "GN-1").mixing_weights() == {"mixture": {"IN": 0.5, "LN": 0.5}}


def test_faults() -> None:
    with pytest.raises(NormError, match=r"WS\+GN-8 reaches beyond its slot and cannot be mixed"):
        mixed("BN", "WS+GN-8")
    with pytest.raises(NormError, match="a mixture of 2 needs as many logits, got"):
        MixedNorm(8, 2, ("BN", "IN"), nn.Parameter(torch.zeros(3)))
    with pytest.raises(NormError, match=r"a mixture needs an input \(N, 16, H, W\), got"):
        mixed("BN")(torch.zeros(2, 8, 4, 4))
