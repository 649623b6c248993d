import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import optuna
import pytest
import torch
from optuna.distributions import CategoricalDistribution

from normsearch.config import Point, SpaceConfig
from normsearch.config.hyperparameters import HYPERPARAMETERS
from normsearch.config.reading import read_space, validate
from normsearch.errors import ConfigError
from normsearch.networks import NormSlot, UNet2d, apply_norm_map, list_norms, verify_norm_map
from normsearch.norms import NormSpec
from normsearch.space.candidates import effective
from normsearch.space.layered import Space

ORIGIN = "studies/mine.yaml: space."
NET = UNet2d(first_channels=8, depth=2, seed=0)  # 8, 16 and 32 channels at level 1, 2 and 3
SLOTS = list_norms(NET)
WIDTHS = {"level1": 8, "level2": 16, "level3": 32}


def config(choices: Sequence[str], **parts: Any) -> SpaceConfig:
    """A space; `per` and `groups` go to its norms."""
    norm = {key: parts.pop(key) for key in ("per", "groups", "by_slot") if key in parts}
    whole: dict[str, Any] = {
        "norm": {"choices": choices, **norm},
        "learning_rate": {"low": 0.01, "high": 1.0, "default": 0.1},
        "batch_size": {"choices": [2, 4], "default": 4},
        **parts,
    }
    return validate(SpaceConfig, whole, "mine.yaml")


def space(*choices: str, slots: Sequence[NormSlot] = SLOTS, **parts: Any) -> Space:
    return Space(config(choices, **parts), slots, ORIGIN)


def offered(found: Space) -> dict[str, set[tuple[str, ...]]]:
    """Stage -> the offers of its units; all units of a stage have the same channels here."""
    by_stage: dict[str, set[tuple[str, ...]]] = {}
    for unit in found.units:
        for slot in unit.slots:
            by_stage.setdefault(slot.stage, set()).add(unit.choices)
    return by_stage


def test_a_unit_for_each_layer() -> None:
    units = space("BN", "IN", per="layer").units
    assert [unit.name for unit in units] == [slot.name for slot in SLOTS]
    assert [unit.slots for unit in units] == [(slot,) for slot in SLOTS]
    assert len(units) == 2 * 2 + 2 + 3 * 2


def test_a_unit_for_each_block() -> None:
    units = space("BN", "IN", per="block").units
    assert {unit.name: [slot.name for slot in unit.slots] for unit in units} == {
        "enc1": ["enc1.conv1.norm", "enc1.conv2.norm"],
        "enc2": ["enc2.conv1.norm", "enc2.conv2.norm"],
        "bottom": ["bottom.conv1.norm", "bottom.conv2.norm"],
        "dec2": ["dec2.up.norm", "dec2.conv1.norm", "dec2.conv2.norm"],
        "dec1": ["dec1.up.norm", "dec1.conv1.norm", "dec1.conv2.norm"],
    }


def test_a_unit_for_each_stage() -> None:
    units = space("BN", "IN", per="stage").units
    assert {unit.name: {slot.block for slot in unit.slots} for unit in units} == {
        "level1": {"enc1", "dec1"},
        "level2": {"enc2", "dec2"},
        "level3": {"bottom"},
    }
    assert sum(len(unit.slots) for unit in units) == len(SLOTS)


def test_one_unit_for_the_network() -> None:
    (unit,) = space("BN", "IN", per="network").units
    assert (unit.name, unit.slots) == ("network", tuple(SLOTS))


@pytest.mark.parametrize("per", ["layer", "block", "stage"])
def test_only_what_the_channels_allow_is_offered(per: str) -> None:
    found = offered(space("BN", "GN-16", "GN-32", "ILN", "ILN(regroup=none)", per=per))
    assert found == {
        "level1": {("BN", "ILN(regroup=none)", "IN")},  # GN-8, the nearest to GN-16 there
        "level2": {("BN", "GN-16", "ILN(regroup=none)")},  # ILN is GN-16 there: both are IN
        "level3": {("BN", "GN-16", "GN-32", "ILN", "ILN(regroup=none)")},
    }


def test_every_offer_can_be_built_and_no_two_of_a_unit_are_the_same_norm() -> None:
    for per in ("layer", "block", "stage", "network"):
        found = space("none", "BN", "IN", "LN", "GN", "BIN", "ILN", "SN", "GN-1", per=per)
        for unit in found.units:
            for choice in unit.choices:
                apply_norm_map(UNet2d(first_channels=8, depth=2), {
                    slot.name: effective(choice, slot) or "" for slot in unit.slots
                })  # fmt: skip
            built = [
                tuple(effective(choice, slot) for slot in unit.slots) for choice in unit.choices
            ]
            assert len(set(built)) == len(built)


def test_a_network_wide_choice_is_the_nearest_feasible_one_where_it_does_not_fit() -> None:
    found = space("GN-16", "GN-8", "BN", per="network")
    (unit,) = found.units
    assert unit.choices == ("GN-16", "GN-8", "BN")
    fixed = {"norm.network": "GN-16", "learning_rate": 0.1, "batch_size": 4}
    norm_map = found.suggest(optuna.trial.FixedTrial(fixed)).norm_map
    by_width = {slot.channels: norm_map[slot.name] for slot in SLOTS}
    assert by_width == {8: "IN", 16: "IN", 32: "GN-16"}  # GN-8 on 8 channels is IN
    assert found.substitutes() == {
        "GN-16": {slot.name: "IN" for slot in SLOTS if slot.channels == 8}
    }
    assert found.single_norm(norm_map) == "GN-16"


def test_a_slot_of_three_channels_takes_the_nearest_group_count() -> None:
    slots = [*SLOTS[:2], replace(SLOTS[2], name="head.norm", channels=3)]
    for per in ("layer", "network"):
        found = space("BN", "GN-8", slots=slots, per=per)
        assert found.single_norms.keys() == {"BN", "GN-8"}
        assert found.substitutes() == {"GN-8": {"head.norm": "IN"}}
        assert found.missing_single_norms() == {}


def test_a_slot_takes_the_offered_norm_of_the_family_with_the_nearest_groups() -> None:
    found = space("BN", "GN", groups=[4, 16], per="layer")
    level1 = {slot.name: "GN-4" for slot in SLOTS if slot.channels == 8}
    assert found.substitutes() == {"GN-16": level1}


def test_a_norm_that_a_slot_does_not_offer_is_missing_among_the_single_norms() -> None:
    found = space("BN", "IN", by_slot={"dec*": ["BN"]}, per="layer")
    assert found.single_norms.keys() == {"BN"}
    (reason,) = found.missing_single_norms().values()
    assert re.fullmatch(rf"dec.* of {len(SLOTS)} cannot have it", reason)


@pytest.mark.parametrize(
    ("choices", "at_8", "at_16"),
    [
        (("IN", "GN-8"), ("IN",), ("IN", "GN-8")),
        (("GN-8", "IN"), ("GN-8",), ("GN-8", "IN")),
        (("ILN", "IN"), ("IN",), ("ILN",)),
        (("LN", "GN-1"), ("LN",), ("LN",)),
        (("BN", "BN"), ("BN",), ("BN",)),
        (("ILN(gate=clip)", "ILN", "BN"), ("BN", "IN"), ("ILN(gate=clip)", "BN")),
    ],
)
def test_of_twins_the_one_named_first_is_offered(
    choices: tuple[str, ...], at_8: tuple[str, ...], at_16: tuple[str, ...]
) -> None:
    found = offered(space(*choices))
    assert (found["level1"], found["level2"]) == ({at_8}, {at_16})


def test_at_mixed_widths_twins_are_two_choices() -> None:
    # GN-8 is IN at 8 channels alone, so network-wide they differ.
    (unit,) = space("IN", "GN-8", per="network").units
    assert unit.choices == ("IN", "GN-8")


def test_gn_stands_for_one_norm_a_group_count() -> None:
    found = offered(space("BN", "GN", "LN", groups=[2, 4, 16]))
    assert found["level1"] == {("BN", "GN-2", "GN-4", "LN")}
    assert found["level3"] == {("BN", "GN-2", "GN-4", "GN-16", "LN")}


@pytest.mark.parametrize(
    ("choices", "groups", "expected"),
    [
        (("GN",), (3, 5), "norm.groups[0]: must fit the channels of at least one slot "
         "(8, 16, 32), got 3; choose a group count that divides one of them."),
        (("BN", "GN-64"), (4,), "norm.choices[1]: must fit the channels of at least one slot "
         "(8, 16, 32), got GN-64; choose a group count that divides one of them."),
        (("ILN(regroup=5)",), (3,), "norm.choices[0]: must fit the channels of at least one slot "
         "(8, 16, 32), got ILN(regroup=5); choose a group count that divides one of them."),
    ],
)  # fmt: skip
def test_a_group_count_that_divides_nothing(
    choices: tuple[str, ...], groups: tuple[int, ...], expected: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(ORIGIN + expected)}$"):
        space(*choices, groups=groups)


def test_groups_that_divide_the_channels_of_no_slot_are_left_out() -> None:
    found = space("BN", "GN", groups=[3, 4])
    assert offered(found)["level1"] == {("BN", "GN-4")}
    assert found.missing_single_norms() == {"GN-3": "3 divides the channels of no slot"}
    without = space("BN", "GN", groups=[3], per="network")
    assert without.units[0].choices == ("BN",)


@pytest.mark.parametrize("name", ["per_layer", "per_stage", "single_norm", "wide", "recent"])
@pytest.mark.parametrize("channels", [2, 3, 4, 6, 8, 12, 16])
def test_library_spaces_offer_what_fits(name: str, channels: int) -> None:
    slots = list_norms(UNet2d(first_channels=channels, depth=2, seed=0))
    raw = read_space(name)
    if max(slot.channels for slot in slots if slot.name.startswith("dec")) % 8:
        raw.get("norm", {}).get("by_slot", {}).get("dec*", ["BCN-8"]).remove("BCN-8")
    found = Space(validate(SpaceConfig, raw, name), slots, f"{name}: ")
    for unit in found.units:
        assert len(unit.choices) > 3
        specs = [tuple(effective(text, slot) for slot in unit.slots) for text in unit.choices]
        assert len(set(specs)) == len(specs)
        assert not any(None in those for those in specs)
    if channels == 16:
        assert not found.missing_single_norms().keys() & {"GN-4", "GN-8", "GN-16"}


def test_groups_without_gn_are_not_looked_at() -> None:
    assert offered(space("BN", groups=[3]))["level1"] == {("BN",)}


@pytest.mark.parametrize(
    ("per", "name"), [("layer", "enc1.conv1.norm"), ("block", "enc1"), ("stage", "level1")]
)
def test_a_unit_left_without_a_choice(per: str, name: str) -> None:
    bare = [replace(slot, weight_norms=()) if slot.stage == "level1" else slot for slot in SLOTS]
    expected = (
        f"{ORIGIN}norm.choices: must hold at least one norm for {name} (8 channels), "
        "got WN; add none, BN, IN or LN."
    )
    with pytest.raises(ConfigError, match=f"^{re.escape(expected)}$"):
        space("WN", per=per, slots=bare)


def storage_study() -> optuna.Study:
    sampler = optuna.samplers.RandomSampler(seed=3)
    return optuna.create_study(direction="maximize", sampler=sampler)


@pytest.mark.parametrize("per", ["layer", "block", "stage", "network"])
def test_the_answer_is_the_effective_spec_of_every_slot_in_order(per: str) -> None:
    found = space("none", "BN", "IN", "GN-8", "ILN", per=per)
    study = storage_study()
    for _ in range(5):
        trial = study.ask()
        choice = found.suggest(trial)
        assert list(choice.norm_map) == [slot.name for slot in SLOTS]
        for unit in found.units:
            for slot in unit.slots:
                asked = trial.params[f"norm.{unit.name}"]
                assert choice.norm_map[slot.name] == effective(asked, slot)
        assert set(trial.params) == {
            *(f"norm.{unit.name}" for unit in found.units),
            "learning_rate",
            "batch_size",
        }
        assert 0.01 <= choice.learning_rate <= 1
        assert choice.batch_size in (2, 4)
        assert apply_norm_map(UNet2d(first_channels=8, depth=2), choice.norm_map) == choice.norm_map


def test_a_twin_is_recorded_as_what_it_is() -> None:
    found = space("GN-16", "BN", per="stage", slots=[s for s in SLOTS if s.stage != "level1"])
    fixed = {"norm.level2": "GN-16", "norm.level3": "GN-16", "learning_rate": 0.3, "batch_size": 2}
    choice = found.suggest(optuna.trial.FixedTrial(fixed))
    assert {choice.norm_map[s.name] for s in SLOTS if s.stage == "level2"} == {"IN"}
    assert {choice.norm_map[s.name] for s in SLOTS if s.stage == "level3"} == {"GN-16"}
    assert (choice.learning_rate, choice.batch_size) == (0.3, 2)


def test_a_trial_asked_again_answers_the_same() -> None:
    found = space("none", "BN", "IN", "LN", "SN")
    study = storage_study()
    first = study.ask()
    answer = found.suggest(first)
    for again in (first, optuna.trial.Trial(study, first._trial_id)):
        assert found.suggest(again) == answer
    half = study.ask()
    half.suggest_categorical("norm.enc1.conv1.norm", list(found.units[0].choices))
    found.suggest(half)  # as after a crash between two questions
    taken_up = optuna.trial.Trial(study, half._trial_id)
    assert (
        found.suggest(taken_up).norm_map["enc1.conv1.norm"] == half.params["norm.enc1.conv1.norm"]
    )


def test_learning_rates_from_a_list() -> None:
    found = space("BN", learning_rate=[0.3, 0.1], batch_size=2)
    choices = [found.suggest(storage_study().ask()) for _ in range(3)]
    assert {choice.learning_rate for choice in choices} <= {0.3, 0.1}
    assert {choice.batch_size for choice in choices} == {2}


@pytest.mark.parametrize("log", [True, False])
def test_learning_rates_are_drawn_as_the_space_says(log: bool) -> None:
    trial = storage_study().ask()
    space("BN", learning_rate={"low": 1e-4, "high": 1, "log": log}).suggest(trial)
    assert trial.distributions["learning_rate"] == optuna.distributions.FloatDistribution(
        1e-4, 1, log=log
    )


def test_every_norm_of_the_space_is_a_single_norm() -> None:
    found = space("none", "BN", "IN", "GN", "ILN", "SN", "GN-1", "LN", groups=[4, 8, 16])
    assert list(found.single_norms) == ["none", "BN", "IN", "GN-4", "GN-8", "GN-16", "ILN", "SN",
                                        "GN-1"]  # fmt: skip
    assert found.defaults == {"learning_rate": 0.1, "batch_size": 4}
    for text, params in found.single_norms.items():
        assert list(params) == [f"norm.{slot.name}" for slot in SLOTS]
        for slot in SLOTS:
            assert effective(params[f"norm.{slot.name}"], slot) == effective(text, slot)


@pytest.mark.parametrize("per", ["layer", "block", "stage", "network"])
def test_a_single_norm_is_in_each_unit_one_of_its_choices(per: str) -> None:
    found = space("BN", "IN", "GN-8", "ILN(regroup=none)", per=per)
    assert list(found.single_norms) == ["BN", "IN", "GN-8", "ILN(regroup=none)"]
    for params in found.single_norms.values():
        for unit in found.units:
            assert params[f"norm.{unit.name}"] in unit.choices


def test_twins_everywhere_are_one_single_norm() -> None:
    slots = [slot for slot in SLOTS if slot.stage == "level2"]
    assert list(space("GN-16", "BN", "IN", "ILN", slots=slots).single_norms) == ["GN-16", "BN"]


@pytest.mark.parametrize("per", ["layer", "network"])
def test_enqueued_baselines_become_networks_with_that_norm_everywhere(per: str) -> None:
    found = space("none", "BN", "IN", "LN", "GN-8", "BIN", "ILN(regroup=none)", "SN", per=per)
    study = storage_study()
    baselines = found.single_norms
    for label, norms in baselines.items():
        params = {**norms, **found.defaults}
        study.enqueue_trial(params, user_attrs={"baseline": label})
    assert len(baselines) == 8
    for label in baselines:
        trial = study.ask()
        assert trial.user_attrs["baseline"] == label
        choice = found.suggest(trial)
        assert (choice.learning_rate, choice.batch_size) == (0.1, 4)
        net = UNet2d(first_channels=8, depth=2, norm="none")
        apply_norm_map(net, choice.norm_map)
        verify_norm_map(net, torch.zeros(2, 1, 8, 8))
        for slot in list_norms(net):
            assert slot.spec == str(NormSpec.parse(label).canonical(WIDTHS[slot.stage]))


EVERYTHING: dict[str, Any] = {
    "per": "network",
    "learning_rate": [0.1],
    "batch_size": [2],
    "weight_decay": {"low": 0, "high": 0.1, "log": False},
    "gate_learning_rate_factor": [1, 10, 100],
    "affine": [True, False],
    "activation": ["relu", "silu"],
    "gradient_clipping": [1, 12],
}


def test_whatever_is_listed_is_asked_and_comes_back() -> None:
    found = space("BN", "IN", **EVERYTHING)
    asked = found.suggest(storage_study().ask())
    assert asked.affine in (True, False)
    assert asked.activation in ("relu", "silu")
    assert 0 <= (asked.weight_decay or 0) <= 0.1
    assert asked.gate_learning_rate_factor in (1, 10, 100)
    assert asked.values.keys() == found.values.keys() == set(HYPERPARAMETERS)
    defaults = found.defaults
    assert defaults["weight_decay"] == 0.05
    assert defaults["gate_learning_rate_factor"] == 10
    assert (defaults["affine"], defaults["activation"]) == (True, "relu")


@pytest.mark.parametrize("given", [True, [True, False]])
def test_one_value_is_one_choice(given: object) -> None:
    choices = space("BN", affine=given).distributions["affine"]
    wanted = tuple(given) if isinstance(given, list) else (given,)
    assert choices == CategoricalDistribution(wanted)


def test_what_is_not_listed_is_not_asked() -> None:
    found = space("BN", "IN")
    asked = found.suggest(storage_study().ask())
    assert asked.values.keys() == {"learning_rate", "batch_size"}


def test_the_number_of_configurations_is_that_of_the_grid() -> None:
    finite = {"learning_rate": [0.1, 0.2], "batch_size": [2], "affine": [True, False]}
    found = space("BN", "IN", "LN", per="stage", **finite)
    assert found.size == 3**3 * 2 * 2
    assert found.endless is None
    seen: list[dict[str, Any]] = []
    while (params := found.unseen(seen, start=50)) is not None:
        assert params not in seen
        seen.append(params)
    assert len(seen) == found.size
    first = found.suggest(optuna.trial.FixedTrial(seen[0]))
    assert first.values.keys() == {"learning_rate", "batch_size", "affine"}
    assert space("BN").size is None
    assert space("BN").endless == "learning_rate"
    assert space("BN").unseen([]) is None


def test_parameters_of_a_known_configuration() -> None:
    found = space("BN", "IN", "GN-16", "LN", per="stage", affine=[False, True])
    mixed = Point(norm={"*": "BN", "*conv2.*": "IN"})
    with pytest.raises(ConfigError, match="norm of level1 must be one of BN, IN, LN, got BN, IN"):
        found.parameters(mixed)
    norm = {"*": "BN", "bottom*": "GN-16", "enc2*": "GN-16", "dec2*": "IN"}
    point = Point(norm=norm, learning_rate=0.5)
    assert found.parameters(point) == {
        "norm.level1": "BN",
        "norm.level2": "IN",  # GN-16 of 16 channels
        "norm.level3": "GN-16",
        "learning_rate": 0.5,
        "batch_size": 4,
        "affine": False,
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"norm": {"*": "SN"}}, r"norm of level1 must be one of BN, IN, got SN\."),
        ({"norm": {"enc*": "BN"}}, r"norm of level1 must be one of BN, IN, got BN, nothing\."),
        ({"norm": {"*": "GN-3"}}, r"GN-3 needs a channel count that 3 divides, got 8"),
        ({"norm": {"*": "BN"}, "batch_size": 3}, r"batch_size must lie in the space, got 3"),
        ({"norm": {"*": "BN"}, "affine": True}, r"affine must lie in the space, got True"),
    ],
)
def test_what_the_space_does_not_offer(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=f"^mine: {expected}"):
        space("BN", "IN", per="stage").parameters(Point(**given, source="mine"))


def test_weight_norms_are_offered_only_behind_a_convolution() -> None:
    slots = [replace(slot, weight_norms=()) if slot.block == "enc1" else slot for slot in SLOTS]
    found = space("BN", "WS+BN", "WN", slots=slots)
    for unit in found.units:
        free = unit.name.startswith("enc1")
        assert unit.choices == (("BN",) if free else ("BN", "WS+BN", "WN"))
    assert list(found.single_norms) == ["BN", "WS+BN"]  # WS+BN is BN where no weight is
    assert found.missing_single_norms().keys() == {"WN"}
    nowhere = [replace(slot, weight_norms=()) for slot in SLOTS]
    with pytest.raises(ConfigError, match=r"choices\[1\]: must have a convolution .* use BN\.$"):
        space("BN", "WS+BN", slots=nowhere)


def test_norms_with_their_own_activation_are_offered_only_before_one() -> None:
    slots = [replace(slot, activation=False) if slot.block == "enc1" else slot for slot in SLOTS]
    found = space("BN", "FRN", "EvoNorm-S0-16", "WS+FRN", slots=slots)
    for unit in found.units:
        own = () if unit.name.startswith("enc1") else ("FRN", "EvoNorm-S0-16", "WS+FRN")
        if unit.slots[0].channels < 16:
            own = tuple(text.replace("16", "8") for text in own)
        assert set(unit.choices) == {"BN", *own}
    assert found.missing_single_norms().keys() == {"FRN", "EvoNorm-S0-16", "WS+FRN"}
    nowhere = [replace(slot, activation=False) for slot in SLOTS]
    with pytest.raises(ConfigError, match=r"choices\[1\]: must have a known activation .* got FRN"):
        space("BN", "FRN", slots=nowhere)


def test_mabn_is_offered_only_behind_a_convolution() -> None:
    slots = [replace(slot, weight_norms=()) if slot.block == "enc1" else slot for slot in SLOTS]
    for unit in space("BN", "MABN", slots=slots).units:
        assert unit.choices == (("BN",) if unit.name.startswith("enc1") else ("BN", "MABN"))
    nowhere = [replace(slot, weight_norms=()) for slot in SLOTS]
    with pytest.raises(ConfigError, match=r"must have a convolution .* use another norm\.$"):
        space("BN", "MABN", slots=nowhere)
