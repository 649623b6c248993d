"""The cost of validating patches by sliding windows, from counts."""

from __future__ import annotations

from collections.abc import Sequence

from normsearch.config import ArmsConfig, PythonSpaceConfig, StudyConfig
from normsearch.data import Case, Split
from normsearch.errors import ConfigError, count
from normsearch.training import count_tiles, count_windows
from normsearch.trials.task import interim_cases
from normsearch.trials.training import patch_grid, seam_cases

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
    seams = seam_cases(task, split.validation)
    tiles = sum(_tiles(case, task.sides) for case in seams)
    total = (training.evaluations - 1) * windows[0] + windows[1] + tiles
    share = total * FORWARD / patches
    told = f"{_counted(split.validation, windows[1])} at each evaluation"
    if len(some) < len(split.validation):
        told = f"{_counted(some, windows[0])} at each evaluation, "
        told += f"{_counted(split.validation, windows[1])} at the last"
    if seams:
        told += f", and for the seam {count(len(seams), 'case')} ({count(tiles, 'tile')})"
    costly = share > _MUCH and task.validation_cases is None
    cure = "; task.validation_cases makes it score fewer" if costly else ""
    return (
        f"validation slides over {told}: {total} windows in a trial of {patches} training patches, "
        f"about {share:.0%} of the time of training (a window has no backward pass){cure}"
    )


def padding_text(config: StudyConfig, split: Split) -> str:
    """Return a sentence if a patch is longer than every image along an axis, else an empty text."""
    grids = [patch_grid(config.task, case) for case in (*split.train, *split.validation)]
    largest = [max(sides) for sides in zip(*grids, strict=True)]
    patch = config.task.sides
    if all(side <= most for side, most in zip(patch, largest, strict=True)):
        return ""
    return (
        f"a patch of {list(patch)} is longer than every image (at most {largest}), and is filled "
        "up at the borders; a smaller task.size takes less time"
    )


def check_seams(config: StudyConfig, validation: Sequence[Case]) -> None:
    """Raise ConfigError if a search needs seams, and no validation case is large enough for one."""
    search, tile = config.search, config.task.sides
    wanted = "seam" in search.objectives or "seam" in search.constraints.limits
    if not wanted or seam_cases(config.task, validation):
        return
    sides = [patch_grid(config.task, case) for case in validation]
    largest = [max(side) for side in zip(*sides, strict=True)]
    raise ConfigError(
        "search: the seam of a validation case needs one and a half patches along an axis, and a "
        f"patch is {list(tile)}, the largest sides of these cases are {largest}; choose a smaller "
        "task.size, or leave seam out of search.objectives and search.constraints"
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


def _tiles(case: Case, tile: Sequence[int]) -> int:
    """Return the tiles by which the seam of a case is measured."""
    sides = (len(case.image), *case.image.shape[2:])[-len(tile) :]
    padded = [max(pair) for pair in zip(sides, tile, strict=True)]  # as validation does
    return (len(case.image) if len(tile) == 2 else 1) * count_tiles(padded, tile)


def _windows(case: Case, window: Sequence[int]) -> int:
    """Return the windows of a case; each slice has its own if patches are of slices."""
    sides = (len(case.image), *case.image.shape[2:])
    if len(window) == 2:
        return len(case.image) * count_windows(sides[1:], window)
    return count_windows(sides, window)
