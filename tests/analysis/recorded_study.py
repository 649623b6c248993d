"""Two tiny real runs on the phantom, as `normsearch run` left them, less checkpoints.

``recorded/search`` is a random search of 30 trials over 7 slots, with pruning; ``recorded/arms``
are 10 arms with 2 seeds each. Their study.yaml says how to record them again.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import normsearch
from normsearch.confirmation.export import write_confirmation


def recorded(name: str) -> normsearch.StudyRecord:
    """Open the recorded run `name`."""
    return normsearch.load_study(Path(__file__).with_name("recorded") / name)


def confirmed_runs(folder: Path) -> normsearch.StudyRecord:
    """Copy the recorded search to `folder`, and the arms beside it as what confirms it."""
    beside = folder.with_name(f"{folder.name}-confirm")
    for name, place in (("search", folder), ("arms", beside)):
        shutil.copytree(Path(__file__).with_name("recorded") / name, place)
    write_confirmation(normsearch.load_study(beside))
    return normsearch.load_study(folder)
