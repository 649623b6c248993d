from typing import Any

import pytest

from normsearch.data import TRANSFORMS, Transform
from normsearch.data.random_intensity import INTENSITIES
from normsearch.errors import DataError


def test_every_name_has_a_function_or_moves() -> None:
    moving = {name for name, kind in TRANSFORMS.items() if kind.moves}
    assert moving == {"rotation", "scaling", "elastic", "mirroring"}
    assert {*TRANSFORMS} - moving == {*INTENSITIES, "cutout"}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_defaults_lie_within_their_bounds(name: str) -> None:
    kind = TRANSFORMS[name]
    axes = ("y",) if name == "mirroring" else ()
    by_default = Transform(name, axes=axes)
    assert by_default.chance == kind.probability
    if kind.between:
        given = Transform(name, range=kind.between, axes=axes)
        assert given.between == by_default.between == kind.between
        with pytest.raises(DataError, match=f"{name}: range must be lowest"):
            Transform(name, range=(kind.bounds[0], kind.bounds[1] * 1.01 + 0.1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "rotaton"}, r"name must be one of rotation, .*'rotaton'\. Did you mean 'rotatio"),
        ({"name": "noise", "probability": 1.5}, "probability must be from 0 to 1, got 1.5"),
        ({"name": "noise", "range": (0.2, 0.1)}, r"noise: range must be .* got \[0.2, 0.1\]"),
        ({"name": "noise", "range": (float("nan"), 1.0)}, "noise: range must be lowest"),
        ({"name": "mirroring"}, "mirroring: axes must be given, one or more of z, y, x"),
        ({"name": "mirroring", "axes": ("x",), "range": (0, 1)}, "range must be left out"),
        ({"name": "mirroring", "axes": ("w",)}, "axes must be axes among z, y, x"),
        ({"name": "rotation", "axes": ("x", "x")}, "axes must be axes among z, y, x, each once"),
        ({"name": "blur", "axes": ("x",)}, "blur: axes must be left out"),
        ({"name": "rotation", "per_channel": 0.5}, "rotation: per_channel must be left out"),
        ({"name": "cutout", "per_channel": 0.5}, "cutout: per_channel must be left out"),
        ({"name": "blur", "arguments": {"a": 1}}, "blur: arguments must be left out"),
        ({"name": "m:f", "range": (0, 1)}, "m:f: range must be left out for an import path"),
    ],
)
def test_what_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Transform(**settings)


def test_a_transform_as_a_text() -> None:
    assert str(Transform("blur")) == "blur (0.5 to 1, probability 0.2, each channel 0.5)"
    assert str(Transform("mirroring", axes=("y", "x"))) == (
        "mirroring (along y and x, probability 0.5)"
    )
    assert str(Transform("rotation", 1, (-60, 60))) == "rotation (-60 to 60, probability 1)"
