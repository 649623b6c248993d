import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from normsearch.config.yaml_file import read_yaml
from normsearch.data import generate_phantom, survey
from normsearch.data.cache import Prepared, cached
from normsearch.data.cases import CaseFiles
from normsearch.data.safe_read import opened
from normsearch.errors import CheckpointError, ConfigError, DataError, StudyError
from normsearch.files import (
    find_yaml,
    is_file,
    is_folder,
    is_there,
    open_regular,
    user_path,
    write_text,
)
from normsearch.files.text_file import read_text
from normsearch.storage.run_folder import find_run
from normsearch.training import load_tensors

IRREGULAR = ("pipe", "folder", "socket", "device", "link to a device", "kernel", "deleted")


def irregular(kind: str, folder: Path) -> Path:
    """What must not be read, by its kind; a folder of a short path, for a socket's sake."""
    path = folder / "thing"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        here = Path.cwd()
        os.chdir(folder)
        socket.socket(socket.AF_UNIX).bind("thing")
        os.chdir(here)
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
    elif kind == "deleted":
        path.symlink_to(folder / "gone")
    else:
        return Path({"device": "/dev/zero", "kernel": "/proc/self/status"}[kind])
    return path


@pytest.fixture(params=IRREGULAR)
def thing(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "kernel" and not os.path.ismount("/proc"):
        pytest.skip("no /proc")
    return irregular(request.param, tmp_path)


def files_of(path: Path) -> CaseFiles:
    return CaseFiles("c", "c", "", (path,), path)


def never() -> Prepared:
    raise AssertionError("built")


@pytest.mark.timeout(20)  # a pipe would hang, /dev/zero never end
@pytest.mark.parametrize(
    ("read", "error"),
    [
        (open_regular, OSError),
        (read_yaml, ConfigError),
        (lambda path: read_text(path, 100, DataError), DataError),
        (lambda path: opened(path).__enter__(), DataError),
        (lambda path: cached(path.parent, files_of(path), {}, never), DataError),
    ],
    ids=["open_regular", "mapping", "table", "image", "digest"],
)
def test_what_is_no_plain_file_is_refused_at_once(
    read: Callable[[Path], object], error: type[Exception], thing: Path
) -> None:
    with pytest.raises(error, match=str(thing)):
        read(thing)


@pytest.mark.timeout(20)
def test_a_checkpoint_that_is_no_plain_file(thing: Path) -> None:
    if thing.is_symlink() and not thing.exists():
        assert load_tensors(thing) is None
        return
    with pytest.raises(
        CheckpointError,
        match=rf"{thing}: must be a whole checkpoint, .*(no plain file|No such device)",
    ):
        load_tensors(thing)


@pytest.mark.timeout(20)
def test_the_data_file_of_a_detached_header_is_not_followed_to_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "voxels.raw")
    header = tmp_path / "a.nhdr"
    header.write_bytes(b"NRRD0004\ndata file: voxels.raw\n\n")
    with pytest.raises(AssertionError, match="built"):  # hashed without it; reading refuses it
        cached(tmp_path / "cache", files_of(header), {}, never)


def odd(folder: Path) -> dict[str, str]:
    """Paths that cannot be looked at."""
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "file").touch()
    return {
        "long": "x" * 300,
        "loop": str(folder / "loop"),
        "below a file": str(folder / "file" / "x"),
        "no such user": "~nosuchuser/x",
        "NUL": "a\0b",
        "missing": str(folder / "missing"),
    }


@pytest.mark.parametrize("kind", ["long", "loop", "below a file", "no such user", "NUL", "missing"])
def test_a_path_that_cannot_be_looked_at_is_not_there(kind: str, tmp_path: Path) -> None:
    text = odd(tmp_path)[kind]
    path = user_path(text)
    assert [is_there(path), is_file(path), is_folder(path)] == [False] * 3
    with pytest.raises(ConfigError, match="must be a YAML file or one of"):
        find_yaml(text, "studies")
    with pytest.raises(ConfigError, match="must be"):
        read_yaml(path)
    with pytest.raises(DataError, match="must follow one of the layouts"):
        survey(path)
    with pytest.raises(StudyError, match="must be"):
        find_run(text, tmp_path)


def test_what_is_there(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "x")
    assert [is_there(tmp_path), is_folder(tmp_path), is_file(tmp_path)] == [True, True, False]
    file = tmp_path / "a"
    assert [is_there(file), is_folder(file), is_file(file)] == [True, False, True]
    assert user_path("~/x") == Path.home() / "x"


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "elsewhere").read_text() == "old"
    assert (tmp_path / "link").read_text() == "new"
    assert not (tmp_path / "link").is_symlink()


def test_a_phantom_beside_a_pipe(tmp_path: Path) -> None:
    folder = tmp_path / "phantom-32-3-0"
    folder.mkdir()
    os.mkfifo(folder / "phantom.json")
    with pytest.raises(DataError, match="must be a phantom"):
        generate_phantom(tmp_path, size=32, subjects=3)
