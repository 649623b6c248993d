"""Initial trials: baselines, settings of papers, and the best of another run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from normsearch.config import Point, SearchConfig
from normsearch.errors import ConfigError
from normsearch.networks import UNet2d, list_norms
from normsearch.search.checks import with_initial_trials
from normsearch.search.coordinator import Coordinator
from normsearch.search.local_executor import run_local
from normsearch.space.initial_trials import (
    DEPTH,
    PAPERS,
    initial_trials,
    paper_points,
    warm_start_points,
)
from normsearch.storage.records import StudyRecord
from normsearch.storage.run_folder import write_study
from tests.made_up_search import trainer
from tests.space.test_layered import SLOTS, space
from tests.space.test_python_space import space as python_space

ALL = ("none", "BN", "IN", "LN", "GN", "ILN", "ILN(regroup=none)", "SN", "BRN")


def test_papers_that_the_space_offers_become_points() -> None:
    found = space(*ALL, groups=[2, 4, 8, 16, 32], batch_size=[1, 2, 4])
    points = paper_points(found)
    sources = [point.source for point in points]
    assert "papers: spine CT, GN-2, batch 1" in sources
    assert "papers: Switchable Norm, SN, batch 2" in sources
    assert "papers: Group Normalization, BN, batch 2" in sources  # 32 is not offered
    assert not [source for source in sources if "gate=clip" in source]
    for point in points:
        choice = found.suggest(_Fixed(found.parameters(point)))
        assert choice.norm_map.keys() == point.norm.keys()


class _Fixed:
    def __init__(self, params: dict[str, object]) -> None:
        self.params = params

    def suggest_categorical(self, name: str, choices: object) -> object:
        return self.params[name]

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return float(str(self.params[name]))


def test_too_many_groups_become_one_channel_a_group() -> None:
    (point,) = [p for p in paper_points(space(*ALL, groups=[2, 16])) if ", GN-16," in p.source]
    by_stage = {slot.stage: point.norm[slot.name] for slot in SLOTS}
    assert by_stage == {"level1": "IN", "level2": "GN-16", "level3": "GN-16"}


def test_depth_orders_have_equal_shares() -> None:
    slots = list_norms(UNet2d(first_channels=8, depth=4))
    points = paper_points(space("IN", "BN", "LN", slots=slots))
    norms = {p.source.partition(", in ")[2]: list(p.norm.values()) for p in points}
    in_words = norms["words, IN, BN, LN"]
    assert [in_words.count(text) for text in ("IN", "BN", "LN")] == [8, 7, 7]
    assert in_words == sorted(in_words, key=["IN", "BN", "LN"].index)
    in_figures = norms["figures, LN, BN, BN, LN"]
    assert in_figures[0] == in_figures[-1] == "LN"
    assert set(in_figures[6:16]) == {"BN"}


def test_no_paper_fits_a_space_of_none() -> None:
    points = paper_points(space("none", per="network"))
    assert [point.source for point in points] == ["papers: spine CT, none, batch 4"]


def test_the_lists_of_papers_are_of_known_norms() -> None:
    for _, text, _ in PAPERS:
        Point(norm={"*": text})
        space(text, groups=[2], slots=[s for s in SLOTS if s.channels == 32])
    assert all(len(texts) > 1 for _, texts in DEPTH)


def test_each_configuration_is_known_once() -> None:
    points = tuple(
        Point(norm={"*": text}, learning_rate=rate, source=text)
        for text, rate in (("BN", None), ("BN", 0.5), ("IN", 0.5), ("IN", 0.5))
    )
    found = initial_trials(SearchConfig(points=points), space("BN", "IN"))
    assert [origin for _, origin in found] == [
        {"baseline": "BN"},
        {"baseline": "IN"},
        {"source": "BN"},
        {"source": "IN"},
    ]
    without = initial_trials(SearchConfig(points=points, baselines=False), space("BN", "IN"))
    assert len(without) == 3


@pytest.fixture
def other(study: Callable[..., Coordinator], tmp_path: Path) -> StudyRecord:
    """A finished run at tmp_path/run: none, BN, IN and GN-2 on 7 slots."""
    coordinator = study(trials=10, search={"pruner": "none"})
    run_local(coordinator, None, trainer)
    write_study(tmp_path / "run", coordinator.config)
    return StudyRecord(tmp_path / "run")


SMALL = list_norms(UNet2d(first_channels=8, depth=1))


def best_of(run: StudyRecord, top: int) -> list[tuple[int, dict[str, str], dict[str, Any]]]:
    return [(n, run.norm_map(n), run.values(n)) for n in run.ranked()[:top]]


def test_the_best_of_another_run(other: StudyRecord) -> None:
    found = space("none", "BN", "IN", "GN-2", slots=SMALL)
    points, reasons = warm_start_points(found, other.name, best_of(other, 3))
    assert reasons == []
    assert [point.norm for point in points] == [other.norm_map(n) for n in other.ranked()[:3]]
    assert points[0].source == f"warm_start: made-up trial {other.best}"
    best = other.values(other.best or 0)
    assert (points[0].learning_rate, points[0].batch_size) == (
        best["learning_rate"],
        best["batch_size"],
    )


def test_values_that_are_not_offered_take_the_default(other: StudyRecord) -> None:
    found = space("none", "BN", "IN", "GN-2", slots=SMALL, learning_rate=[9.0], batch_size=[64])
    points, _ = warm_start_points(found, other.name, best_of(other, 1))
    assert (points[0].learning_rate, points[0].batch_size) == (None, None)
    params = found.parameters(points[0])
    assert (params["learning_rate"], params["batch_size"]) == (9.0, 64)


def test_what_does_not_fit_is_told_in_one_sentence(other: StudyRecord, tmp_path: Path) -> None:
    search = SearchConfig(warm_start="run", warm_start_top=10)
    narrow = space("none", "BN", "IN", slots=SMALL)
    with pytest.warns(
        UserWarning, match=r"of 10 trials of run do not fit this space and are left out: warm_start"
    ):
        kept = with_initial_trials(search, narrow, tmp_path).points
    assert kept
    with pytest.raises(
        ConfigError,
        match=r"^search\.warm_start: run must have a trial that fits: "
        r"warm_start: made-up trial \d+: norm of enc1\.conv1",
    ):
        with_initial_trials(search, space("LN", slots=SMALL), tmp_path)


def test_papers_and_warm_start_need_a_space_in_yaml(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="papers and warm_start need a space in YAML"):
        with_initial_trials(SearchConfig(papers=True), python_space("deeper_is_coarser"), tmp_path)


def test_nothing_asked_nothing_added(tmp_path: Path) -> None:
    search = SearchConfig()
    assert with_initial_trials(search, space("BN"), tmp_path) is search


def test_known_points_are_trained_first_and_once(
    study: Callable[..., Coordinator], tmp_path: Path
) -> None:
    point = {"norm": {"*": "BN", "enc*": "IN"}, "learning_rate": 0.02, "source": "mine"}
    run_local(study(trials=6, search={"points": [point]}), None, trainer)
    coordinator = study(trials=7, search={"points": [point]})
    run_local(coordinator, None, trainer)
    sources = [trial.user_attrs.get("source") for trial in coordinator._trials()]
    assert sources == [*[None] * 4, "mine", None, None]
    assert coordinator._trials()[4].params["learning_rate"] == 0.02
