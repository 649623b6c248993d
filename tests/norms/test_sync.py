"""SyncBN, SN(sync=true) and BIN(sync=true): alone, and on two gloo processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

from normsearch.errors import NormError
from normsearch.norms import SyncBatchNorm, build_norm

SHARDS = ((0, 3), (3, 4))  # three samples and one
PAIRS = {"SyncBN": "BN", "SN(sync=true)": "SN", "BIN(sync=true)": "BIN"}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_alone_it_is_batch_norm(
    dims: int, training: bool, make_input, randomize, assert_same
) -> None:
    def formula(x: Tensor, norm: nn.Module) -> Tensor:
        running = (None, None) if norm.training else (norm.running_mean, norm.running_var)
        return nn.functional.batch_norm(x, *running, norm.weight, norm.bias, norm.training)  # type: ignore[call-arg]

    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        norm = randomize(SyncBatchNorm(32, dims).to(dtype))
        norm(make_input(32, dims, dtype, mean=0.5))
        assert_same(norm.train(training), formula, make_input(32, dims, dtype), tolerance)


def test_alone_its_running_moments_are_those_of_batch_norm(make_input) -> None:
    norm, twin = SyncBatchNorm(32, 2).double(), nn.BatchNorm2d(32).double()
    for mean in (0.0, 2.0):
        norm(make_input(mean=mean))
        twin(make_input(mean=mean))
    assert norm.state_dict().keys() == twin.state_dict().keys()
    for name, value in twin.named_buffers():
        torch.testing.assert_close(getattr(norm, name), value)
    with pytest.raises(NormError, match="SyncBN needs more than one value per channel"):
        SyncBatchNorm(6, 2)(torch.zeros(1, 6, 1, 1))


def whole_input(dtype: torch.dtype, mean: float) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(4, 6, 5, 7, generator=generator, dtype=torch.float64)
    spread = 0.5 + torch.rand(4, 6, 1, 1, generator=generator, dtype=torch.float64)
    return (x * spread + spread.sqrt() + mean).to(dtype)


def trained(text: str, x: Tensor, dy: Tensor) -> dict[str, Tensor]:
    """Output, gradients and running moments of one step, and the output of eval after it."""
    norm = build_norm(text, 6, 2).to(x.dtype)
    with torch.no_grad():
        for index, parameter in enumerate(norm.parameters()):
            parameter.add_(0.3 * torch.cos(torch.arange(parameter.numel()) + index))
    given = x.clone().requires_grad_()
    y = norm(given)
    grads = torch.autograd.grad(y, [given, *norm.parameters()], dy.to(x.dtype))
    names = ["x", *(name for name, _ in norm.named_parameters())]
    found = {f"d {name}": grad for name, grad in zip(names, grads, strict=True)}
    return {"y": y.detach(), "eval": norm.eval()(x).detach(), **found, **dict(norm.named_buffers())}


CASES = [(torch.float64, 0.0), (torch.float64, 1e4), (torch.float32, 0.0), (torch.float32, 1e4)]
DY = torch.sin(torch.arange(4 * 6 * 5 * 7).double()).reshape(4, 6, 5, 7)


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    try:
        shard = slice(*SHARDS[rank])
        found = {
            (text, case): trained(text, whole_input(*CASES[case])[shard], DY[shard])
            for text in PAIRS
            for case in range(len(CASES))
        }
        torch.save(found, Path(folder) / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[dict[tuple[str, int], dict]]:
    folder = tmp_path_factory.mktemp("gloo")
    mp.spawn(work, (str(folder),), nprocs=2)  # type: ignore[attr-defined]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("case", range(len(CASES)))
@pytest.mark.parametrize("text", PAIRS)
def test_two_processes_of_unequal_shards_equal_one(text: str, case: int, shards) -> None:
    dtype, mean = CASES[case]
    want = trained(PAIRS[text], whole_input(torch.float64, mean), DY)
    first, second = (shard[text, case] for shard in shards)
    tolerance = 1e-9 if dtype == torch.float64 else 1e-2 if mean else 1e-5
    for name, exact in want.items():
        if name in ("y", "d x", "eval"):
            got = torch.cat((first[name], second[name]))
        elif name.startswith("d "):
            got = first[name] + second[name]
        else:
            assert torch.equal(first[name], second[name])
            got = first[name]
        scale = exact.abs().max().clamp(min=1)
        assert (got - exact).abs().max() <= tolerance * scale, name
