import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from normsearch.config import (
    AugmentationConfig,
    Mixture,
    NetworkConfig,
    TaskConfig,
    TrainingConfig,
    TrialConfig,
)
from normsearch.data import Case, SampleLoader, Split
from normsearch.errors import CheckpointError, StudyError, TrainingError
from normsearch.networks import list_norms
from normsearch.norms import gate_parameters, initialize_weight_norms
from normsearch.training import Plan, acceleration, load_checkpoint
from normsearch.trials import training as trial_module
from normsearch.trials.class_weights import class_weights
from normsearch.trials.training import train_trial, training_loader
from normsearch.trials.trial_network import build_trial_network

NETWORK = NetworkConfig(first_channels=2, depth=1, seed=4)
SLOTS = [slot.name for slot in list_norms(build_trial_network(NETWORK, 1))]
TRIAL = TrialConfig(
    study="s",
    number=3,
    task=TaskConfig(data="made-up"),
    network=NETWORK,
    training=TrainingConfig(samples=18, evaluations=3, statistics_samples=6, weight_decay=0.01),
    norm_map={**dict.fromkeys(SLOTS, "BN"), "enc1.conv1.norm": "SN", "dec1.up.norm": "BIN"},
    learning_rate=0.1,
    batch_size=3,
)


def make_case(name: str, seed: int, *, empty: bool = False) -> Case:
    """Four slices of noise with a bright square; read-only, as Ray's store would give it."""
    generator = np.random.default_rng(seed)
    label = np.zeros((4, 16, 16), np.uint8)
    if not empty:
        y, x = generator.integers(0, 9, 2)
        label[:, y : y + 7, x : x + 7] = 1
    image = (generator.normal(size=label.shape) + 4.0 * label).astype(np.float32)[:, None]
    image.setflags(write=False)
    return Case(name, name, "", image, label, (1.0, 1.0, 1.0))


CASES = [make_case("a", 1), make_case("b", 2), make_case("c", 3), make_case("d", 4, empty=True)]
DATA = Split(train=tuple(CASES[:2]), validation=tuple(CASES[2:]), test=())


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def untimed(record: dict[str, Any]) -> str:
    return json.dumps({**record, "seconds": 0, "peak_memory": 0})


def test_records_say_how_it_went_and_are_plain(tmp_path: Path) -> None:
    records = list(train_trial(TRIAL, DATA, tmp_path))
    network = build_trial_network(NETWORK, 1)
    with_bn = sum(parameter.numel() for parameter in network.parameters())
    for number, record in enumerate(records, 1):
        assert json.loads(json.dumps(record)).keys() == record.keys()
        assert (record["evaluation"], record["samples"]) == (number, 6 * number)
        assert record["cases"].keys() == {"c", "d"}
        # SN has two times three logits more than the BN it is built with, BIN a ρ a channel.
        assert record["parameters"] == with_bn + 6 + 2
    assert len(records) == 3


def test_an_augmented_trial_goes_on_bit_for_bit(tmp_path: Path) -> None:
    listed: Any = {"preset": "nnunet", "transforms": ["elastic", "monai.transforms:RandBiasField"]}
    task = TaskConfig(data="made-up", augmentation=listed)
    trial = TRIAL.model_copy(update={"task": task})
    whole = [untimed(record) for record in train_trial(trial, DATA, tmp_path / "whole")]
    assert untimed(next(train_trial(trial, DATA, tmp_path / "broken"))) == whole[0]
    resumed = [untimed(record) for record in train_trial(trial, DATA, tmp_path / "broken")]
    assert resumed[1:] == whole[1:]
    plain = [untimed(record) for record in train_trial(TRIAL, DATA, tmp_path / "plain")]
    assert plain != whole


def test_norms_with_a_schedule_are_told_of_the_progress(tmp_path: Path) -> None:
    sparse = TRIAL.model_copy(update={"norm_map": dict.fromkeys(SLOTS, "SSN")})
    *_, last = train_trial(sparse, DATA, tmp_path)
    for slot in SLOTS:
        assert sorted(last["learnt"][slot]["mean"].values()) == [0, 0, 1]


def test_what_adaptive_norms_learnt_is_recorded_by_slot(tmp_path: Path) -> None:
    *_, last = train_trial(TRIAL, DATA, tmp_path)
    learnt = last["learnt"]
    assert list(learnt) == ["enc1.conv1.norm", "dec1.up.norm"]
    assert learnt["enc1.conv1.norm"].keys() == {"mean", "variance"}
    for shares in learnt["enc1.conv1.norm"].values():
        assert list(shares) == ["IN", "LN", "BN"]
        assert sum(shares.values()) == pytest.approx(1, abs=1e-6)
    assert learnt["enc1.conv1.norm"]["mean"]["IN"] != pytest.approx(1 / 3, abs=1e-4)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["network"]
    softmax = state["enc1.conv1.norm.mean_logits"].double().softmax(0).tolist()
    assert list(learnt["enc1.conv1.norm"]["mean"].values()) == pytest.approx(softmax, abs=1e-6)
    assert 0 <= learnt["dec1.up.norm"]["rho"]["BN"] <= 1


def test_plain_norms_have_learnt_nothing(tmp_path: Path) -> None:
    trial = TRIAL.model_copy(update={"norm_map": dict.fromkeys(SLOTS, "BN")})
    assert next(train_trial(trial, DATA, tmp_path))["learnt"] == {}


def test_subnormal_numbers_are_zero_while_it_trains_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not torch.set_flush_denormal(False):
        pytest.skip("this processor cannot flush subnormal numbers")
    smallest, seen = torch.full((4,), 1e-40), []
    monkeypatch.setattr(
        trial_module, "clamp_gates", lambda network: seen.append(bool((2 * smallest).any()))
    )
    for _ in train_trial(TRIAL, DATA, tmp_path):
        assert (2 * smallest).all()
    assert seen == [False] * 6  # after each step
    torch.set_flush_denormal(True)
    try:
        next(train_trial(TRIAL, DATA, tmp_path))
        assert not (2 * smallest).any()  # the caller's own setting is left
    finally:
        torch.set_flush_denormal(False)


def test_the_folder_holds_the_checkpoint_and_the_cases(tmp_path: Path) -> None:
    for record in train_trial(TRIAL, DATA, tmp_path):
        before = {"checkpoint-previous.pt"} if record["evaluation"] > 1 else set()
        names = {path.name for path in tmp_path.iterdir()}
        assert names == {"checkpoint.pt", "cases.csv"} | before
        state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
        assert len(state["history"]) == record["evaluation"]
        with (tmp_path / "cases.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["case"] for row in rows] == ["c", "d"]
        assert {row["evaluation"] for row in rows} == {str(record["evaluation"])}
        for row in rows:
            expected = record["cases"][row["case"]]
            assert repr(float(row["score"])) == repr(expected)
        defined = [value for value in record["cases"].values() if not math.isnan(value)]
        assert record["score"] == pytest.approx(sum(defined) / len(defined), abs=1e-15)


def test_the_norm_map_is_what_is_trained(tmp_path: Path) -> None:
    norm_map = {**dict.fromkeys(SLOTS, "IN"), "enc1.conv2.norm": "BN", "bottom.conv1.norm": "none"}
    next(train_trial(TRIAL.model_copy(update={"norm_map": norm_map}), DATA, tmp_path))
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["network"]
    assert [name for name in state if "running_mean" in name] == ["enc1.conv2.norm.running_mean"]
    assert "bottom.conv1.norm.weight" not in state
    assert "bottom.conv2.norm.weight" in state


@pytest.mark.parametrize("after", [1, 2, 3])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_interrupted_it_goes_on_bit_for_bit(after: int, optimizer: str, tmp_path: Path) -> None:
    training = TRIAL.training.model_copy(update={"optimizer": optimizer})
    trial = TRIAL.model_copy(update={"training": training})
    expected = list(map(untimed, train_trial(trial, DATA, tmp_path / "whole")))
    broken = train_trial(trial, DATA, tmp_path / "broken")
    for _ in range(after):
        next(broken)
    broken.close()  # type: ignore[attr-defined]
    found = list(map(untimed, train_trial(trial, DATA, tmp_path / "broken")))
    whole, again = (
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["network"]
        for name in ("whole", "broken")
    )
    for name, value in whole.items():
        assert torch.equal(value, again[name]), name
    # What the norms had learnt at an earlier point is not in the checkpoint: only now is known.
    assert [json.loads(text)["score"] for text in found] == [
        json.loads(text)["score"] for text in expected
    ]
    assert found[after:] == expected[after:]
    assert found[after - 1] == expected[after - 1]


@pytest.mark.parametrize("weights", ["softmax", "sparsest_max"])
def test_a_supernet_goes_on_too(weights: str, tmp_path: Path) -> None:
    choices = ("none", "BN", "IN", "SN")
    mixtures = tuple(Mixture(slots=(name,), choices=choices, weights=weights) for name in SLOTS[:3])
    trial = TRIAL.model_copy(update={"norm_map": {}, "mixtures": mixtures})
    *_, expected = train_trial(trial, DATA, tmp_path / "whole")
    shares = expected["learnt"][SLOTS[0]]["mixture"]
    assert list(shares) == list(choices)
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares.values()) == 1 if weights == "sparsest_max" else len(set(shares.values())) > 1
    next(train_trial(trial, DATA, tmp_path / "broken"))
    *_, found = train_trial(trial, DATA, tmp_path / "broken")
    assert untimed(found) == untimed(expected)


def test_without_affine_fewer_numbers_are_learnt_and_the_gates_among_them(tmp_path: Path) -> None:
    with_affine = next(train_trial(TRIAL, DATA, tmp_path / "with"))["parameters"]
    frozen = TRIAL.model_copy(update={"affine": False})
    records = list(train_trial(frozen, DATA, tmp_path / "without"))
    channels = sum(slot.channels for slot in list_norms(build_trial_network(NETWORK, 1)))
    assert records[0]["parameters"] == with_affine - 2 * channels
    state = torch.load(tmp_path / "without" / "checkpoint.pt", weights_only=True)["network"]
    assert (state["enc1.conv1.norm.weight"] == 1).all()
    assert (state["enc1.conv1.norm.bias"] == 0).all()
    assert len(set(state["enc1.conv1.norm.mean_logits"].tolist())) == 3


def test_the_activation_is_the_networks(tmp_path: Path) -> None:
    scores = set()
    for name in (None, "relu", "silu"):
        network = NETWORK.model_copy(update={"activation": name})
        trial = TRIAL.model_copy(update={"network": network})
        scores.add(next(train_trial(trial, DATA, tmp_path / str(name)))["loss"])
    assert len(scores) == 2  # the network's own is relu


def test_another_owner_stops_it_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "owner").write_text("1 me")
    run = train_trial(TRIAL, DATA, tmp_path, token="1 me")
    next(run)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "owner").write_text("2 other")
    before["owner"] = b"2 other"
    with pytest.raises(StudyError, match="another owner has taken this trial over"):
        next(run)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_replaying_after_the_trial_was_taken_over_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "owner").write_text("1 me")
    run = train_trial(TRIAL, DATA, tmp_path, token="1 me")
    next(run), next(run)
    before = (tmp_path / "cases.csv").read_bytes()
    (tmp_path / "owner").write_text("2 other")
    late = train_trial(TRIAL, DATA, tmp_path, token="1 me")
    with pytest.raises(StudyError, match="another owner"):
        next(late)  # its first point, from the checkpoint
    assert (tmp_path / "cases.csv").read_bytes() == before


def test_without_a_token_nobody_owns_it(tmp_path: Path) -> None:
    (tmp_path / "owner").write_text("2 other")
    assert len(list(train_trial(TRIAL, DATA, tmp_path))) == 3


def test_gates_have_their_own_rate_and_no_weight_decay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[dict[str, Any]]] = []
    step = torch.optim.SGD.step

    def spied(self: torch.optim.SGD, *args: Any) -> Any:
        seen.append([dict(group) for group in self.param_groups])
        return step(self, *args)

    monkeypatch.setattr(torch.optim.SGD, "step", spied)
    next(train_trial(TRIAL, DATA, tmp_path))
    weights, gates = seen[0]
    assert (weights["lr"], weights["weight_decay"]) == (0.1, 0.01)
    assert (gates["lr"], gates["weight_decay"]) == (1.0, 0.0)
    assert sum(gate.numel() for gate in gates["params"]) == 6 + 2
    assert not {id(gate) for gate in gates["params"]} & {id(one) for one in weights["params"]}


def test_gates_are_clamped_after_every_step(tmp_path: Path) -> None:
    fast = TRIAL.training.model_copy(update={"gate_learning_rate_factor": 1e4})
    trial = TRIAL.model_copy(
        update={"training": fast, "norm_map": dict.fromkeys(SLOTS, "BIN"), "learning_rate": 1e-2}
    )
    list(train_trial(trial, DATA, tmp_path))
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["network"]
    rho = torch.cat([value for name, value in state.items() if name.endswith("rho")])
    assert rho.max() == 1  # steps of 100 times the gradient would lead beyond
    assert 0 <= rho.min() < 1


def test_recompute_statistics_can_be_left_out(tmp_path: Path) -> None:
    training = TRIAL.training.model_copy(update={"recompute_statistics": False})
    list(train_trial(TRIAL.model_copy(update={"training": training}), DATA, tmp_path))
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["network"]
    assert state["bottom.conv1.norm.num_batches_tracked"] == 6  # the six steps
    list(train_trial(TRIAL, DATA, tmp_path / "fresh"))
    state = torch.load(tmp_path / "fresh" / "checkpoint.pt", weights_only=True)["network"]
    assert state["bottom.conv1.norm.num_batches_tracked"] == 2  # 6 samples in batches of 3


def test_a_diverging_trial_says_so(tmp_path: Path) -> None:
    trial = TRIAL.model_copy(
        update={"norm_map": dict.fromkeys(SLOTS, "none"), "learning_rate": 1e20}
    )
    with pytest.raises(TrainingError, match="the training loss is not finite") as info:
        list(train_trial(trial, DATA, tmp_path))
    assert info.value.kind == "nan"


def test_a_checkpoint_of_another_trial_is_refused(tmp_path: Path) -> None:
    next(train_trial(TRIAL, DATA, tmp_path))
    other = TRIAL.model_copy(update={"norm_map": dict.fromkeys(SLOTS, "none")})
    with pytest.raises(CheckpointError, match="must be of this network and optimizer"):
        next(train_trial(other, DATA, tmp_path))


def test_a_damaged_checkpoint_costs_one_evaluation(tmp_path: Path) -> None:
    unbroken = list(train_trial(TRIAL, DATA, tmp_path / "one"))
    records = train_trial(TRIAL, DATA, tmp_path / "two")
    next(records), next(records)
    newest = tmp_path / "two" / "checkpoint.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    with pytest.warns(UserWarning, match=r"checkpoint\.pt: must be a whole checkpoint"):
        again = list(train_trial(TRIAL, DATA, tmp_path / "two"))
    assert [len(record.pop("refused")) for record in again] == [1, 1, 1]
    # What the norms had learnt at an earlier point is not in the checkpoint: only now is known.
    for found, expected in zip(again[1:], unbroken[1:], strict=True):
        assert untimed(found) == untimed(expected)


def test_a_gpu_is_limited_and_probed_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[float] = []
    monkeypatch.setattr(trial_module, "limit_memory", shares.append)

    def no_room(network: Any, batch: Any, loss: Any, device: str, plan: Plan) -> None:
        assert plan == trial_module.plan_of(config)
        assert batch[0].shape == (3, 1, 16, 16)
        assert device == "cuda"
        raise TrainingError("memory does not suffice", kind="memory")

    monkeypatch.setattr(trial_module, "probe_memory", no_room)
    config = TRIAL.model_copy(update={"device": "cuda", "gpu_share": 0.25})
    with pytest.raises(TrainingError, match="does not suffice"):
        next(train_trial(config, DATA, tmp_path))
    assert shares == [0.25]
    assert list(tmp_path.iterdir()) == []


def test_the_seed_fixes_the_weights() -> None:
    one, same, other = (
        build_trial_network(NETWORK.model_copy(update={"seed": seed}), 2) for seed in (1, 1, 2)
    )
    name = "enc1.conv1.conv.weight"
    assert one.state_dict()[name].shape == (2, 2, 3, 3)
    assert torch.equal(one.state_dict()[name], same.state_dict()[name])
    assert not torch.equal(one.state_dict()[name], other.state_dict()[name])
    assert gate_parameters(one) == []


def test_order_augmentation_and_weights_have_seeds_of_their_own() -> None:
    augmented = TRIAL.task.model_copy(update={"augmentation": AugmentationConfig(scale=(0.5, 2))})

    def first_batch(**seeds: int) -> torch.Tensor:
        training = TRIAL.training.model_copy(update=seeds)
        trial = TRIAL.model_copy(update={"task": augmented, "training": training})
        return next(training_loader(trial, CASES[:2]).batches(0))[0]

    base, order, varied = first_batch(), first_batch(data_seed=1), first_batch(augmentation_seed=1)
    assert torch.equal(base, first_batch())
    factors = (varied / base).flatten(1)  # the same slices in the same order, other intensities
    assert (factors.amax(1) - factors.amin(1)).max() < 1e-5
    assert (factors.mean(1) - 1).abs().min() > 1e-3
    plain = next(SampleLoader(CASES[:2], 3, 1).batches(0))[0]
    base_plain = next(SampleLoader(CASES[:2], 3, 0).batches(0))[0]
    # Another order, but the n-th sample is scaled as it was.
    torch.testing.assert_close(
        (order / plain).flatten(1)[:, 0], (base / base_plain).flatten(1)[:, 0]
    )


@pytest.mark.parametrize("sample", ["slab", "stack"])
def test_several_classes_and_slabs_are_trained(sample: str, tmp_path: Path) -> None:
    task = TRIAL.task.model_copy(update={"classes": (1, 2), "sample": sample})
    network = NETWORK if sample == "stack" else NETWORK.model_copy(update={"name": "res_unet3d"})
    slots = list_norms(build_trial_network(network, 3 if sample == "stack" else 1, 3))
    depth = {"slab": {"depth": 4, "overlap": 2}, "stack": {}}[sample]
    trial = TRIAL.model_copy(
        update={
            "task": task.model_copy(update=depth),
            "network": network,
            "norm_map": {slot.name: "IN" for slot in slots},
        }
    )
    *_, last = train_trial(trial, DATA, tmp_path)
    assert last["cases"].keys() == {"c", "d"}
    assert 0 <= last["cases"]["c"] <= 1


@pytest.mark.parametrize(
    "spec",
    [
        "BRN",
        "SSN",
        "WS+GN-2",
        "WN",
        "WN+MBN",
        "BGN-2",
        "GBGN-1x2",
        "BCN-2",
        "LRN",
        "MABN",
        "SyncBN",
    ],
)
def test_every_kind_of_norm_trains_and_goes_on_bit_for_bit(tmp_path: Path, spec: str) -> None:
    """Schedules over training (BRN, SSN) and weight-side norms too."""
    trial = TRIAL.model_copy(update={"norm_map": dict.fromkeys(SLOTS, spec), "learning_rate": 0.01})
    unbroken = [record["score"] for record in train_trial(trial, DATA, tmp_path / "whole")]
    next(train_trial(trial, DATA, tmp_path / "broken"))
    resumed = [record["score"] for record in train_trial(trial, DATA, tmp_path / "broken")]
    assert resumed == unbroken
    assert all(math.isfinite(score) for score in unbroken)


def test_a_new_trial_starts_weight_norms_from_data_a_resumed_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    def start(network: nn.Module, batch: Tensor) -> int:
        started.append(batch)
        return initialize_weight_norms(network, batch)

    monkeypatch.setattr("normsearch.trials.training.initialize_weight_norms", start)
    trial = TRIAL.model_copy(update={"norm_map": {**TRIAL.norm_map, "enc1.conv1.norm": "WN"}})
    whole = [untimed(record) for record in train_trial(trial, DATA, tmp_path / "whole")]
    assert [tuple(batch.shape) for batch in started] == [(3, 1, 16, 16)]
    run = train_trial(trial, DATA, tmp_path / "parts")
    next(run)
    del run
    again = [untimed(record) for record in train_trial(trial, DATA, tmp_path / "parts")]
    assert again[-2:] == whole[-2:]
    assert len(started) == 2


OPTIONS: dict[str, dict[str, Any]] = {
    "warmup": {"warmup": 0.5},
    "gradient_clipping": {"gradient_clipping": 0.1},
    "ema": {"ema": 0.6},
    "channels_last": {"channels_last": True},
    "compile": {"compile": True},
    "class_weights": {"class_weights": "balanced"},
    "focal": {"loss": "focal"},
    "tversky": {"loss": "tversky"},
}


def with_option(option: str) -> TrialConfig:
    training = TRIAL.training.changed(OPTIONS[option])
    return TRIAL.model_copy(update={"training": training, "learning_rate": 0.05})


@pytest.mark.parametrize("option", OPTIONS)
def test_with_each_option_it_goes_on_bit_for_bit(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceleration, "_BACKEND", "aot_eager")  # without the C++ compiler
    trial = with_option(option)
    expected = list(map(untimed, train_trial(trial, DATA, tmp_path / "whole")))
    next(train_trial(trial, DATA, tmp_path / "broken"))
    found = list(map(untimed, train_trial(trial, DATA, tmp_path / "broken")))
    assert found[1:] == expected[1:]
    whole, again = (
        load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("whole", "broken")
    )
    assert whole is not None
    assert again is not None
    names = {slot.name for slot in list_norms(build_trial_network(NETWORK, 1))}
    assert {name.rpartition(".")[0] for name in whole["network"]} >= names
    for part in ("network", "trained") if option == "ema" else ("network",):
        assert whole[part].keys() == again[part].keys()
        assert all(torch.equal(value, again[part][name]) for name, value in whole[part].items())
    plain = list(map(untimed, train_trial(with_option("warmup"), DATA, tmp_path / "other")))
    assert option == "warmup" or expected != plain


def test_what_was_learnt_is_that_of_the_averaged_weights(tmp_path: Path) -> None:
    *_, last = train_trial(with_option("ema"), DATA, tmp_path)
    state = load_checkpoint(tmp_path / "checkpoint.pt")
    assert state is not None
    logits = [state[part]["enc1.conv1.norm.mean_logits"] for part in ("network", "trained")]
    assert not torch.equal(*logits)
    expected = logits[0].double().softmax(0).tolist()
    found = last["learnt"]["enc1.conv1.norm"]["mean"].values()
    assert list(found) == pytest.approx(expected, abs=1e-6)


def test_balanced_weights_are_those_of_the_training_cases(tmp_path: Path) -> None:
    weights = class_weights(with_option("class_weights").training, TRIAL.task, DATA.train)
    assert weights is not None
    assert weights[0] < 1 < weights[1]
    given = TRIAL.training.changed({"class_weights": weights})
    trial = TRIAL.model_copy(update={"training": given, "learning_rate": 0.05})
    expected = [untimed(record) for record in train_trial(trial, DATA, tmp_path / "given")]
    balanced = train_trial(with_option("class_weights"), DATA, tmp_path / "balanced")
    assert [untimed(record) for record in balanced] == expected
