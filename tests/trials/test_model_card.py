"""model.py is Python, whatever the texts in it say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from normsearch.config import NetworkConfig, TaskConfig
from normsearch.errors import StudyError
from normsearch.trials.model_card import card, sample_shape_of
from tests.loaders import MODEL, load_network

TEXTS = {
    "quotes": 'a """\nimport pathlib; pathlib.Path("ran").touch()\n"""',
    "quote at the end": 'a"',
    "many quotes": '""""""""',
    "windows": r"C:\Users\new\x1",
    "single": "'''{name}",
    "control": "a\x00b\rc\x1b[2Jd\u2028e",
    "other letters": "Ωß\U0001f600",
}


def changed(text: str) -> Any:
    """A model whose texts are all this one."""
    network = NetworkConfig(first_channels=4, depth=1, arguments={text: [text, {"a": text}]})
    trial = MODEL.trial.model_copy(
        update={
            "study": text,
            "task": TaskConfig(data=text, classes=(1, 2)),
            "network": network,
            "norm_map": {text: text},
            "versions": {text: text},
        }
    )
    return MODEL.model_copy(update={"trial": trial, "metric": text})


@pytest.mark.parametrize("text", TEXTS.values(), ids=list(TEXTS))
def test_texts_are_told_and_not_run(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {"__file__": str(tmp_path / "model.py")}
    (tmp_path / "model.py").write_text(card(changed(text), text), encoding="utf-8")
    exec(compile((tmp_path / "model.py").read_bytes(), "model.py", "exec"), found)
    assert [path.name for path in tmp_path.iterdir()] == ["model.py"]
    assert found["NORM_MAP"] == {text: text}
    assert found["NETWORK"]["arguments"] == {text: [text, {"a": text}]}
    assert f"Data: {text}, a sample is a slice" in found["__doc__"]


def test_the_card_loads_the_network(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(card(MODEL, ""), encoding="utf-8")
    network = load_network().eval()
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    found: dict[str, Any] = {"__file__": str(tmp_path / "model.py")}
    exec((tmp_path / "model.py").read_text(encoding="utf-8"), found)
    x = torch.zeros(1, 1, 16, 16)
    assert torch.equal(found["load"]()(x), network(x))


def test_a_trial_without_its_sample_shape() -> None:
    trial = MODEL.trial.model_copy(update={"sample_shape": None})
    with pytest.raises(StudyError, match=r"s: trial\.json must give sample_shape"):
        sample_shape_of(trial)
