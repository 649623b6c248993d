"""The start of a trial: its choice, owner and trial.json are recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from optuna.trial import Trial

from normsearch.config import TrialConfig
from normsearch.files import remove_leftovers, write_text
from normsearch.samplers.registry import how_drawn
from normsearch.space.choice import Choice
from normsearch.space.layered import AnySpace

LOST = "its choice is lost in a damaged line of the study's journal"
_CHOSEN = ("norm_map", "affine", "arm", "learning_rate", "batch_size")


def record_choice(trial: Trial, choice: Choice, space: AnySpace) -> bool:
    """Store what a trial chose; False if it had chosen something else before.

    That happens if lines of the journal are lost. Its curve and checkpoint are of the old choice.
    """
    known = trial.user_attrs
    chosen = {"norm_map": choice.norm_map, "values": choice.values}
    begun = any(name.startswith("evaluation:") for name in known)
    for name, value in chosen.items():
        if known.get(name, None if begun else value) != value:
            return False
    if chosen.keys() <= known.keys():
        return True
    for name, value in chosen.items():
        trial.set_user_attr(name, value)
    trial.set_user_attr("drawn", how_drawn(trial.study.sampler, trial))
    if single := space.single_norm(choice.norm_map):
        trial.set_user_attr("single_norm", single)
    return True


def prepare_folder(folder: Path, config: TrialConfig, token: str) -> None:
    """Prepare a trial's folder: owner, trial.json, and no files of another choice."""
    write_text(folder / "owner", token)
    remove_leftovers(folder)  # after the owner is set, which refuses late writers
    path = folder / "trial.json"
    known = _read(path)
    own = config.model_dump(mode="json", include=set(_CHOSEN))
    if any(known[name] != own[name] for name in _CHOSEN if name in known):
        for name in ("checkpoint.pt", "checkpoint-previous.pt", "cases.csv"):
            (folder / name).unlink(missing_ok=True)
        known = {}
    if not known:
        config.write(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}
