"""Every reader of a file that people or runs write, with a sound file of its kind to damage."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
import yaml

from normsearch.analysis import examples
from normsearch.analysis.recorded_results import read_results
from normsearch.config import (
    NetworkConfig,
    StudyConfig,
    TaskConfig,
    TrainingConfig,
    TrialConfig,
    plain,
)
from normsearch.config.reading import read_recorded_study, read_space, read_study, read_trial
from normsearch.confirmation.arm_table import read_surfaces
from normsearch.confirmation.export import read_confirmation
from normsearch.errors import CheckpointError
from normsearch.findings import Measured
from normsearch.norms import NormSpec
from normsearch.search.supernet import read_preference
from normsearch.storage.leases import Leases
from normsearch.storage.records import StudyRecord
from normsearch.storage.run_folder import read_case_table, read_local
from normsearch.training import Plan, load_newest, save_checkpoint, train
from normsearch.trials.model import load_model
from normsearch.trials.model_card import ModelConfig
from normsearch.trials.trial_network import build_trial_network
from tests.analysis.fake_confirmation import FOUND
from tests.data.loaders import decathlon, folds, manifest, manifest_json, nnunet, splits
from tests.mutations import BYTES, TEXTS, TREES, Loader, changed, json_file
from tests.training.test_engine import VALIDATION, Squares, unet

ROOT = Path(__file__).resolve().parents[1]
RECORDED = ROOT / "tests" / "analysis" / "recorded"


TRIAL = TrialConfig(
    study="s",
    number=2,
    task=TaskConfig(data="made-up", classes=(1, 2)),
    network=NetworkConfig(first_channels=4, depth=1),
    training=TrainingConfig(samples=8, evaluations=2, statistics_samples=4),
    norm_map={"*": "SN"},
    learning_rate=0.01,
    batch_size=2,
    sample_shape=(1, 16, 16),
    versions={"torch": "2"},
)
STUDY = {
    "name": "small",
    "task": {"data": "phantom", "size": [32, 32], "intensity": [-100, 200.5], "test_folds": [1]},
    "network": {"first_channels": 4, "depth": 2},
    "training": {"samples": 100, "evaluations": 3, "amp": "off"},
    "space": {
        "norm": {"per": "layer", "choices": ["BN", "GN-2", "none"]},
        "learning_rate": {"low": 0.01, "high": 1.0},
        "batch_size": [2, 4],
    },
    "search": {"trials": 20, "pruner": {"name": "median"}, "resources": {"gpu": 0}},
}


def _same(config: StudyConfig, folder: Path) -> None:
    """What is read can be written and read again."""
    (folder / "study.yaml").write_text(yaml.safe_dump(plain(config)), encoding="utf-8")
    assert read_recorded_study(folder) == config


def study(folder: Path) -> Loader:
    path = json_file(folder / "small.yaml", STUDY)
    return Loader(path, lambda: _same(read_study(str(path))[0], folder), TREES + TEXTS)


def study_text(folder: Path) -> Loader:
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(STUDY))
    return Loader(path, lambda: _same(read_study(str(path))[0], folder), TEXTS)


def overrides(folder: Path) -> Loader:
    path, words = json_file(folder / "small.yaml", STUDY), folder / "words"
    words.write_text(
        "search.trials=20\nspace.norm.choices=[BN, IN]\ntask={data: phantom}\ntraining.samples=50"
    )

    def read() -> None:
        texts = words.read_bytes().decode(errors="surrogateescape").split("\n")
        _same(read_study(str(path), texts)[0], folder)

    return Loader(words, read, TEXTS)


def space(folder: Path) -> Loader:
    path = json_file(folder / "own.yaml", STUDY["space"])
    return Loader(path, lambda: read_space(str(path)), TREES + TEXTS)


def tables(folder: Path) -> Loader:
    path = folder / "page-toy-part.json.gz"
    columns = {"number": [0, 1], "fold": ["1", "2"], "seed": [5, 6], "score": [0.5, 0.25]}
    Measured(trials=pd.DataFrame(columns)).write(path)
    return Loader(path, lambda: Measured.read(path), BYTES)


def norm_spec(folder: Path) -> Loader:
    path = folder / "spec"
    path.write_text("WS+ILN(regroup=16,gate=clip)")

    def read() -> None:
        spec = NormSpec.parse(path.read_bytes().decode(errors="surrogateescape"))
        assert NormSpec.parse(str(spec)) == spec
        spec.nearest(12).canonical(12)

    return Loader(path, read, TEXTS)


def trial(folder: Path) -> Loader:
    path = folder / "trial.json"
    TRIAL.write(path)

    def read() -> None:
        config = read_trial(path)
        config.write(folder / "again.json")
        assert read_trial(folder / "again.json") == config

    return Loader(path, read, TREES + BYTES)


def _network() -> torch.nn.Module:
    return build_trial_network(TRIAL.network, 1, TRIAL.task.outputs)


PLAN = Plan(samples=6, evaluations=2, learning_rate=0.1, statistics_samples=0, optimizer="adam")


def _trained(state: dict[str, Any] | None, save: Callable[[dict[str, Any]], None]) -> None:
    """Train a tiny network, from `state` on; its values are not looked at."""
    for _ in train(unet(), Squares(3), {"a": VALIDATION["a"]}, PLAN, state=state, save=save):
        pass


def checkpoint(folder: Path) -> Loader:
    """Bytes of a checkpoint."""
    path, states = folder / "checkpoint.pt", list[dict[str, Any]]()
    _trained(None, lambda state: states.append(copy.deepcopy(state)))
    save_checkpoint(path, states[0])

    def read() -> None:
        found, refused = load_newest(folder)
        if found is None:
            raise CheckpointError(refused[0])
        _trained(found, lambda _: None)

    return Loader(path, read, BYTES)


def hostile(folder: Path) -> Loader:
    """A whole checkpoint, its digest right, of what nobody trained."""
    loader = checkpoint(folder)
    sound = load_newest(folder)[0]

    def change(_: bytearray, rng: np.random.Generator) -> bytearray:
        try:
            save_checkpoint(loader.file, changed(sound, rng))
        except (TypeError, ValueError, AttributeError):  # that is none any more
            return bytearray()
        return bytearray(loader.file.read_bytes())

    return Loader(loader.file, loader.read, [change])


def weights(folder: Path) -> Loader:
    json_file(folder / "model.json", json.loads(MODEL.model_dump_json()))
    torch.save(load_network().state_dict(), folder / "weights.pt")
    return Loader(folder / "weights.pt", lambda: load_model(folder), BYTES)


def model(folder: Path) -> Loader:
    loader = weights(folder)
    return Loader(folder / "model.json", loader.read, TREES + BYTES)


MODEL = ModelConfig(trial=TRIAL, metric="Dice", score=0.5)


def load_network() -> torch.nn.Module:
    from normsearch.networks import apply_norm_map

    network = _network()
    apply_norm_map(network, TRIAL.norm_map)
    return network


def confirmed(folder: Path) -> Loader:
    from normsearch.analysis.evidence import compared

    path = json_file(folder / "confirmation.json", FOUND)
    study: Any = SimpleNamespace(folder=folder)

    def read() -> None:
        read_confirmation(path)
        compared(study)

    return Loader(path, read, TREES + BYTES)


def result(folder: Path) -> Loader:
    from normsearch.findings.table import table_of_results

    path = folder / "P1-toy.json"
    path.write_bytes((ROOT / "analysis" / "results" / path.name).read_bytes())
    return Loader(path, lambda: table_of_results(read_results([folder]).values()), TREES + BYTES)


def cases(folder: Path) -> Loader:
    path = folder / "cases.csv"
    path.write_text('case,evaluation,score,tp_1\nNA,3,0.5,679\n001,3,nan,\n"a, b",3,1e-3,0\n')

    def read() -> None:
        table = read_case_table(path)
        assert all(isinstance(case, str) for case in table["case"])
        assert all(pd.api.types.is_numeric_dtype(table[name]) for name in table.columns[1:])
        table["score"].mean()

    return Loader(path, read, TEXTS)


def surfaces(folder: Path) -> Loader:
    path = folder / "trials" / "0000" / "surfaces.csv"
    path.parent.mkdir(parents=True)
    path.write_text("case,class,hd95,surface_dice,missed,unit\nNA,1,2.5,0.5,0,mm\n001,1,,,1,mm\n")
    rows = pd.DataFrame([{"state": "COMPLETE", "number": 0, "arm": "a", "seed": 0, "fold": ""}])
    record = SimpleNamespace(folder=folder, trials=lambda: rows)
    return Loader(path, lambda: read_surfaces(cast(StudyRecord, record))["hd95"].mean(), TEXTS)


def pictures(folder: Path) -> Loader:
    path = folder / "trials" / "0000" / "examples.npz"
    path.parent.mkdir(parents=True)
    image = np.random.default_rng(0).normal(size=(3, 8, 9)).astype(np.float32)
    np.savez_compressed(
        path, image=image, truth=image > 0, prediction=image > 1, case=np.array(["a", "NA", "c"]),
        score=np.array([0.5, 1, 0]), spacing=np.full((3, 2), 0.7),
    )  # fmt: skip
    rows = pd.DataFrame([{"state": "COMPLETE", "number": 0, "score": 0.5}])
    study: Any = SimpleNamespace(folder=folder, name="s", direction="maximize", trials=lambda: rows)
    return Loader(path, lambda: examples.compute(study), BYTES)


def local(folder: Path) -> Loader:
    path = json_file(folder / "local.json", {"data": "/data", "storage": "sqlite:///x.db"})
    return Loader(path, lambda: read_local(folder), TREES + BYTES)


def preference(folder: Path) -> Loader:
    path = json_file(folder / "preference.json", {"a": {"BN": 0.25, "IN": 0.75}, "b": {"BN": 1}})
    return Loader(path, lambda: read_preference(path), TREES + BYTES)


def journal(folder: Path) -> Loader:
    shutil.copytree(RECORDED / "search", folder, dirs_exist_ok=True)

    def read() -> None:
        record = StudyRecord(folder)
        record.trials()
        record.history()

    return Loader(folder / "journal.log", read, TEXTS)


def leases(folder: Path) -> Loader:
    path = folder / "leases.log"
    own = Leases(path)
    for number in range(3):
        own.claim(number)
    own.release(1)

    def read() -> None:
        other = Leases(path)
        for number in range(4):
            other.holder(number)
        other.claim(1)

    return Loader(path, read, TEXTS)


LOADERS: dict[str, Callable[[Path], Loader]] = {
    one.__name__: one
    for one in (
        *(study, study_text, overrides, space, tables, norm_spec, trial, checkpoint, hostile),
        *(
            weights,
            model,
            decathlon,
            nnunet,
            splits,
            folds,
            manifest,
            manifest_json,
            confirmed,
            result,
        ),
        *(cases, surfaces, pictures, local, preference, journal, leases),
    )
}
