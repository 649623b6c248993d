"""The supernet: a mixture for each unit, resumed training, its preference and its agreement."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from normsearch.config import NetworkDigest, TrialConfig
from normsearch.config.reading import read_trial
from normsearch.errors import ConfigError
from normsearch.search.coordinator import Coordinator
from normsearch.search.local_executor import run_local
from normsearch.search.rank_correlation import spearman, spearman_interval
from normsearch.search.supernet import (
    agreement,
    mixable,
    preferred,
    run_supernet,
    supernet_config,
)
from normsearch.space.layered import Space
from normsearch.storage.records import StudyRecord
from normsearch.storage.run_folder import write_study
from tests.made_up_search import EVALUATIONS, record, trainer
from tests.space.test_layered import space
from tests.space.test_python_space import space as python_space

Maker = Callable[..., Coordinator]


def weights_of(config: TrialConfig) -> dict[str, Any]:
    """Weights that like BN in the encoder, IN elsewhere."""
    made = {}
    for mixture in config.mixtures:
        for name in mixture.slots:
            liked = "BN" if name.startswith("enc") else "IN"
            made[name] = {"mixture": {c: 0.7 if c == liked else 0.1 for c in mixture.choices}}
    return made


class OneShot:
    """A supernet's trainer that counts, and can be interrupted once."""

    def __init__(self, interrupt_at: int = 0) -> None:
        self.interrupt_at, self.calls = interrupt_at, 0

    def __call__(
        self, config: TrialConfig, data: Any, folder: Path, token: str | None
    ) -> Iterator[dict[str, Any]]:
        self.calls += 1
        assert token is None
        for evaluation in range(1, EVALUATIONS + 1):
            if self.calls == 1 and evaluation == self.interrupt_at:
                raise KeyboardInterrupt
            yield {**record(config, evaluation), "learnt": weights_of(config)}


def test_its_trial_is_complete(study: Maker) -> None:
    coordinator = study(search={"supernet": {"samples": 45, "weights": "sparsest_max"}})
    found = mixable(coordinator._space)
    config = supernet_config(coordinator.config, found)
    assert [mixture.slots for mixture in config.mixtures] == [(s.name,) for s in found.slots]
    assert {mixture.choices for mixture in config.mixtures} == {("none", "BN", "IN", "GN-2")}
    assert {mixture.weights for mixture in config.mixtures} == {"sparsest_max"}
    assert config.training.samples == 45
    assert config.learning_rate == pytest.approx(0.1**1.5)  # the middle of 0.01 to 0.1
    assert TrialConfig.model_validate_json(config.model_dump_json()) == config
    digest = NetworkDigest(files={"a": "b"}, parameters="c", output=(0.5,))
    recorded = coordinator.config.model_copy(
        update={"network_digest": digest, "sample_shape": (1, 16, 16)}
    )
    supernet = supernet_config(recorded, found)
    assert (supernet.network_digest, supernet.sample_shape) == (digest, (1, 16, 16))


def test_what_it_prefers_is_trained_after_the_baselines(study: Maker, tmp_path: Path) -> None:
    coordinator, one_shot = study(trials=7), OneShot()
    run_supernet(coordinator, coordinator._space, None, one_shot)
    run_local(coordinator, None, trainer)
    trial = coordinator._trials()[4]
    assert trial.user_attrs["source"] == "supernet"
    folder = tmp_path / "run" / "trials"
    norm_map = read_trial(folder / "0004" / "trial.json").norm_map
    assert norm_map == {n: "BN" if n.startswith("enc") else "IN" for n in norm_map}
    assert read_trial(folder / "supernet" / "trial.json").mixtures
    preference = json.loads((folder / "supernet" / "preference.json").read_text())
    assert preference["enc1.conv1.norm"] == {"none": 0.1, "BN": 0.7, "IN": 0.1, "GN-2": 0.1}


def test_it_is_trained_once_and_gone_on_with(study: Maker, tmp_path: Path) -> None:
    one_shot = OneShot(interrupt_at=4)
    first = study(trials=6)
    with pytest.raises(KeyboardInterrupt):
        run_supernet(first, first._space, None, one_shot)
    first.close()
    for _ in range(2):
        again = study(trials=6)
        run_supernet(again, again._space, None, one_shot)
    assert one_shot.calls == 2
    sources = [trial.user_attrs.get("source") for trial in again._trials()]
    assert sources.count("supernet") == 1


def test_another_driver_does_not_train_it_too(study: Maker) -> None:
    one, two = study(), study()
    assert one.leases.claim(-2)
    one_shot = OneShot()
    run_supernet(two, two._space, None, one_shot)
    assert one_shot.calls == 0


def test_preferred_is_the_greatest_weight_of_each_unit() -> None:
    found = space("BN", "GN-16", "LN", per="stage")
    shares = {"level1": [0.4, 0.6], "level2": [0.2, 0.5, 0.3], "level3": [0.1, 0.2, 0.7]}
    preference = {}
    for unit in found.units:
        for slot in unit.slots:
            named = [str(choice) for choice in unit.choices]
            canonical = ["IN" if c == "GN-16" and slot.channels == 16 else c for c in named]
            preference[slot.name] = dict(zip(canonical, shares[unit.name], strict=True))
    params = preferred(found, preference)
    assert params == {
        "norm.level1": "LN",
        "norm.level2": "GN-16",
        "norm.level3": "LN",
        "learning_rate": 0.1,
        "batch_size": 4,
    }


def test_agreement_is_the_rank_correlation_of_liking_and_score(
    study: Maker, tmp_path: Path
) -> None:
    coordinator = study(trials=12, search={"pruner": "none"})
    write_study(tmp_path / "run", coordinator.config)
    run_supernet(coordinator, coordinator._space, None, OneShot())
    run_local(coordinator, None, trainer)
    found = StudyRecord(tmp_path / "run")
    told = agreement(found)
    assert told is not None
    trials = found.trials()
    liked = [  # how many slots have what is liked there: what liking rises with
        sum(spec == ("BN" if slot.startswith("enc") else "IN") for slot, spec in maps.items())
        for maps in map(found.norm_map, trials["number"])
    ]
    expected = stats.spearmanr(liked, trials["score"]).statistic
    assert told["rho"] == pytest.approx(expected)
    assert told["low"] < told["rho"] < told["high"]
    assert told["trials"] == 12


def test_no_agreement_without_a_supernet_or_with_few_trials(study: Maker, tmp_path: Path) -> None:
    coordinator = study(trials=4)
    write_study(tmp_path / "run", coordinator.config)
    run_local(coordinator, None, trainer)
    assert agreement(StudyRecord(tmp_path / "run")) is None
    again = study(trials=4)
    run_supernet(again, again._space, None, OneShot())
    again.close()
    assert agreement(StudyRecord(tmp_path / "run")) is None


def test_spearman_is_scipys() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        one, two = random.integers(0, 6, 15).tolist(), random.normal(size=15).tolist()
        assert spearman(one, two) == pytest.approx(stats.spearmanr(one, two).statistic)
    assert math.isnan(spearman([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]))


def test_the_interval_covers_at_its_level() -> None:
    random = np.random.default_rng(1)
    true = 6 / math.pi * math.asin(0.5 / 2)  # Spearman's of a normal pair with correlation 0.5
    hits = 0
    for _ in range(400):
        pair = random.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], 40).T
        low, high = spearman_interval(spearman(*pair.tolist()), 40)
        hits += low <= true <= high
    assert 0.92 <= hits / 400 <= 0.98
    assert spearman_interval(1.0, 10)[1] == pytest.approx(1)


def test_what_cannot_be_mixed() -> None:
    with pytest.raises(ConfigError, match=r"supernet cannot mix WS\+GN-8, which reaches beyond"):
        mixable(space("BN", "WS+GN-8"))
    with pytest.raises(ConfigError, match="supernet cannot mix BKN"):
        mixable(space("BN", "BKN"))
    with pytest.raises(ConfigError, match="supernet cannot mix FRN, which reaches beyond"):
        mixable(space("BN", "FRN"))
    with pytest.raises(ConfigError, match="supernet needs a space in YAML, got one in Python"):
        mixable(python_space("deeper_is_coarser"))
    assert isinstance(mixable(space("BN", "IN")), Space)
