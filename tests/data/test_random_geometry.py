import itertools
import math

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform, map_coordinates

from normsearch.data import Transform
from normsearch.data.random_geometry import (
    Geometry,
    draw_geometry,
    move,
    sampling_grid,
)
from normsearch.labels import IGNORED

SIDES = {2: (24, 31), 3: (14, 18, 23)}


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def image(*shape: int) -> torch.Tensor:
    return torch.from_numpy(random().random(shape, np.float32))


def move_image(given: torch.Tensor, geometry: Geometry, dims: int) -> torch.Tensor:
    return move(given, torch.tensor(1), geometry, dims)[0]


def move_label(label: torch.Tensor, geometry: Geometry, dims: int) -> torch.Tensor:
    return move(label[None].float(), label, geometry, dims)[1]


def always(name: str, low: float, high: float, **given: object) -> Transform:
    return Transform(name, 1.0, (low, high), **given)


@pytest.mark.parametrize("quarter", [1, 2, 3])
@pytest.mark.parametrize(
    ("dims", "about", "plane"),
    [(2, "z", (-2, -1)), (3, "z", (-2, -1)), (3, "y", (-3, -1)), (3, "x", (-3, -2))],
)
def test_quarter_turns_are_exact(
    dims: int, about: str, plane: tuple[int, int], quarter: int
) -> None:
    given = image(2, 3, *[6] * dims)
    label = (given[0] * 4).to(torch.uint8)
    turn = always("rotation", 90.0 * quarter, 90.0 * quarter, axes=(about,))
    geometry = draw_geometry([turn], dims, random())
    expected = torch.rot90(given, quarter, plane)
    torch.testing.assert_close(move_image(given, geometry, dims), expected)
    assert torch.equal(move_label(label, geometry, dims), torch.rot90(label, quarter, plane))


@pytest.mark.parametrize("dims", [2, 3])
def test_turns_and_scalings_are_those_of_scipy(dims: int) -> None:
    """Rotation matrices written out, inverted, and applied about the centre by scipy."""
    sides = SIDES[dims]
    transforms = [always("rotation", -40, 40), always("scaling", 0.8, 1.3)]
    geometry = draw_geometry(transforms, dims, random(3))
    drawn, expected = random(3), np.eye(dims)
    drawn.random()  # of the probability
    for plane in itertools.combinations(range(dims), 2):
        angle = math.radians(drawn.uniform(-40, 40))
        forth = np.eye(dims)
        forth[np.ix_(plane, plane)] = [
            [math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]
        ]  # fmt: skip
        expected = expected @ np.linalg.inv(forth)
    drawn.random()
    expected = expected * drawn.uniform(1 / 1.3, 1 / 0.8)
    assert geometry.matrix is not None
    np.testing.assert_allclose(geometry.matrix, expected, atol=1e-12)

    given = image(1, 1, *sides)
    centre = (np.array(sides) - 1) / 2
    by_scipy = affine_transform(
        given[0, 0].numpy(), expected, centre - expected @ centre, order=1, cval=np.nan
    )
    inside = np.isfinite(by_scipy)
    assert inside.mean() > 0.4
    moved = move_image(given, geometry, dims)[0, 0].numpy()
    np.testing.assert_allclose(moved[inside], by_scipy[inside], atol=1e-4)


def test_scaling_is_of_sizes() -> None:
    label = torch.zeros(1, 41, 41, dtype=torch.uint8)
    label[:, 16:25, 16:25] = 3
    larger = draw_geometry([always("scaling", 2, 2)], 2, random())
    assert int((move_label(label, larger, 2) == 3).sum()) == 18**2
    drawn = [draw_geometry([always("scaling", 0.5, 2)], 2, random(n)) for n in range(500)]
    reciprocals = [geometry.matrix[0, 0] for geometry in drawn if geometry.matrix is not None]
    assert len(reciprocals) == 500
    assert np.quantile(reciprocals, [0, 0.25, 0.5, 0.75, 1]) == pytest.approx(
        [0.5, 0.875, 1.25, 1.625, 2], abs=0.1
    )


def cubic(t: float) -> list[float]:
    """The four weights of a uniform cubic B-spline (Rueckert et al., 1999, equation 1)."""
    return [
        (1 - t) ** 3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6,
        (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6, t**3 / 6,
    ]  # fmt: skip


@pytest.mark.parametrize("dims", [2, 3])
def test_elastic_displacements_are_cubic_splines_of_the_control_points(dims: int) -> None:
    sides = (8, 10) if dims == 2 else (5, 6, 7)
    geometry = draw_geometry([always("elastic", 0.05, 0.05)], dims, random(1))
    control = geometry.control
    assert control is not None
    assert 0.04 < np.abs(control).max() <= 0.05
    coordinates = np.zeros((dims, *sides))
    for voxel in np.ndindex(*sides):
        at = [(i + 0.5) / side * 4 for i, side in zip(voxel, sides, strict=True)]
        for corner in itertools.product(range(4), repeat=dims):
            weight = math.prod(cubic(t % 1)[k] for t, k in zip(at, corner, strict=True))
            point = tuple(int(t) + k for t, k in zip(at, corner, strict=True))
            coordinates[(slice(None), *voxel)] += weight * control[(slice(None), *point)]
    for axis, side in enumerate(sides):
        coordinates[axis] *= side
        coordinates[axis] += np.arange(side).reshape([-1 if i == axis else 1 for i in range(dims)])
    given = image(1, 1, *sides)
    expected = map_coordinates(given[0, 0].numpy(), coordinates, order=1, cval=np.nan)
    inside = np.isfinite(expected)
    moved = move_image(given, geometry, dims)[0, 0].numpy()
    np.testing.assert_allclose(moved[inside], expected[inside], atol=1e-4)
    assert inside.mean() > 0.4


@pytest.mark.parametrize("dims", [2, 3])
def test_the_strongest_deformation_does_not_fold(dims: int) -> None:
    sides = (64,) * dims if dims == 2 else (24,) * dims
    for seed in range(5):
        corners = np.sign(random(seed).uniform(-1, 1, (dims, *[7] * dims))) * 0.1
        grid = sampling_grid(Geometry(control=corners), sides).numpy()
        slopes = np.stack([
            np.stack(np.gradient(grid[..., dims - 1 - axis]), -1) for axis in range(dims)
        ], -2)  # fmt: skip
        assert np.linalg.det(slopes).min() > 0


@pytest.mark.parametrize("dims", [2, 3])
def test_labels_keep_their_values_and_move_with_the_image(dims: int) -> None:
    sides = (40,) * dims
    label = torch.zeros(1, *sides, dtype=torch.uint8)
    label[(0, *[slice(6, 22)] * dims)] = 1
    label[(0, *[slice(24, 36)] * dims)] = IGNORED
    transforms = [
        always("rotation", -40, 40), always("scaling", 0.8, 1.2), always("elastic", 0.05, 0.05),
        Transform("mirroring", axes=("y", "x")),
    ]  # fmt: skip
    for seed in range(4):
        geometry = draw_geometry(transforms, dims, random(seed))
        moved = move_label(label, geometry, dims)
        assert moved.dtype == torch.uint8
        assert {*moved.unique().tolist()} == {0, 1, IGNORED}
        marks = move_image((label == 1).float()[None], geometry, dims)[0]
        assert ((marks > 0.5) == (moved == 1)).float().mean() > 0.97
        assert not torch.equal(moved, label)


def test_outside_of_the_image_lie_its_minimum_and_background() -> None:
    given = torch.full((2, 1, 16, 16), 3.0)
    given[0, 0, 8, 8], given[1, 0, 8, 8] = -2.0, 1.0
    geometry = draw_geometry([always("rotation", 45, 45)], 2, random())
    assert move_image(given, geometry, 2)[:, 0, 0, 0].tolist() == [-2.0, 1.0]
    marks = torch.ones(1, 16, 16, dtype=torch.uint8)
    assert move_label(marks, geometry, 2)[0, 0, 0] == 0


def test_mirroring_is_exact_along_each_axis() -> None:
    given, seen = image(2, 4, 5, 6), set()
    mirroring = Transform("mirroring", axes=("z", "x"))
    for seed in range(40):
        geometry = draw_geometry([mirroring], 2, random(seed))
        assert not geometry.resamples
        places = [{"z": 1, "x": 3}[axis] for axis in geometry.mirrored]
        assert torch.equal(move_image(given, geometry, 2), given.flip(places))
        seen.add(geometry.mirrored)
    assert seen == {frozenset(chosen) for chosen in ("", "z", "x", "zx")}


def test_nothing_is_computed_if_nothing_is_drawn() -> None:
    given, label = image(1, 1, 5, 5), torch.ones(1, 5, 5, dtype=torch.uint8)
    never = Transform("rotation", 0.0), Transform("elastic", 0.0)
    geometry = draw_geometry(never, 2, random())
    assert move_image(given, geometry, 2) is given
    assert move_label(label, geometry, 2) is label


def test_a_probability_is_that_of_a_sample() -> None:
    transforms = [Transform("rotation", 0.3), Transform("scaling", 0.2)]
    drawn = [draw_geometry(transforms, 2, random(n)).matrix for n in range(2000)]
    given = [matrix for matrix in drawn if matrix is not None]
    assert len(given) / 2000 == pytest.approx(1 - 0.7 * 0.8, abs=0.03)
    turned = sum(abs(matrix[0, 1]) > 1e-9 for matrix in given)
    assert turned / 2000 == pytest.approx(0.3, abs=0.03)
