"""Bounds of the numbers that a user gives: beyond any need, within what libraries can handle."""

from __future__ import annotations

import re

from normsearch.errors import ConfigError, short

SEED = 2**32 - 1  # the largest that NumPy, torch and scikit-learn accept
SAMPLES = 10**9  # of a training; also its steps
STUDY_SAMPLES = 10**14  # of all trainings of a study
GAIN = 1e6  # of a training
STATISTICS_SAMPLES = 10**6
EVALUATIONS = 10_000  # of a training; also rungs of pruners
BATCH_SIZE = 65_536  # also the batches accumulated
LEARNING_RATE = (1e-12, 1e3)  # also factors of it
WEIGHT_DECAY = 1e3
CHANNELS = 4_096  # of a network's first level
SIDE = 16_384  # pixels along one axis of a sample; also its slices
VOXELS = 2**28  # of a sample that `task.size` asks for
TRIALS = 10**6
SEEDS = 10_000  # of an arm
WORKERS = 4_096
CORES = 1_024  # of a trial; also its threads
LOADER_WORKERS = 256  # threads of a trial that build batches
FOLDS = 100  # made for a data set
GIBIBYTES = 1_024  # of memory for a training step
GPUS = 64  # of a trial
GPU_SHARE = 1e-3  # the smallest
SECONDS = 10**8  # three years

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}(-confirm)?")


def check_seed(seed: int) -> int:
    """Return `seed`.

    Raises:
        ConfigError: it is not from 0 to 2**32 - 1, the range of random generators.
    """
    if not 0 <= seed <= SEED:
        raise ConfigError(f"a seed must be from 0 to {SEED}, got {short(seed)}.")
    return seed


def check_run_name(name: str) -> str:
    """Return `name` if it can be part of a path and a key in a database.

    Raises:
        ValueError: it cannot.

    >>> check_run_name("spine-2")
    'spine-2'
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            "must be a run's name: 1 to 80 letters, digits, '.', '_' and '-', a letter or digit "
            f"first, got {short(name)}"
        )
    return name
