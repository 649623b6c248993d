"""The candidate norms of each slot in a space with choices by slot."""

import re

import pytest

from normsearch.config import SpaceConfig
from normsearch.config.reading import validate
from normsearch.errors import ConfigError
from normsearch.space.layered import Space
from tests.space.test_layered import ORIGIN, SLOTS, config, space


def test_choices_by_slot_the_last_glob_wins() -> None:
    found = space(
        "BN", by_slot={"enc*": ["IN", "GN"], "*conv2*": ["LN", "none"]}, groups=[4], per="layer"
    )
    offers = {unit.name: unit.choices for unit in found.units}
    assert offers["enc1.conv1.norm"] == ("IN", "GN-4")
    assert offers["enc1.conv2.norm"] == offers["bottom.conv2.norm"] == ("LN", "none")
    assert offers["dec1.up.norm"] == ("BN",)


def test_slots_that_choose_together_have_their_choices_in_common() -> None:
    found = space("BN", "IN", "LN", by_slot={"dec1.up*": ["LN", "IN", "none"]}, per="stage")
    offers = {unit.name: unit.choices for unit in found.units}
    assert offers["level1"] == ("IN", "LN")
    assert offers["level2"] == ("BN", "IN", "LN")


@pytest.mark.parametrize(
    ("choices", "by_slot", "expected"),
    [
        (
            ("BN",),
            {"enk*": ["IN"]},
            r"norm\.by_slot\.enk\*: must match one of the 12 norm slots, and matches none\.",
        ),
        (
            (),
            {"enc*": ["IN"]},
            r"norm\.choices: must be given for the slots that no glob of by_slot matches, such as "
            r"bottom\.conv1\.norm, and is not\.",
        ),
        (
            ("BN",),
            {"enc*": ["IN", "GN-32"]},
            r"norm\.by_slot\.enc\*\[1\]: must fit the channels of at least one slot \(8, 16\), got "
            r"GN-32",
        ),
        (
            ("BN",),
            {"enc1*": ["IN"]},
            r"norm\.choices: must hold at least one norm for level1 \(8 channels\), got choices by "
            r"slot that have none in common",
        ),
    ],
)
def test_faults_of_choices_by_slot(
    choices: tuple[str, ...], by_slot: dict[str, list[str]], expected: str
) -> None:
    norm = {"by_slot": by_slot, "per": "stage", **({"choices": choices} if choices else {})}
    whole = {"norm": norm, "learning_rate": 0.1, "batch_size": 2}
    with pytest.raises(ConfigError, match=f"^{re.escape(ORIGIN)}{expected}"):
        Space(validate(SpaceConfig, whole, "mine.yaml"), SLOTS, ORIGIN)


def test_an_unknown_norm_by_slot() -> None:
    with pytest.raises(
        ConfigError, match=r"^mine\.yaml: norm\.by_slot\.enc\*\[1\]: must be one of"
    ):
        config(["BN"], by_slot={"enc*": ["IN", "XN"]})
