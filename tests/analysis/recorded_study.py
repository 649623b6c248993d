"""Two tiny real runs on the phantom, as `normsearch run` left them, less checkpoints.

``recorded/search`` is a random search over 7 slots, with pruning; ``recorded/arms`` are
10 arms with 2 seeds each. Their study.yaml says how to record them again.
"""

from __future__ import annotations

from pathlib import Path

import normsearch


def recorded(name: str) -> normsearch.StudyRecord:
    """Open the recorded run `name`."""
    return normsearch.load_study(Path(__file__).with_name("recorded") / name)
