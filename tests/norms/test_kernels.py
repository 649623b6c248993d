"""Compiling and loading of kernels.c: at once in several processes, failing, or not at all."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from normsearch.errors import NormError
from normsearch.norms import build_norm, kernels_in_use
from normsearch.norms.kernels import build, find_compiler, kernels, use_triton

COMPILER = find_compiler()
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Give each test a cache folder of its own and no choice made yet."""
    monkeypatch.setenv("NORMSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NORMSEARCH_KERNELS", raising=False)
    kernels.cache_clear()
    use_triton.cache_clear()
    yield
    kernels.cache_clear()
    use_triton.cache_clear()


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a compiler that compiles kernels.c once and then gives copies: it takes seconds."""
    if COMPILER is None:
        pytest.skip("no C compiler")
    library = build(COMPILER)
    copy = f'while [ "$1" != -o ]; do shift; done\ncp "{library}" "$2"'
    return script(
        tmp_path_factory.mktemp("quick") / "cc", f'[ "$1" = --version ] && exit 0\n{copy}'
    )


PROBE = """
import hashlib, torch
from pathlib import Path
from normsearch.norms import build_norm, kernels_in_use
torch.set_num_threads(2)
x = torch.randn(3, 16, 60, 70, generator=torch.Generator().manual_seed(0)).requires_grad_()
y = build_norm("SN", 16, 2)(x)
y.sin().sum().backward()
print(kernels_in_use(), hashlib.sha256(y.detach().numpy().tobytes()
      + x.grad.numpy().tobytes()).hexdigest())
maps = Path("/proc/self/maps")
lines = maps.read_text().splitlines() if maps.is_file() else []
print(len({line.split()[-1] for line in lines if "omp" in line.rpartition("/")[2]}))
"""


@needs_compiler
def test_processes_that_compile_at_once_get_one_library_the_same_bits_and_one_openmp(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", PROBE]
    environment = {**os.environ, "NORMSEARCH_KERNELS": "c"}
    running = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [process.communicate(timeout=240)[0].splitlines() for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert told[0] == told[1]
    assert told[0][0].startswith("c ")
    if sys.platform == "linux":
        assert told[0][1] == "1"
    folder = tmp_path / "cache" / "kernels"
    assert {path.suffix for path in folder.iterdir()} == {".so"}
    assert stat.S_IMODE(folder.stat().st_mode) & 0o077 == 0


def test_the_library_is_kept_by_compiler_and_flags(tmp_path: Path, quick: str) -> None:
    first = build([quick])
    before = first.stat().st_mtime_ns
    assert build([quick]) == first
    assert first.stat().st_mtime_ns == before
    other = script(tmp_path / "cc", f'exec {quick} "$@"')
    assert build([other]) != first


@needs_compiler
def test_a_compiler_that_does_not_know_the_processor_will_do(tmp_path: Path) -> None:
    assert COMPILER
    refuse = 'for word in "$@"; do [ "$word" = -march=native ] && exit 1; done'
    stubborn = script(tmp_path / "cc", f'{refuse}\nexec {" ".join(COMPILER)} "$@"')
    assert build([stubborn]).is_file()


def test_a_broken_compiler_is_told_once_and_changes_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.name != "posix":
        pytest.skip("no POSIX shell")
    broken = '[ "$1" = --version ] && exit 0\necho "kernels.c: error: no such header" >&2\nexit 1'
    monkeypatch.setenv("CC", script(tmp_path / "cc", broken))
    norm, x = build_norm("SN", 8, 2), torch.randn(2, 8, 5, 7)
    with pytest.warns(RuntimeWarning, match=r"kernels.c: error: no such.*NORMSEARCH_KERNELS=torch"):
        got = norm(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(norm(x), got)
    assert kernels_in_use() == "torch"
    monkeypatch.setenv("NORMSEARCH_KERNELS", "torch")
    kernels.cache_clear()
    assert torch.equal(norm(x), got)
    monkeypatch.setenv("NORMSEARCH_KERNELS", "c")
    kernels.cache_clear()
    with pytest.raises(NormError, match=r"NORMSEARCH_KERNELS=c: kernels.c cannot be used"):
        norm(x)


@needs_compiler
def test_a_folder_that_others_may_write_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "kernels"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    with pytest.warns(RuntimeWarning, match="must be writable by its owner alone"):
        assert kernels() is None


def test_without_a_compiler_torch_is_taken_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kernels_in_use() == "torch"
    monkeypatch.setenv("NORMSEARCH_KERNELS", "c")
    kernels.cache_clear()
    with pytest.raises(NormError, match="NORMSEARCH_KERNELS=c needs a C compiler"):
        kernels()


def test_the_choice_must_be_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMSEARCH_KERNELS", "cuda")
    with pytest.raises(NormError, match="must be c, torch, triton or not set, got 'cuda'"):
        kernels()


DAMAGES = {
    "cut": lambda library: library[: len(library) // 2],
    "zeroed": lambda library: bytes(len(library)),
    "empty": lambda library: b"",
    "a zeroed page": lambda library: library[:4096] + bytes(4096) + library[8192:],
    "replaced": lambda library: b"not a library",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_library_is_never_loaded_and_compiled_again(
    damage: str, quick: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", quick)
    path = build([quick])
    whole = path.read_bytes()
    path.write_bytes(DAMAGES[damage](whole))
    assert build([quick]).read_bytes() == whole
    assert kernels_in_use() == "c"


def test_a_cache_without_room_is_a_warning(quick: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", quick)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.warns(RuntimeWarning, match="kernels.c cannot be used .*the disk must have room"):
        assert kernels() is None


def test_triton_that_cannot_be_had_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMSEARCH_KERNELS", "triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for found, lack in (
        (None, "the package triton"),
        (object(), "a CUDA device, and torch sees none"),
    ):
        monkeypatch.setattr("importlib.util.find_spec", lambda name, found=found: found)
        use_triton.cache_clear()
        with pytest.raises(NormError, match=f"NORMSEARCH_KERNELS=triton needs {lack}.*unset"):
            build_norm("SN", 8, 2)(torch.randn(2, 8, 5, 7))
