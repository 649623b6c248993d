"""The cost of validating patches by sliding windows, from counts."""

from __future__ import annotations

from collections.abc import Sequence

from normsearch.config import ArmsConfig, PythonSpaceConfig, StudyConfig
from normsearch.data import Case, Split
from normsearch.errors import count
from normsearch.training import count_windows
from normsearch.trials.task import interim_cases

FORWARD = 1 / 3
"""Time of a forward pass in that of a training step: the backward pass takes about twice it."""
_MUCH = 0.5  # of the training, above which a cheaper validation is proposed


def validation_cost(config: StudyConfig, split: Split) -> str:
    """Return a sentence on the windows of a trial's evaluations beside its training patches.

    Args:
        config: a study of patches, with their size.
        split: its cases.
    """
    task, training = config.task, config.training
    some = interim_cases(task, split.validation)
    windows = [
        sum(_windows(case, task.sides) for case in cases) for cases in (some, split.validation)
    ]
    patches = training.samples_of(smallest_batch(config))
    total = (training.evaluations - 1) * windows[0] + windows[1]
    share = total * FORWARD / patches
    told = f"{_counted(split.validation, windows[1])} at each evaluation"
    if len(some) < len(split.validation):
        told = f"{_counted(some, windows[0])} at each evaluation, "
        told += f"{_counted(split.validation, windows[1])} at the last"
    costly = share > _MUCH and task.validation_cases is None
    cure = "; task.validation_cases makes it score fewer" if costly else ""
    return (
        f"validation slides over {told}: {total} windows in a trial of {patches} training patches, "
        f"about {share:.0%} of the time of training (a window has no backward pass){cure}"
    )


def smallest_batch(config: StudyConfig) -> int:
    """Return the smallest batch size of a study's space; 1 for a space in Python."""
    return min(batch_sizes(config), default=1)


def batch_sizes(config: StudyConfig) -> list[int]:
    """Return the batch sizes of a study's space; none are known of a space in Python."""
    space = config.space
    if isinstance(space, PythonSpaceConfig):
        return []
    if isinstance(space, ArmsConfig):
        return [arm.batch_size for arm in space.arms]
    return list(space.batch_size.choices)


def _counted(cases: Sequence[Case], windows: int) -> str:
    return f"{count(len(cases), 'case')} ({count(windows, 'window')})"


def _windows(case: Case, window: Sequence[int]) -> int:
    """Return the windows of a case; each slice has its own if patches are of slices."""
    sides = (len(case.image), *case.image.shape[2:])
    if len(window) == 2:
        return len(case.image) * count_windows(sides[1:], window)
    return count_windows(sides, window)
