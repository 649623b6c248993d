"""Runs a user's training loop as a trainer, with records, checkpoints and resume."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch

from normsearch.config import TrialConfig
from normsearch.data import Split
from normsearch.errors import (
    ConfigError,
    StudyError,
    TrainingError,
    one_line,
    short,
)
from normsearch.networks import NormSlot
from normsearch.networks.importing import load
from normsearch.norms import set_progress
from normsearch.training import (
    limit_memory,
    load_newest,
    mean_score,
    save_newest,
    typed_failures,
)
from normsearch.training.memory import peak_memory, prepare_memory
from normsearch.trials.trainer import Record
from normsearch.trials.training import check_owner, learnt, write_cases
from normsearch.trials.trial import SlotsFound, Trial

UsersTrainer = Callable[[Trial], Iterator[Any]]
"""A user's training loop: yields scores, or mappings with a score."""


def load_trainer(text: str) -> UsersTrainer:
    """Return the trainer at ``module:function``.

    Raises:
        ConfigError: it does not exist or cannot be called.
    """
    found: UsersTrainer = load(text, "trainer")
    if not callable(found):
        raise ConfigError(f"trainer: must be a function of a trial, got {text}, which is {found!r}")
    return found


def find_slots(config: TrialConfig, cases: Split, folder: Path) -> list[NormSlot]:
    """Return the slots of the network that a trainer passes to `Trial.place_norms`.

    Calls the trainer and ends it at that call.

    Raises:
        ConfigError: the trainer yields, ends or fails before that call.
    """
    trainer = load_trainer(config.trainer or "")
    must = f"trainer: {config.trainer} must call trial.place_norms(network) before its first yield"
    try:
        given = trainer(Trial(config, cases, folder, probing=True))
        if not isinstance(given, Iterable):
            raise ConfigError(f"{must}, as a generator, and returned {short(given)}")
        for value in given:
            raise ConfigError(f"{must}, and yielded {value!r}")
    except SlotsFound as found:
        return found.slots
    except ConfigError:
        raise
    # User code may raise anything; the traceback is kept as the cause.
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{must}, and raised {one_line(error)}") from error
    raise ConfigError(f"{must}, and ended without")


def train_own(
    config: TrialConfig, data: Split, folder: Path, token: str | None = None
) -> Iterator[Record]:
    """Train a trial with the user's trainer; yield a record per score, as `train_trial` does.

    FOLDER/checkpoint.pt holds the trainer's saved state and the records so far. An interrupted
    trial yields these records first and continues from the saved state.

    Args:
        config: the trial.
        data: training and validation cases; empty if the study has no task.
        folder: the folder of the trial.
        token: the required content of FOLDER/owner; None skips this check.

    Raises:
        TrainingError: there is too little memory, or a score is missing.
        StudyError: a yielded value is not a score, or another driver owns the trial.
    """
    torch.set_num_threads(config.threads)
    if config.device != "cpu":
        limit_memory(config.gpu_share)
    state, _ = load_newest(folder)
    records: list[Record] = list(state["records"]) if state else []
    yield from records
    _seed(config.network.seed)
    trial = Trial(config, data, folder, restored=state["state"] if state else None)
    spent = records[-1]["seconds"] if records else 0.0
    began = time.monotonic()
    prepare_memory(config.device)
    with typed_failures(trial.batch_size):
        values = iter(load_trainer(config.trainer or "")(trial))
    while len(records) < trial.evaluations:
        with typed_failures(trial.batch_size):
            value = next(values, None)
        if value is None:
            raise TrainingError(
                f"{config.trainer} must yield {trial.evaluations} scores (trial.evaluations), and "
                f"ended after {len(records)}",
                kind="trainer",
            )
        record = _record(value, len(records) + 1, trial)
        record |= {
            "seconds": spent + time.monotonic() - began,
            "peak_memory": peak_memory(config.device),
        }
        records.append(record)
        check_owner(folder, token)
        write_cases(folder / "cases.csv", record["evaluation"], record["cases"])
        if (saved := trial.take_state()) is not None:
            state = {"records": records, "state": saved}
            save_newest(folder, state, lambda: check_owner(folder, token))
        yield record


def _record(value: Any, evaluation: int, trial: Trial) -> Record:
    given = dict(value) if isinstance(value, Mapping) else {"score": value}
    score, cases, loss = given.get("score"), given.get("cases") or {}, given.get("loss", math.nan)
    for key, one, kind in (("cases", cases, Mapping), ("loss", loss, Real | torch.Tensor)):
        if not isinstance(one, kind):
            must = "a mapping of id to score" if key == "cases" else "a number"
            raise StudyError(f"{trial.config.trainer} must yield {key} as {must}, got {short(one)}")
    if isinstance(score, torch.Tensor) and score.numel() == 1:
        score = score.item()
    if not isinstance(score, Real) and cases:
        score = mean_score(float(one) for one in cases.values())
    if not isinstance(score, Real):
        raise StudyError(
            f"{trial.config.trainer} must yield a score, or a mapping with score (or cases: id -> "
            f"score), got {value!r}"
        )
    if math.isinf(float(score)):
        raise TrainingError(
            f"the score that {trial.config.trainer} yields must be finite, got {score}; a case "
            "without a score has nan",
            kind="metric",
        )
    if math.isinf(float(loss)):
        raise TrainingError(
            f"the loss that {trial.config.trainer} yields is not finite ({loss}); a smaller "
            "learning rate or another norm may prevent it",
            kind="nan",
        )
    share = evaluation / trial.evaluations
    if trial.network is not None:
        set_progress(trial.network, share)
    parameters = trial.network.parameters() if trial.network is not None else ()
    return {
        "evaluation": evaluation,
        "samples": round(share * trial.samples),
        "steps": round(share * trial.samples / trial.batch_size),
        "loss": float(loss),
        "score": float(score),
        "cases": {str(case): float(one) for case, one in cases.items()},
        "parameters": sum(p.numel() for p in parameters if p.requires_grad),
        "learnt": learnt(trial.network) if trial.network is not None else {},
    }


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - what users' own code draws from
    random.seed(seed)
