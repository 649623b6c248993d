import zipfile
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from normsearch.errors import CheckpointError, DiskFullError
from normsearch.training import (
    load_checkpoint,
    load_newest,
    network_weights,
    save_checkpoint,
    save_newest,
)

STATE: dict[str, Any] = {
    "weights": {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(7)},
    "history": [{"dice": 0.5, "cases": {"one": float("nan")}}],
    "samples": 12,
}


class Touch:
    """Pickled, it would run code where it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "checkpoint.pt"
    save_checkpoint(path, STATE)
    found = load_checkpoint(path)
    assert found is not None
    assert found["samples"] == 12
    assert torch.equal(found["weights"]["a"], STATE["weights"]["a"])
    assert found["weights"]["b"].dtype == torch.int64
    assert found["history"][0]["dice"] == 0.5
    assert [item.name for item in path.parent.iterdir()] == ["checkpoint.pt"]


def test_no_file_is_no_state(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "checkpoint.pt") is None


def test_a_failing_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, STATE)
    before = path.read_bytes()
    with pytest.raises(Exception, match="pickle"):
        save_checkpoint(path, {"weights": torch.ones(1000), "no": lambda: None})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, STATE)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DiskFullError, match=r"checkpoint\.pt: the disk must have room .* is full"):
        save_checkpoint(path, {**STATE, "samples": 13})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("keep", [0, 1, 100, -1, -30])
def test_a_truncated_file_is_named(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, STATE)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(
        CheckpointError, match=r"checkpoint\.pt: must be a whole checkpoint.*delete"
    ):
        load_checkpoint(path)


@pytest.mark.parametrize("content", [{"format": 1, "samples": 1}, {"samples": 1}, [1, 2]])
def test_another_format_is_named(tmp_path: Path, content: object) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save(content, path)
    with pytest.raises(
        CheckpointError, match=r"checkpoint\.pt: must be a normsearch checkpoint of"
    ):
        load_checkpoint(path)


def test_no_code_from_a_checkpoint_runs(tmp_path: Path) -> None:
    path, trace = tmp_path / "checkpoint.pt", tmp_path / "it-ran"
    torch.save({"format": 2, "evil": Touch(trace)}, path)
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt"):
        load_checkpoint(path)
    assert not trace.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_every_kind_of_damage_is_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, STATE)
    whole, random = path.read_bytes(), Random(0)
    told, unseen = [], 0
    for _ in range(300):
        content = bytearray(whole)
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
        path.write_bytes(random.randbytes(20) if random.random() < 0.2 else content)
        try:
            state = load_checkpoint(path)
        except CheckpointError as error:
            told.append(str(error))
        else:
            unseen += 1
            assert state is not None  # the bit was in what a zip file says twice, or in padding
            assert same(state, STATE)
    assert len(told) > 60
    assert unseen
    assert all("checkpoint.pt: must be" in text and "\n" not in text for text in told)


def same(one: Any, other: Any) -> bool:
    """Compare nested values without the code under test; a NaN is a NaN."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other or (one != one and other != other))


def test_a_flipped_bit_of_a_weight_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    weights = torch.arange(1000.0)
    save_checkpoint(path, {"weights": weights})
    content = bytearray(path.read_bytes())
    where = content.index(weights.numpy().tobytes())
    content[where + 1234] ^= 4
    path.write_bytes(content)
    assert not torch.equal(torch.load(path, weights_only=True)["weights"], weights)
    with pytest.raises(CheckpointError, match="has changed"):
        load_checkpoint(path)


def test_the_one_before_stands_in_for_a_damaged_one(tmp_path: Path) -> None:
    assert load_newest(tmp_path) == (None, [])
    for samples in (1, 2, 3):
        save_newest(tmp_path, {"samples": samples})
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.pt", "checkpoint-previous.pt"}
    assert load_newest(tmp_path) == ({"samples": 3}, [])
    newest = tmp_path / "checkpoint.pt"
    newest.write_bytes(newest.read_bytes()[:-50])
    state, refused = load_newest(tmp_path)
    assert state == {"samples": 2}
    assert len(refused) == 1
    assert "checkpoint.pt: must be a whole checkpoint" in refused[0]
    (tmp_path / "checkpoint-previous.pt").write_bytes(b"")
    state, refused = load_newest(tmp_path)
    assert state is None
    assert len(refused) == 2
    newest.unlink()  # killed between the two renames of a save
    save_checkpoint(tmp_path / "checkpoint-previous.pt", {"samples": 2})
    assert load_newest(tmp_path) == ({"samples": 2}, [])


def shared(depth: int) -> list[Any]:
    """Lists in lists, each named ten times: small in a file, 10 ** depth in memory."""
    found: list[Any] = [0]
    for _ in range(depth):
        found = [found] * 10
    return found


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (torch.zeros(1).expand(10**6, 10**6), "decompresses to more than its size"),
        (torch.zeros(1).expand(10**9), "decompresses to more than its size"),
        (shared(12), "decompresses to more than its size"),
        (torch.zeros(3).to_sparse(), "a tensor of another kind"),
        (torch.zeros(3, dtype=torch.bfloat16).dtype, "it holds a dtype"),
    ],
    ids=["wide", "long", "shared lists", "sparse", "a dtype"],
)
def test_what_is_more_than_its_file(value: Any, reason: str, tmp_path: Path) -> None:
    torch.save({"format": 2, "sha256": "", "network": value}, tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match=rf"c\.pt: .*{reason}"):
        load_checkpoint(tmp_path / "c.pt")


def test_a_file_in_itself_and_one_that_is_packed(tmp_path: Path) -> None:
    ring: list[Any] = []
    ring.append(ring)
    torch.save({"a": ring}, tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match="nests deeper than 40"):
        load_checkpoint(tmp_path / "c.pt")
    with zipfile.ZipFile(tmp_path / "c.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("c/data.pkl", bytes(10**6))
    with pytest.raises(CheckpointError, match="decompresses to more than its size"):
        load_checkpoint(tmp_path / "c.pt")


@pytest.mark.parametrize("state", [{}, {"network": 5}, {"network": {1: 2}}], ids=str)
def test_a_state_without_weights(state: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="here: must hold the weights of a network"):
        network_weights(state, Path("here"))
