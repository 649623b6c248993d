"""Checkpoints at a URL: files come back, late writers are refused, and trials resume."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from normsearch.errors import StudyError
from normsearch.search.coordinator import Coordinator
from normsearch.search.local_executor import run_local
from normsearch.storage.remote_checkpoints import RemoteCheckpoints, RemoteTrainer
from tests.made_up_search import trainer
from tests.search.test_coordinator import stored

Maker = Callable[..., Coordinator]


@pytest.fixture(params=["file", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return a folder by way of pyarrow, and fsspec's memory."""
    kinds = {"file": f"file://{tmp_path}/far", "memory": f"memory://{uuid.uuid4().hex}"}
    return kinds[request.param]


def test_what_was_put_comes_back(url: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"weights")
    RemoteCheckpoints(url, "s").put(3, "checkpoint.pt", source)
    assert RemoteCheckpoints(url, "s").get(3, "checkpoint.pt", tmp_path / "deeper" / "found")
    assert (tmp_path / "deeper" / "found").read_bytes() == b"weights"
    assert not RemoteCheckpoints(url, "s").get(4, "checkpoint.pt", tmp_path / "none")
    assert not RemoteCheckpoints(url, "other").get(3, "checkpoint.pt", tmp_path / "none")


def test_a_failing_upload_leaves_the_old_file(tmp_path: Path, monkeypatch: Any) -> None:
    mirror, source = RemoteCheckpoints(f"file://{tmp_path}/far", "s"), tmp_path / "source"
    source.write_bytes(b"old")
    mirror.put(0, "checkpoint.pt", source)

    def torn(source: Any, target: Any) -> None:
        target.write(b"ne")
        raise OSError("the connection is gone")

    monkeypatch.setattr("normsearch.storage.remote_checkpoints.shutil.copyfileobj", torn)
    with pytest.raises(OSError, match="is gone"):
        mirror.put(0, "checkpoint.pt", source)
    assert (tmp_path / "far/s/trials/0000/checkpoint.pt").read_bytes() == b"old"


@pytest.mark.parametrize("wrong", ["nonsense://x", "/mnt/shared", "s9://bucket"])
def test_a_url_nobody_can_open_is_one_sentence(wrong: str) -> None:
    with pytest.raises(StudyError, match=r"search\.checkpoints: must be a URL that"):
        RemoteCheckpoints(wrong, "s")


def with_checkpoint(config, data, folder, token):  # type: ignore[no-untyped-def]
    """Count the evaluations in a checkpoint, as a training would; `data` says when to fail."""
    path = folder / "checkpoint.pt"
    seen = int(path.read_text()) if path.exists() else 0
    for entry in trainer(config, data, folder, token):
        if entry["evaluation"] > seen:
            if (config.number, entry["evaluation"]) == data:
                raise KeyboardInterrupt
            path.write_text(str(entry["evaluation"]))
            (folder / "trained").open("a").write("x")
        yield entry


def test_a_trial_goes_on_from_what_is_stored_elsewhere(
    study: Maker, tmp_path: Path, url: str
) -> None:
    far = {"checkpoints": url}
    with pytest.raises(KeyboardInterrupt):
        run_local(study(trials=8, search=far), (1, 4), RemoteTrainer(with_checkpoint, url))
    mirror = RemoteCheckpoints(url, "made-up")
    assert mirror.get(1, "checkpoint.pt", tmp_path / "found")
    assert (tmp_path / "found").read_text() == "3"
    run_local(study(trials=8, search=far), None, RemoteTrainer(with_checkpoint, url))
    for trial in stored(tmp_path / "run").trials:
        here = tmp_path / "run" / "trials" / f"{trial.number:04d}" / "checkpoint.pt"
        complete = trial.state.name == "COMPLETE"
        assert here.exists() == complete
        assert mirror.get(trial.number, "checkpoint.pt", tmp_path / "again") == complete


def test_a_late_writer_stores_nothing(study: Maker, tmp_path: Path, url: str) -> None:
    coordinator = study(search={"checkpoints": url})
    job = coordinator.next_job()
    assert job is not None
    records = RemoteTrainer(with_checkpoint, url)(job.config, None, job.folder, job.token)
    next(records)
    RemoteCheckpoints(url, "made-up").write_owner(0, "2 another")
    with pytest.raises(StudyError, match="another owner has taken this trial over"):
        next(records)
    assert RemoteCheckpoints(url, "made-up").get(0, "checkpoint.pt", tmp_path / "found")
    assert (tmp_path / "found").read_text() == "1"
