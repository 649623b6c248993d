import numpy as np
import pytest
import torch
from torch import nn

from normsearch.errors import NormError, TrainingError
from normsearch.norms import build_norm
from normsearch.training import acceleration
from normsearch.training.error_conversion import typed_failures

TOO_MUCH = 2**50  # more bytes than any address space of today holds


def test_torch_on_a_cpu_without_memory() -> None:
    refused = pytest.raises(TrainingError, match=r"batch size 4: .*can't allocate memory")
    with refused as info, typed_failures(4):
        torch.empty(TOO_MUCH)
    assert info.value.kind == "memory"


def test_numpy_without_memory() -> None:
    refused = pytest.raises(TrainingError, match="batch size 4: Unable to allocate")
    with refused as info, typed_failures(4):
        np.empty(TOO_MUCH)
    assert info.value.kind == "memory"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    ],
)
def test_memory_that_runs_out_in_any_form_is_one_error(error: Exception) -> None:
    with (
        pytest.raises(TrainingError, match="does not suffice for batch size 4") as caught,
        typed_failures(4),
    ):
        raise error
    assert caught.value.kind == "memory"


@pytest.mark.parametrize("spec", ["BN", "IN", "BRN", "BGN-4", "SyncBN"])
@pytest.mark.parametrize("dims", [2, 3])
def test_a_norm_without_values_to_norm_over(spec: str, dims: int) -> None:
    norm = build_norm(spec, 4, dims)
    refused = pytest.raises(TrainingError, match=r"cannot train at batch size 1: .*more than")
    with refused as info, typed_failures(1):
        norm(torch.ones(1, 4, *[1] * dims))
    assert info.value.kind == "norm"
    assert isinstance(info.value.__cause__, ValueError)


def test_a_norm_error_of_our_own() -> None:
    with pytest.raises(TrainingError, match="this norm") as info, typed_failures(1):
        raise NormError("this norm")
    assert info.value.kind == "norm"


@pytest.mark.parametrize("error", [ValueError("shape"), RuntimeError("size mismatch"), KeyError()])
def test_a_fault_of_the_program_stays_what_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as info, typed_failures(1):
        raise error
    assert info.value is error


def test_a_network_that_the_input_does_not_fit_is_a_fault_of_the_program() -> None:
    with pytest.raises(RuntimeError, match="channels"), typed_failures(1):
        nn.Conv2d(3, 1, 1)(torch.ones(1, 2, 4, 4))


@pytest.mark.parametrize("spec", ["BN", "IN", "BRN"])
def test_a_norm_that_fails_while_it_is_compiled_is_no_fault_of_the_compiler(
    spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceleration, "_BACKEND", "aot_eager")
    network = nn.Sequential(nn.Conv2d(1, 2, 1), build_norm(spec, 2, 2))
    refused = pytest.raises(TrainingError, match="a norm cannot train at batch size 1")
    with refused as info, typed_failures(1):
        acceleration.compiled(network)(torch.randn(1, 1, 1, 1))
    assert info.value.kind == "norm"


def test_faults_of_the_compiler_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_compiler(*args: object, **kwargs: object) -> None:
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(acceleration, "_BACKEND", no_compiler)
    refused = pytest.raises(TrainingError, match=r"torch\.compile fails on this network.*no C")
    with refused as info, typed_failures(1):
        acceleration.compiled(nn.Linear(1, 1))(torch.randn(1, 1))
    assert info.value.kind == "compile"


def test_the_end_of_the_process_fails_the_training_unless_it_is_rays() -> None:
    with pytest.raises(TrainingError, match=r"called sys.exit \(3\)") as caught, typed_failures(4):
        raise SystemExit(3)
    assert caught.value.kind == "trainer"
    ended = SystemExit(1)
    ended.ray_terminate_msg = "SIGTERM"  # type: ignore[attr-defined]
    with pytest.raises(SystemExit), typed_failures(4):
        raise ended
