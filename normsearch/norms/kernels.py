"""Chooses the kernels; compiles kernels.c on first use, if there is a compiler, and loads it.

NORMSEARCH_KERNELS=torch disables the kernels, =c requires those in C, =triton takes Triton's on
CUDA devices (triton_norm.py; not timed yet, and so not the default). The library is stored in the
user's cache folder. Its name contains a hash of the source, the compiler, its flags and the
processor, and its own SHA-256, which is checked before loading.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from normsearch.errors import DiskFullError, NormError
from normsearch.files import cache_folder, is_file, write_atomically

SOURCE = Path(__file__).with_name("kernels.c")
INCLUDED = tuple(
    f"kernels_{part}.h" for part in ("passes", "gates", "algebra", "functions", "pixels")
)
# No -ffast-math: linked into a library it would flush denormals to 0 in the whole process.
FLAGS = ("-O3", "-fno-math-errno", "-std=gnu11", "-shared", "-fPIC")

_TIMEOUT = 120.0  # seconds; compiling takes about one


def kernels_in_use() -> str:
    """Return the kernels of composite norms: ``triton`` on CUDA, ``c`` on the CPU, or ``torch``.

    ``c`` are for float32 on the CPU, ``torch`` for whatever the others do not support.
    """
    if use_triton():
        return "triton"
    return "torch" if kernels() is None else "c"


@functools.cache
def use_triton() -> bool:
    """Return whether NORMSEARCH_KERNELS is triton.

    Raises:
        NormError: it is, but Triton is not installed or there is no device for it.
    """
    if _choice() != "triton":
        return False
    if importlib.util.find_spec("triton") is None:
        lack = "the package triton, which comes with torch's builds for CUDA; install it or"
    elif torch.cuda.is_available() or os.environ.get("TRITON_INTERPRET") == "1":
        return True
    else:
        lack = "a CUDA device, and torch sees none;"
    raise NormError(f"NORMSEARCH_KERNELS=triton needs {lack} unset the variable")


def _choice() -> str:
    choice = os.environ.get("NORMSEARCH_KERNELS", "")
    if choice not in ("", "c", "torch", "triton"):
        raise NormError(f"NORMSEARCH_KERNELS: must be c, torch, triton or not set, got {choice!r}")
    return choice


@functools.cache
def kernels() -> ctypes.CDLL | None:
    """Return the compiled kernels, compiling them if necessary; None if torch's kernels are used.

    Raises:
        NormError: NORMSEARCH_KERNELS has no known value, or is c and compiling fails.
    """
    choice = _choice()
    if choice == "torch":
        return None
    compiler = find_compiler()
    if compiler is None or not _torch_has_openmp():
        if choice == "c":
            raise NormError(
                "NORMSEARCH_KERNELS=c needs a C compiler and a torch built with OpenMP; "
                "install gcc or unset it"
            )
        return None
    try:
        return _load(build(compiler))
    except (OSError, DiskFullError, subprocess.SubprocessError) as error:
        fault = f"{SOURCE.name} cannot be used ({_compiler_message(error)})"
        if choice == "c":
            raise NormError(f"NORMSEARCH_KERNELS=c: {fault}") from error
        warnings.warn(
            f"The norms take torch's slower kernels: {fault}; "
            "NORMSEARCH_KERNELS=torch asks for them without a warning.",
            RuntimeWarning,
            stacklevel=2,
        )
        return None


def find_compiler() -> list[str] | None:
    """Return the command of a C compiler (CC, cc, gcc or clang), or None."""
    if given := shlex.split(os.environ.get("CC", "")):
        return given
    found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    return [found] if found else None


def build(compiler: Sequence[str]) -> Path:
    """Return the library's path; compile it if it is not in the cache folder.

    Safe for several processes at once: each writes its own file and renames it at the end. A
    damaged library is compiled again.

    Raises:
        OSError: the folder cannot be written, or belongs to another user.
        DiskFullError: the disk is full.
        subprocess.SubprocessError: the compiler failed.
    """
    folder = cache_folder() / "kernels"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise PermissionError(f"{folder} must be writable by its owner alone")
    sources = [path.read_bytes() for path in (SOURCE, *map(SOURCE.with_name, INCLUDED))]
    words = " ".join((*compiler, *FLAGS)).encode()
    parts = (*sources, words, _run([*compiler, "--version"]), _processor())
    key = hashlib.sha256(b"|".join(parts)).hexdigest()[:32]
    for path in sorted(folder.glob(f"{key}-*.so")):
        if path.name == _name(key, path.read_bytes()):
            return path
        # Otherwise it is damaged, by a power failure for example; loading it would crash.
    with tempfile.TemporaryDirectory() as private:
        made = Path(private) / "kernels.so"
        command = [*compiler, *FLAGS, "-o", str(made), str(SOURCE), "-lm"]
        try:
            _run([*command, "-march=native"])
        except subprocess.CalledProcessError:  # not every compiler knows every processor
            _run(command)
        library = made.read_bytes()
    path = folder / _name(key, library)
    write_atomically(path, lambda file: file.write(library))
    return path


def _name(key: str, library: bytes) -> str:
    return f"{key}-{hashlib.sha256(library).hexdigest()}.so"


def _load(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    for function in (library.normalize, library.pull_back):
        function.argtypes = [ctypes.c_char_p] * 2  # PLAN and TENSORS of compiled.py, packed
    return library


def _torch_has_openmp() -> bool:
    """Return whether torch has loaded an OpenMP runtime with GNU's names."""
    return os.name == "posix" and hasattr(ctypes.CDLL(None), "GOMP_parallel")


def _run(command: Sequence[str]) -> bytes:
    return subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT).stdout


def _processor() -> bytes:
    """Return what -march=native depends on, as machines may share a cache folder."""
    words = [platform.machine()]
    if is_file(told := Path("/proc/cpuinfo")):
        first = told.read_text(errors="replace").partition("\n\n")[0]
        names = ("model name", "flags", "Features", "CPU part")
        words += [line for line in first.splitlines() if line.startswith(names)]
    return "\n".join(words).encode()


def _compiler_message(error: Exception) -> str:
    told = getattr(error, "stderr", None) or b""
    lines = told.decode(errors="replace").splitlines()
    return next((line for line in lines if "error" in line), "") or str(error)
