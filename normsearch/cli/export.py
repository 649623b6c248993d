"""`normsearch export`: a trained trial as a folder of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from normsearch.cli.options import (
    RUNS,
    AcceptChangedNetwork,
    Json,
    Name,
    RunsDir,
    Storage,
    TrustCode,
)
from normsearch.cli.terminal import say, show
from normsearch.errors import StudyError


def export(
    name: Name,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="A new or empty folder.", show_default=False)
    ],
    trial: Annotated[
        int | None, typer.Option("--trial", min=0, help="Its number (default: the best trial).")
    ] = None,
    runs_dir: RunsDir = RUNS,
    storage: Storage = None,
    trust_code: TrustCode = False,
    accept_changed_network: AcceptChangedNetwork = False,
    as_json: Json = False,
) -> None:
    """Write weights, norm map, a card that is also the loading code, and the network as a graph."""
    from normsearch.config.reading import read_trial
    from normsearch.storage.records import StudyRecord
    from normsearch.storage.run_folder import find_run, trial_folder
    from normsearch.trials.model import export_model
    from normsearch.trials.model_card import ModelConfig
    from normsearch.trials.trust import refuse_unseen_network

    folder = find_run(name, runs_dir)
    record = StudyRecord(folder, storage)
    number = record.best if trial is None else trial
    if number is None:
        raise StudyError(f"{name}: must have a COMPLETE trial to export, and has none yet.")
    record.norm_map(number)  # refuses a number that is no trial's
    row: dict[Any, Any] = record.trials().to_dict(orient="records")[number]
    place = trial_folder(folder, number)
    config = ModelConfig(
        trial=read_trial(place / "trial.json"),
        metric=record.metric,
        score=float(row["score"]) if row["state"] == "COMPLETE" else None,
    )
    if not trust_code:
        refuse_unseen_network(config.trial.network, str(place / "trial.json"))
    files, no_program = export_model(
        output, place, config, accept_changed_network=accept_changed_network
    )
    if no_program:
        say(f"normsearch: warning: no program.pt2: {no_program}")
    if as_json:
        print(json.dumps({"trial": number, "files": [str(file) for file in files]}))
    else:
        show(f"Trial {number} of {name}:")
        for file in files:
            show(f"  {file}")
        show(f"Masks for new images: normsearch predict {output} IMAGE...")
