"""Registered experiments: the shipped ones hold together, and faults are told in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from normsearch.config.reading import validate
from normsearch.errors import ConfigError
from normsearch.findings.experiment_plan import plan_part
from normsearch.findings.registration import (
    SCALES,
    Part,
    all_statements,
    experiment_files,
    find_experiment,
    read_experiment,
)

EVERY = [f"S{n}" for n in range(1, 6)] + [f"I{n}" for n in range(1, 6)]
EVERY += [f"G{n}" for n in range(1, 5)] + [f"P{n}" for n in range(1, 7)] + ["Z1", "B1", "B2", "B3"]

TINY: dict[str, Any] = {
    "name": "tiny",
    "source": "made up",
    "common": {"task": {"data": "phantom"}, "training": {"samples": 8}},
    "studies": {
        "first": {"grid": {"norm": ["BN", "IN"], "learning_rate": 0.1, "batch_size": 1}},
        "second": {
            "task": {"size": [32, 32]},
            "rates_from": "first",
            "grid": {"norm": ["BN"], "batch_size": 1},
        },
    },
    "scales": {"toy": {}, "small": {"studies.first.seeds": 7}, "paper": {}},
    "statements": {
        "T1": {
            "text": "IN beats BN.",
            "metric": "Dice",
            "direction": "higher",
            "paper": "nothing",
            "judge": "beats",
            "arguments": {"part": "first", "arms": ["IN"], "than": "BN"},
        }
    },
}


def write(folder: Path, **places: Any) -> Path:
    raw = yaml.safe_load(yaml.safe_dump(TINY))
    for place, value in places.items():
        *parents, last = place.split("__")
        target = raw
        for parent in parents:
            target = target[parent]
        target[last] = value
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    return path


def test_every_statement_is_registered_in_the_order_of_the_table() -> None:
    assert list(all_statements()) == EVERY


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("path", experiment_files(), ids=lambda path: path.stem)
def test_shipped_experiments_can_be_planned_at_every_scale(path: Path, scale: str) -> None:
    experiment = read_experiment(path, scale)
    assert experiment.name == path.stem
    for name, part in experiment.studies.items():
        if not part.needs and part.replay is None:
            [plan] = plan_part(experiment, name, scale, {}, {})
            assert plan.study["name"].startswith(f"finding-{path.stem}-{scale}-{name}-")


def test_a_scale_changes_places_and_the_hash(tmp_path: Path) -> None:
    toy, small = (read_experiment(write(tmp_path), scale) for scale in ("toy", "small"))
    assert (toy.studies["first"].seeds, small.studies["first"].seeds) == (1, 7)
    assert toy.sha256 != small.sha256
    assert toy.sha256 == read_experiment(write(tmp_path), "toy").sha256


def test_what_is_common_holds_where_a_part_does_not_say_otherwise(tmp_path: Path) -> None:
    parts = read_experiment(write(tmp_path), "toy").studies
    assert parts["first"].task == {"data": "phantom"}
    assert parts["second"].task == {"data": "phantom", "size": [32, 32]}


def test_a_finding_needs_its_part_and_what_that_needs(tmp_path: Path) -> None:
    experiment = read_experiment(write(tmp_path), "toy")
    assert list(experiment.parts_of("T1")) == ["first"]
    path = write(tmp_path, statements__T1__arguments__part="second")
    assert list(read_experiment(path, "toy").parts_of("T1")) == ["first", "second"]


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (
            "statements__T1__judge",
            "beat",
            r"statements.T1.judge: must be one of .*Did you mean 'be",
        ),
        (
            "statements__T1__arguments__part",
            "third",
            r"arguments.part: must be a part, got 'third'",
        ),
        (
            "studies__first__rates_from",
            "second",
            r"studies.first: must come after the part 'second'",
        ),
        (
            "studies__first__grid",
            [],
            r"must have either arms \(or grid, found\), a space, or a rep",
        ),
        (
            "scales__toy",
            {"studies.first.grid.norm.9.x": 1},
            r"scales.toy: .*there is no 9 to chang",
        ),
        ("sourc", "x", r"sourc: unknown key"),
    ],
)
def test_faults_are_told(tmp_path: Path, place: str, value: Any, message: str) -> None:
    path = write(tmp_path, **{place: value})
    with pytest.raises(ConfigError, match=message):
        read_experiment(path, "toy")


def test_an_unknown_finding_or_scale_is_told() -> None:
    with pytest.raises(ConfigError, match=r"finding: must be one of .*, got 'S9'. Did you mean 'S"):
        find_experiment("S9", "toy")
    with pytest.raises(ConfigError, match="--scale: must be one of toy, small, paper, got 'huge'"):
        find_experiment("S1", "huge")


@pytest.mark.parametrize("arm", [{"part": "search", "take": "single"}, {"take": "best"}], ids=str)
def test_an_arm_is_taken_in_a_known_way_or_refused(arm: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"x: found\.mine: must name a part, and take best or"):
        validate(Part, {"found": {"mine": arm}}, "x")
