"""A confirmed study without trainings: FAKE-confirm beside it, as the confirm verb leaves it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from normsearch.analysis import evidence
from tests.analysis.fake_study import FakeStudy, fake_study, tiny

#: What nothing is known of, in confirmation.json.
UNKNOWN = dict.fromkeys(
    ("low", "high", "seed_sd", "difference", "total_low", "total_high", "p_holm", "hd95",
     "hd95_sd", "surface_dice", "surface_dice_sd", "mean", "sd", "learning_rate", "batch_size",
     "steps", "seeds", "failed", "collapsed", "collapse_bound", "false_positives", "empty_cases",
     "beside", "beside_difference", "beside_low", "beside_high", "beside_p")
)  # fmt: skip
FOUND: dict[str, Any] = {
    "study": "fake-confirm",
    "metric": "Dice",
    "finished": True,
    "scored_on": "test",
    "reference": "GN-8",
    "hd95_unit": "mm",
    "seeds": 5,
    "cases": 14,
    "seen_folds": [],
    "sentences": [
        "Trial 17 is better than GN-8, the single norm that the search ranked first: +0.021.",
        "GN-8 is the single norm that the search ranked first by validation Dice (0.871), chosen "
        "before any of these scores was seen.",
        "No difference shown between GN-8 and BN: not evidence of equality.",
    ],
    "arms": [
        {**UNKNOWN, "arm": "trial 17", "mean": 0.9012, "sd": 0.0412, "low": 0.8801, "high": 0.92,
         "seed_sd": 0.0061, "difference": 0.0213, "total_low": 0.0056, "total_high": 0.0371,
         "p_holm": 0.0132, "hd95": 3.21, "hd95_sd": 1.5, "surface_dice": 0.93,
         "surface_dice_sd": 0.02, "verdict": "better", "learning_rate": 0.1, "batch_size": 4,
         "steps": 500.0, "seeds": 5, "failed": 0, "collapsed": 0, "collapse_bound": 0.451,
         "false_positives": 3, "empty_cases": 1, "beside": "GN-8 at trial 17's setting",
         "beside_difference": 0.0181, "beside_low": 0.002, "beside_high": 0.0342,
         "beside_p": 0.021},
        {**UNKNOWN, "arm": "GN-8", "mean": 0.8799, "sd": 0.051, "low": 0.85, "high": 0.9,
         "seed_sd": 0.0123, "difference": 0.0, "verdict": "reference"},
        {**UNKNOWN, "arm": "BN", "mean": 0.8711, "sd": 0.06, "low": 0.84, "high": 0.9,
         "seed_sd": 0.0123, "difference": -0.0088, "total_low": -0.0256, "total_high": 0.008,
         "p_holm": 0.41, "verdict": "no difference found"},
        {**UNKNOWN, "arm": "SN", "verdict": "not trained"},
    ],
}  # fmt: skip


def arms_study(folder: Path) -> FakeStudy:
    """A study of fixed trainings, two of them complete."""
    rows = [{"score": 0.9, "norm.a.norm": "IN"}, {"score": 0.8, "norm.a.norm": "BN"}]
    space = {"arms": [{"name": "trial 17"}, {"name": "BN"}], "seeds": [0]}
    config = {"space": space, "training": {"samples": 100}}
    return tiny(rows, ["a.norm"], folder=folder, name="fake-confirm", config=config)


def confirmed_study(
    root: Path, monkeypatch: pytest.MonkeyPatch, found: dict[str, Any] | None = FOUND
) -> FakeStudy:
    """A search with its confirmation beside it; `found` None is one that has not ended."""
    study, other = fake_study(folder=root / "fake"), arms_study(root / "fake-confirm")
    other.folder.mkdir()
    (other.folder / "study.yaml").write_text("name: fake-confirm")
    if found is not None:
        text = json.dumps(found)
        (other.folder / "confirmation.json").write_text(text, encoding="utf-8")
    monkeypatch.setattr(evidence, "open_study", {other.folder: other}.__getitem__)
    return study
