import gc

import numpy as np
import pytest

from normsearch.data import Case, cases, foreground
from normsearch.data.foreground import channel_minima, find_foreground, foreground_of


def label(seed: int = 0, sides: tuple[int, int, int] = (5, 6, 7)) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.choice(np.array([0, 1, 3, 255], np.uint8), sides, p=[0.5, 0.3, 0.1, 0.1])


@pytest.mark.parametrize("at_once", [1, 60, 10**6])
def test_every_voxel_of_every_class_is_found(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "_AT_ONCE", at_once)
    given = label()
    found = find_foreground(given)
    assert list(found.voxels) == [1, 3]  # neither background nor what is ignored
    for number, voxels in found.voxels.items():
        np.testing.assert_array_equal(voxels, np.flatnonzero(given == number))


def test_of_many_voxels_some_are_kept_the_same_ones_in_any_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(foreground, "MOST", 40)
    given = label(1, (9, 20, 20))
    found = []
    for at_once in (1, 1500, 10**6):
        monkeypatch.setattr(cases, "_AT_ONCE", at_once)
        found.append(find_foreground(given).voxels)
    for number, kept in found[0].items():
        assert len(kept) == min(40, (given == number).sum()) == 40
        assert (given.ravel()[kept] == number).all()
        assert len(set(kept.tolist())) == 40
        for other in found[1:]:
            np.testing.assert_array_equal(other[number], kept)


def test_what_is_kept_is_a_uniform_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreground, "MOST", 500)
    monkeypatch.setattr(cases, "_AT_ONCE", 1000)
    kept = find_foreground(np.ones((100, 10, 10), np.uint8)).voxels[1]
    # The mean of 500 of 10,000 places drawn without replacement, within 4 standard errors.
    error = np.sqrt((10_000**2 - 1) / 12 / 500 * (1 - 500 / 10_000))
    assert abs(kept.mean() - 4999.5) < 4 * error


def test_classes_are_drawn_before_voxels() -> None:
    given = np.zeros((4, 20, 20), np.uint8)
    given[:, :10] = 1
    given[2, 15, 3] = 2  # one voxel, and yet half of the draws
    found, random = find_foreground(given), np.random.default_rng(0)
    drawn = [found.draw(random) for _ in range(400)]
    assert {given[place] for place in drawn} == {1, 2}
    rare = sum(place == (2, 15, 3) for place in drawn)
    assert abs(rare - 200) < 4 * 10  # binomial, 4 standard deviations


def test_a_case_without_foreground() -> None:
    empty = find_foreground(np.full((2, 3, 3), 255, np.uint8))
    assert empty.draw(np.random.default_rng(0)) is None


def make_case(given: np.ndarray) -> Case:
    image = np.random.default_rng(0).normal(size=(len(given), 2, *given.shape[1:]))
    return Case("a", "a", "", image.astype(np.float32), given, (1.0, 1.0, 1.0))


def test_a_case_is_searched_once_and_forgotten_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(foreground, "find_foreground", lambda one: calls.append(1) or one)
    case = make_case(label())
    assert foreground_of(case) is foreground_of(case)
    assert len(calls) == 1
    before = len(foreground._FOREGROUND)
    del case
    gc.collect()
    assert len(foreground._FOREGROUND) == before - 1


@pytest.mark.parametrize("at_once", [1, 10**6])
def test_the_minimum_of_each_channel(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "_AT_ONCE", at_once)
    case = make_case(label())
    expected = [case.image[:, 0].min(), case.image[:, 1].min()]
    np.testing.assert_array_equal(channel_minima(case), expected)
