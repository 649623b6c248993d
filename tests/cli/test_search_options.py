"""Options of a search in YAML: objectives, supernet, initial trials and finite spaces."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import Outcome

Call = Callable[..., Outcome]


@pytest.fixture
def run(normsearch: Call, study_file: Path, data_set: Path) -> Callable[..., Outcome]:
    """Return a function that runs the study ``tiny`` locally, parts of it replaced."""
    study: dict[str, Any] = yaml.safe_load(study_file.read_text())

    def call(name: str = "tiny", *, search: dict[str, Any], **parts: Any) -> Outcome:
        changed = {**study, **parts, "name": name, "search": {"trials": 6, **search}}
        study_file.write_text(yaml.safe_dump(changed))
        return normsearch("run", study_file, "--data", data_set, "--local")

    return call


TWO = {"norm": {"choices": ["BN", "IN"], "per": "network"}, "learning_rate": 0.1, "batch_size": 2}


def test_an_exhausted_space_ends_the_search_with_a_sentence(run: Call, normsearch: Call) -> None:
    done = run(search={"trials": 9, "sampler": "grid"}, space={**TWO, "affine": [True, False]})
    assert done.code == 0
    assert "The space is exhausted: it holds no further configuration" in done.err
    found = json.loads(normsearch("status", "tiny", "--json").out)
    assert found["states"]["COMPLETE"] + found["states"]["PRUNED"] == 4
    trial = json.loads(Path("runs/tiny/trials/0002/trial.json").read_text())
    assert trial["affine"] is False  # the baselines learn γ and β
    again = normsearch("train", "runs/tiny/trials/0002/trial.json", "--data", "../data")
    assert again.code == 0


def test_several_objectives_have_a_pareto_front(run: Call, normsearch: Call) -> None:
    search = {"objectives": ["score", "seconds", "parameters"], "pruner": "none"}
    assert run(search=search).code == 0
    best = json.loads(normsearch("best", "tiny", "--json").out)
    front = best["pareto_front"]
    assert front[0].keys() == {"number", "score", "seconds", "parameters"}
    assert front[0]["number"] == best["number"]
    assert [row["score"] for row in front] == sorted((r["score"] for r in front), reverse=True)
    assert "Pareto front (no trial is better in every objective):" in normsearch("best", "tiny").out


def test_a_supernet_first(run: Call, normsearch: Call) -> None:
    supernet = {"weights": "sparsest_max", "samples": 30}
    assert run(search={"method": "supernet", "supernet": supernet, "trials": 7}).code == 0
    folder = Path("runs/tiny/trials/supernet")
    preference = json.loads((folder / "preference.json").read_text())
    for weights in preference.values():
        assert sorted(weights.values()) == [0, 0, 0, 1]  # SparsestMax has chosen
    best = json.loads(normsearch("best", "tiny", "--json").out)
    assert best["supernet"]["trials"] >= 5
    assert "Supernet against" in normsearch("best", "tiny").out
    assert normsearch("resume", "tiny", "--trials", "8", "--local").code == 0
    again = normsearch("train", folder / "trial.json", "--data", "../data", "-o", "again")
    assert again.code == 0


def test_warm_start_writes_the_points_into_the_run(run: Call, normsearch: Call) -> None:
    assert run(search={"pruner": "none"}).code == 0
    best = json.loads(normsearch("best", "tiny", "--json").out)
    assert run("next", search={"warm_start": "tiny", "warm_start_top": 2, "papers": True}).code == 0
    study = yaml.safe_load(Path("runs/next/study.yaml").read_text())
    sources = [point["source"] for point in study["search"]["points"]]
    assert f"warm_start: tiny trial {best['number']}" in sources
    assert [source for source in sources if source.startswith("papers: ")]
    point = study["search"]["points"][sources.index(f"warm_start: tiny trial {best['number']}")]
    assert point["norm"] == best["norm_map"]


@pytest.mark.parametrize(
    ("search", "parts", "message"),
    [
        ({"sampler": "grid"}, {}, "search.sampler: grid needs choices for everything, and"),
        ({"warm_start": "nobody"}, {}, "nobody: must be"),
        ({"points": [{"norm": {"*": "LN"}}]}, {}, "points: norm of enc1.conv1.norm must be one of"),
        (
            {},
            {"space": {**TWO, "activation": ["relu", "sulu"]}},
            "activation must be one of relu, leaky_relu, elu, silu, gelu, mish, got 'sulu'.",
        ),
        (
            {"method": "supernet"},
            {"space": {**TWO, "norm": {"choices": ["BN", "WN"]}}},
            "search.method: supernet cannot mix WN",
        ),
        (
            {},
            {"space": {"function": "no_module_of_mine:ask"}},
            "space.function: no_module_of_mine:ask: must name a module",
        ),
        ({"objectives": ["score", "memory"]}, {}, "search.pruner: must be none with several"),
    ],
)
def test_mistakes_are_told_before_anything_is_made(
    run: Call, search: dict[str, Any], parts: dict[str, Any], message: str
) -> None:
    outcome = run(search=search, **parts)
    assert outcome.code == 1
    assert message in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("kind", "name"),
    [("samplers", "evonms"), ("pruners", "hyperband"), ("augmentations", "nnunet")],
)
def test_lists(normsearch: Call, kind: str, name: str) -> None:
    listed = json.loads(normsearch("list", kind, "--json").out)
    assert listed[name]
    assert f"{name} " in normsearch("list", kind).out
