import math
from collections.abc import Sequence

import numpy as np
import pytest

from normsearch.data import PRESETS, is_anisotropic, preset_transforms
from normsearch.data.random_geometry import draw_geometry


def random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


NNUNET = {  # nnunetv2/training/nnUNetTrainer/nnUNetTrainer.py: probability, range, of a channel
    "scaling": (0.2, (1 / 1.4, 1 / 0.7), 1),
    "noise": (0.1, (0, 0.1), 1),
    "blur": (0.2, (0.5, 1.0), 0.5),
    "brightness": (0.15, (0.75, 1.25), 1),
    "contrast": (0.15, (0.75, 1.25), 1),
    "low_resolution": (0.25, (0.5, 1.0), 0.5),
    "inverted_gamma": (0.1, (0.7, 1.5), 1),
    "gamma": (0.3, (0.7, 1.5), 1),
}


@pytest.mark.parametrize(
    ("sides", "in_plane", "degrees"),
    [
        ((64, 64), False, 180), ((64, 100), False, 15), ((64, 96), False, 180),
        ((40, 56, 40), False, 30), ((16, 64, 64), True, 180),
    ],
)  # fmt: skip
def test_nnunet_is_that_of_nnunet(sides: Sequence[int], in_plane: bool, degrees: float) -> None:
    found = preset_transforms("nnunet", sides, in_plane=in_plane, mirror=("y", "x"))
    turn, *others, mirroring = found
    assert (turn.name, turn.chance, turn.between) == ("rotation", 0.2, (-degrees, degrees))
    assert {one.name: (one.chance, one.between, one.channel_chance) for one in others} == NNUNET
    order = [one.name for one in others]
    assert order == list(NNUNET)
    assert (mirroring.name, mirroring.chance, mirroring.axes) == ("mirroring", 0.5, ("y", "x"))


@pytest.mark.parametrize(
    ("sides", "left_right", "axes"),
    [
        ((8, 8), "x", ()),
        ((8, 16), "x", ("y",)),
        ((8, 8), "z", ("y", "x")),
        ((8, 8, 8), "x", ("z", "y")),
        ((8, 8, 8), "z", ("y", "x")),
        ((4, 16, 16), "x", ("z",)),
    ],
)
def test_nnunet_does_not_mirror_left_to_right_by_itself(
    sides: Sequence[int], left_right: str, axes: tuple[str, ...]
) -> None:
    """Half turns of slices mirrored along y would mirror them along x."""
    in_plane = is_anisotropic(sides, (1.0, 1.0, 1.0))
    found = preset_transforms("nnunet", sides, in_plane=in_plane, left_right=left_right)
    assert [one.axes for one in found if one.name == "mirroring"] == ([axes] if axes else [])
    for seed in range(200):
        moves = [one for one in found if one.moves]
        geometry = draw_geometry(moves, 2 if in_plane or len(sides) == 2 else 3, random(seed))
        if left_right == "x" and geometry.matrix is not None:  # left stays left, or is turned
            mirrored = np.diag([1 - 2 * (axis in geometry.mirrored) for axis in "yx"])
            flipped = np.linalg.det(geometry.matrix[-2:, -2:] @ mirrored) < 0
            assert not (flipped and geometry.matrix[-1, -1] < 0)


def test_mirroring_is_the_users_choice() -> None:
    for name in PRESETS:
        assert preset_transforms(name, (8, 8), mirror=("x",))[-1].axes == ("x",)
        without = preset_transforms(name, (8, 8), mirror=())
        assert "mirroring" not in {one.name for one in without}


def test_presets_say_what_they_are() -> None:
    told = PRESETS["nnunet"].told
    assert "rotation (-30 to 30, probability 0.2)" in told
    assert "low_resolution (0.5 to 1, probability 0.25, each channel 0.5)" in told


@pytest.mark.parametrize(
    ("sides", "spacing", "expected"),
    [
        ((8, 256), (10.0, 1.0, 1.0), False),
        ((40, 56, 40), (1.0, 1.0, 1.0), False),
        ((40, 120, 120), (1.0, 1.0, 1.0), False),
        ((40, 121, 120), (1.0, 1.0, 1.0), True),
        ((64, 64, 64), (3.0, 1.0, 1.0), False),
        ((64, 64, 64), (3.1, 1.0, 2.0), True),
        ((64, 64, 64), (None, 1.0, 1.0), False),
        ((64, 64, 64), (math.nan, math.nan, math.nan), False),
    ],
)
def test_anisotropic_samples(
    sides: Sequence[int], spacing: Sequence[float | None], expected: bool
) -> None:
    assert is_anisotropic(sides, spacing) is expected
