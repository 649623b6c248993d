from __future__ import annotations

import pytest
import torch
import torch._dynamo.testing
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from normsearch.errors import NormError
from normsearch.norms import BatchRenorm, NormSpec, build_norm, set_progress


def by_hand(x: Tensor, norm: nn.Module) -> Tensor:
    shape = (1, -1, *[1] * (x.dim() - 2))
    axes = (0, *range(2, x.dim()))
    if not norm.training:
        return batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)
    mean, sigma = x.mean(axes), torch.sqrt(x.var(axes, correction=0) + 1e-5)
    running = torch.sqrt(norm.old_var + 1e-5)
    rmax, dmax = norm.limits()
    r = torch.clip((sigma / running).detach(), 1 / rmax, rmax)
    d = torch.clip(((mean - norm.old_mean) / running).detach(), -dmax, dmax)
    y = (x - mean.reshape(shape)) / sigma.reshape(shape) * r.reshape(shape) + d.reshape(shape)
    return y * norm.weight.reshape(shape) + norm.bias.reshape(shape)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("progress", [0.02, 0.1, 0.2, 1.0])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_by_hand(
    dims: int, progress: float, training: bool, make_input, randomize, assert_same
) -> None:
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        norm = randomize(BatchRenorm(32, dims, rmax=1.2, dmax=0.3).to(dtype))
        norm(make_input(32, dims, dtype, mean=0.5))
        norm.set_progress(progress)
        norm.old_mean, norm.old_var = norm.running_mean.clone(), norm.running_var.clone()
        assert_same(norm.train(training), by_hand, make_input(32, dims, dtype), tolerance)


def test_at_limits_one_and_zero_it_is_batch_norm(make_input) -> None:
    norm, torchs = BatchRenorm(32, 2, rmax=1, dmax=0).double(), nn.BatchNorm2d(32).double()
    for mean in (0.0, 3.0):
        x = make_input(mean=mean)
        torch.testing.assert_close(norm(x), torchs(x))
    torchs.load_state_dict(norm.state_dict())
    torch.testing.assert_close(norm.eval()(x), torchs.eval()(x))


def test_with_open_limits_training_is_eval(make_input) -> None:
    norm = BatchRenorm(32, 2, rmax=1e9, dmax=1e9).double()
    norm(make_input(mean=0.5))
    want = norm.eval()(make_input())
    torch.testing.assert_close(norm.train()(make_input()), want)


def test_the_first_batch_is_batch_norm_whatever_the_limits(make_input) -> None:
    x = make_input(mean=5.0)
    torch.testing.assert_close(
        BatchRenorm(32, 2).double()(x), batch_norm(x, None, None, training=True)
    )


@pytest.mark.parametrize(
    ("fraction", "limits"),
    [
        (0, (1, 0)),
        (1 / 32, (1, 0)),
        (3 / 32, (1 + 2 * 2 / 7, 2.5)),
        (5 / 32, (1 + 2 * 4 / 7, 5)),
        (0.25, (3, 5)),
        (1, (3, 5)),
    ],
)
def test_the_papers_schedule_scaled_to_the_run(
    fraction: float, limits: tuple[float, float]
) -> None:
    net = nn.Sequential(BatchRenorm(4, 2), nn.ReLU())
    set_progress(net, fraction)
    assert [limit.item() for limit in net[0].limits()] == pytest.approx(list(limits))


def test_progress_compiles_nothing_anew(make_input) -> None:
    torch.compiler.reset()
    norm = BatchRenorm(32, 2).double()
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    call = torch.compile(norm, backend=counter, fullgraph=True)
    counts = []
    for step in range(12):
        set_progress(norm, step / 12)
        call(make_input())
        counts.append(counter.frame_count)
    assert len(set(counts)) == 1


def test_until_told_the_limits_are_open() -> None:
    assert [limit.item() for limit in BatchRenorm(4, 2).limits()] == [3, 5]


def test_a_spec_states_the_limits() -> None:
    for text, limits in (
        ("BRN", (3, 5)),
        ("BRN(r=2)", (2, 5)),
        ("BRN(limits=tight)", (1.5, 0.5)),
        ("BRN(r=1.25,d=0)", (1.25, 0)),
    ):
        norm = build_norm(text, 4, 2)
        assert (norm.rmax, norm.dmax) == limits
        spec = NormSpec.parse(norm.spec_text)
        assert spec.canonical(4) == NormSpec.parse(text).canonical(4)


def test_one_value_is_refused_in_training() -> None:
    with pytest.raises(NormError, match="BRN needs more than one value per channel in training"):
        BatchRenorm(6, 2)(torch.zeros(1, 6, 1, 1))
