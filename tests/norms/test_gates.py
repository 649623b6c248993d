from __future__ import annotations

import torch
from torch import nn

from normsearch.norms import build_norm, clamp_gates, gate_parameters


def test_gates_of_a_network_in_order_and_once() -> None:
    norms = [build_norm(text, 16, 2) for text in ("BN", "BIN", "ILN", "GN-4", "SN", "none")]
    net = nn.Sequential(nn.Conv2d(3, 16, 3), *norms, norms[1])
    gates = gate_parameters(net)
    want = [norms[1].rho, norms[2].rho, norms[4].mean_logits, norms[4].variance_logits]
    assert len(gates) == 4
    assert all(gate is expected for gate, expected in zip(gates, want, strict=True))
    assert gate_parameters(nn.Linear(2, 2)) == []


def test_only_batch_instance_gates_are_clamped() -> None:
    net = nn.Sequential(build_norm("BIN", 16, 2), build_norm("ILN(gate=clip)", 16, 2))
    for gate in gate_parameters(net):
        nn.init.constant_(gate, 1.5)
    clamp_gates(net)
    assert torch.equal(net[0].rho, torch.ones(16))
    assert net[1].rho.item() == 1.5
