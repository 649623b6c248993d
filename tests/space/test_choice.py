from normsearch.config import NetworkConfig, TrainingConfig
from normsearch.networks import UNet2d, list_norms
from normsearch.space.choice import Choice, effective_map


def test_what_was_not_chosen_stays_as_the_study_says() -> None:
    network, training = NetworkConfig(activation="elu"), TrainingConfig(weight_decay=0.5)
    plain = Choice(norm_map={}, learning_rate=0.1, batch_size=2)
    assert plain.network(network) == network
    assert plain.training(training) == training
    assert plain.values == {"learning_rate": 0.1, "batch_size": 2}


def test_what_was_chosen_takes_its_place() -> None:
    choice = Choice(
        norm_map={},
        learning_rate=0.1,
        batch_size=2,
        weight_decay=0.0,
        activation="silu",
        affine=False,
    )
    assert choice.network(NetworkConfig(depth=2)) == NetworkConfig(depth=2, activation="silu")
    changed = choice.training(TrainingConfig(weight_decay=0.5, momentum=0.8))
    assert changed == TrainingConfig(weight_decay=0.0, momentum=0.8)
    assert choice.values["affine"] is False


def test_effective_maps_are_canonical_and_later_globs_win() -> None:
    slots = list_norms(UNet2d(first_channels=8, depth=1))
    found = effective_map({"*": "GN-8", "bottom*": "GN-16", "dec1.up*": "BN"}, slots)
    assert found["enc1.conv1.norm"] == found["bottom.conv2.norm"] == "IN"
    assert found["dec1.up.norm"] == "BN"
    assert effective_map({"enc*": "BN"}, slots).keys() == {"enc1.conv1.norm", "enc1.conv2.norm"}
