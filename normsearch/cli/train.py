"""`normsearch train`: train a trial again from its trial.json, without Ray and Optuna."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from normsearch.cli.options import Data, Json, Trust
from normsearch.cli.terminal import say, show


def train(
    *,
    trial: Annotated[Path, typer.Argument(help="A trial.json of a run.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder (default: STUDY-trial-NUMBER).")
    ] = None,
    data: Data = None,
    device: Annotated[
        Literal["cpu", "cuda"] | None, typer.Option(help="Where to train (default: as the trial).")
    ] = None,
    trust: Trust,
    as_json: Json = False,
) -> None:
    """Train a trial again; after an interruption, the same command resumes it.

    Example: normsearch train runs/quickstart/trials/0007/trial.json
    """
    from normsearch.config.reading import read_trial
    from normsearch.trials.measured_task import measure_task
    from normsearch.trials.task import check_fingerprint, load_task, resolve_task, split_task
    from normsearch.trials.training import train_trial
    from normsearch.trials.trial_network import digest_network
    from normsearch.trials.trust import refuse_unseen_network, refuse_unseen_training

    config = read_trial(trial)
    if not trust.trust_code:
        refuse_unseen_network(config.network, str(trial))
        refuse_unseen_training(config, str(trial))
    if device:
        config = config.model_copy(update={"device": device})
    folder = output or Path(f"{config.study}-trial-{config.number:04d}")
    task = measure_task(resolve_task(config.task, data), data)
    config = config.model_copy(update={"task": task})
    cases = load_task(config.task, data)
    check_fingerprint(cases, config.fingerprint, str(trial))
    if trust.accept_changed_network and config.sample_shape:
        digest = digest_network(config.network, config.sample_shape, config.task.outputs)
        config = config.model_copy(update={"network_digest": digest})
    config.write(folder / "trial.json")
    record, metric = {}, config.metric
    for record in train_trial(config, split_task(config.task, cases), folder):
        say(
            f"evaluation {record['evaluation']} of {config.training.evaluations}: "
            f"{metric} {record['score']:.3f}, loss {record['loss']:.3f}, "
            f"{record['samples']} samples, {record['seconds']:.0f} s"
        )
    if as_json:
        print(json.dumps({"metric": metric.lower(), "direction": config.direction, **record}))
    else:
        show(f"Validation {metric} {record['score']:.3f}; weights in {folder / 'checkpoint.pt'}")
