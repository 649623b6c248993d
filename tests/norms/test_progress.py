from __future__ import annotations

import pytest
from torch import nn

from normsearch.errors import NormError
from normsearch.norms import FollowsProgress, build_norm, norms_to_update, set_progress


def test_norms_with_a_schedule_are_told() -> None:
    net = nn.Sequential(*(build_norm(text, 8, 2) for text in ("BRN", "SSN", "SN", "BN", "none")))
    assert [isinstance(norm, FollowsProgress) for norm in net] == [True, True, False, False, False]
    set_progress(net, 0.125)
    assert net[0].progress == 0.125
    assert net[1].radius.item() == 0.125


@pytest.mark.parametrize("fraction", [-0.1, 1.01, float("nan")])
def test_progress_is_a_share(fraction: float) -> None:
    with pytest.raises(NormError, match="training progress must be from 0 to 1, got"):
        set_progress(nn.Sequential(), fraction)


def test_norms_to_update_have_gates_or_a_schedule() -> None:
    net = nn.Sequential(*(build_norm(text, 8, 2) for text in ("BRN", "SSN", "SN", "BN", "BIN")))
    assert [*norms_to_update(nn.Sequential(net, nn.ReLU()))] == [net[0], net[1], net[2], net[4]]
