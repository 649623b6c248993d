"""`normsearch confirm`: train the best of a search again, and test it on held-out subjects."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from normsearch import limits
from normsearch.cli.options import (
    RUNS,
    AcceptChangedNetwork,
    Address,
    Data,
    Json,
    Local,
    Name,
    RunsDir,
    Storage,
    TrustCode,
    Workers,
)
from normsearch.cli.terminal import say
from normsearch.errors import StudyError
from normsearch.files import is_file

if TYPE_CHECKING:
    from normsearch.cli.launch import Door
    from normsearch.config import StudyConfig
    from normsearch.storage.records import StudyRecord


class Folds(StrEnum):
    """Which folds a confirmation tests on."""

    TEST = "test"
    ALL = "all"


def confirm(
    name: Name,
    top: Annotated[
        int | None,
        typer.Option(min=0, max=limits.TRIALS, help="Best mixtures to confirm (default: 3)."),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, max=limits.SEEDS, help="Trainings of each (default: 5).")
    ] = None,
    folds: Annotated[
        Folds | None,
        typer.Option(help="The search's test folds (default), or all folds one after another."),
    ] = None,
    data: Data = None,
    runs_dir: RunsDir = RUNS,
    workers: Workers = None,
    local: Local = False,
    address: Address = None,
    storage: Storage = None,
    trust_code: TrustCode = False,
    accept_changed_network: AcceptChangedNetwork = False,
    as_json: Json = False,
) -> None:
    """Train the best mixtures and all single norms again, and compare them on test subjects.

    Every single norm is trained at its own best learning rate and batch size, and the reference
    also at those of each mixture. The run is called NAME-confirm; the same command resumes it, or
    prints its result again.
    """
    from normsearch.cli.launch import How, check, resumable, search, tell_arms
    from normsearch.config.reading import read_recorded_study
    from normsearch.search.checks import check_storage
    from normsearch.storage.records import StudyRecord
    from normsearch.storage.run_folder import (
        create_run,
        find_run,
        read_local,
        write_local,
        write_study,
    )

    origin = find_run(name, runs_dir)
    folder = origin.parent / f"{origin.name}-confirm"
    begun = is_file(folder / "study.yaml")
    facts = read_local(folder if begun else origin)
    storage = storage or facts.get("storage")
    data = data or (Path(facts["data"]) if facts.get("data") else None)
    if begun:
        config = read_recorded_study(folder)
        _check_the_same(config, top, seeds, folds)
        if _finished(folder, storage):
            tell_arms(StudyRecord(folder, storage), as_json)
            return
    else:
        config = _new(
            StudyRecord(origin, read_local(origin).get("storage")), top, seeds, folds, data
        )
    door = check(
        config,
        f"{folder / 'study.yaml'}: space.",
        data,
        str(folder if begun else origin),
        trusted=trust_code,
        accept_changed=accept_changed_network,
    )
    _warn_of_few_cases(door)
    local_facts = {"data": str(door.data) if door.data else None, "storage": storage}
    if begun:
        check_storage(door.config, folder, storage, accept_changed=accept_changed_network)
        write_study(folder, door.config)
        write_local(folder, local_facts)
    else:
        create_run(folder, door.config, local_facts)
    with resumable(config.name):
        search(folder, door, How(address, workers, local, as_json, storage))


def _new(
    record: StudyRecord, top: int | None, seeds: int | None, folds: Folds | None, data: Path | None
) -> StudyConfig:
    from normsearch.config.reading import read_recorded_study
    from normsearch.confirmation.plan import SEEDS, TOP, confirm_study
    from normsearch.trials.task import task_folds

    every = task_folds(read_recorded_study(record.folder).task, data) if folds is Folds.ALL else ()
    config = confirm_study(
        record, top=TOP if top is None else top, seeds=seeds or SEEDS, folds=every
    )
    _warn_of_unfinished(record)
    arms: Any = config.space
    say(
        f"{config.name}: {len(arms.arms)} arms ({', '.join(arm.name for arm in arms.arms)}) x "
        f"{len(arms.seeds)} seeds{f' x {len(every)} folds' if every else ''}, "
        f"{arms.size} trainings; compared with {arms.reference}"
    )
    return config


def _check_the_same(
    config: StudyConfig, top: int | None, seeds: int | None, folds: Folds | None
) -> None:
    """Refuse options that would change a confirmation once its scores may have been seen."""
    space: Any = config.space
    begun = {
        "top": space.origin.top,
        "seeds": len(space.seeds),
        "folds": Folds.ALL if space.folds else Folds.TEST,
    }
    for option, given in (("top", top), ("seeds", seeds), ("folds", folds)):
        if given is not None and given != begun[option]:
            raise StudyError(
                f"{config.name}: must be resumed as it began, with --{option} {begun[option]}, "
                "for what is changed after scores were seen is no confirmation; leave the option "
                "out, or remove the run's folder to confirm anew."
            )


def _finished(folder: Path, storage: str | None) -> bool:
    from normsearch.storage.records import StudyRecord

    try:
        record = StudyRecord(folder, storage, skim=True)
    except StudyError:  # killed before its first trial
        return False
    states = record.trials()["state"]
    asked: int = record.config["search"]["trials"]
    return int(states.isin(["COMPLETE", "FAIL"]).sum()) >= asked


def _warn_of_unfinished(record: StudyRecord) -> None:
    states = record.trials()["state"]
    finished = int(states.isin(["COMPLETE", "PRUNED", "FAIL"]).sum())
    asked = record.config["search"]["trials"]
    if states.isin(["RUNNING", "WAITING"]).any():
        say(
            f"normsearch: warning: {record.name} has finished {finished} of {asked} trials; this "
            "confirms the best of them."
        )


def _warn_of_few_cases(door: Door) -> None:
    from normsearch.confirmation.summary_text import few_cases

    space: Any = door.config.space
    in_turn = [case for case in door.cases if set(case.folds) & set(space.folds)]
    tested = len(in_turn or door.split.validation)
    compared = len(space.origin.trials if space.origin else space.arms) - 1
    if few := few_cases(tested, compared):
        cure = "" if space.folds else " --folds all tests on every subject."
        say(f"normsearch: warning: {few}{cure}")
