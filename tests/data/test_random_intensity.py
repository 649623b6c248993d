from typing import Any

import numpy as np
import pytest
import torch
from monai.networks.layers.simplelayers import GaussianFilter
from monai.transforms.intensity.array import AdjustContrast, ScaleIntensityFixedMean
from monai.transforms.spatial.array import RandSimulateLowResolution

from normsearch.data import Transform
from normsearch.data.random_intensity import INTENSITIES, change_intensity, factor


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def image(*shape: int) -> torch.Tensor:
    return torch.from_numpy(random(7).normal(0.5, 2.0, shape).astype(np.float32))


def changed(given: torch.Tensor, name: str, value: float, **settings: Any) -> torch.Tensor:
    transform = Transform(name, 1.0, (value, value), **settings)
    return change_intensity(given, transform, random())


@pytest.mark.parametrize("value", [0.7, 1.5])
@pytest.mark.parametrize(("name", "inverted"), [("gamma", False), ("inverted_gamma", True)])
def test_gamma_is_that_of_monai(name: str, inverted: bool, value: float) -> None:
    given = image(2, 1, 12, 9)
    ours = changed(given, name, value)
    monai = AdjustContrast(value, invert_image=inverted, retain_stats=True)
    for channel, expected in zip(ours, given, strict=True):
        torch.testing.assert_close(channel, monai(expected).as_tensor(), rtol=1e-4, atol=1e-4)
        assert float(channel.mean()) == pytest.approx(float(expected.mean()), abs=1e-4)


@pytest.mark.parametrize("value", [0.75, 1.25])
def test_contrast_is_that_of_monai(value: float) -> None:
    given = image(2, 1, 12, 9)
    monai = ScaleIntensityFixedMean(value - 1, preserve_range=True, channel_wise=True)
    torch.testing.assert_close(changed(given, "contrast", value), monai(given).as_tensor())


@pytest.mark.parametrize("sides", [(32, 31), (20, 21, 22)])
def test_blur_is_a_gaussian_filter(sides: tuple[int, ...]) -> None:
    given = image(1, 2, *sides)
    blurred = changed(given, "blur", 0.9, per_channel=1.0)
    expected = GaussianFilter(len(sides), 0.9, truncated=4.0, approx="sampled")(given)
    inner = (slice(None), slice(None), *[slice(4, -4)] * len(sides))  # MONAI has zeros beyond
    torch.testing.assert_close(blurred[inner], expected[inner], rtol=1e-2, atol=2e-3)
    flat = torch.full((1, 1, *sides), 3.0)
    torch.testing.assert_close(changed(flat, "blur", 2.0, per_channel=1.0), flat)


@pytest.mark.parametrize("sides", [(20, 31), (10, 12, 14)])
def test_low_resolution_is_that_of_monai(sides: tuple[int, ...]) -> None:
    given = image(2, 1, *sides)
    monai = RandSimulateLowResolution(
        1.0, "nearest-exact", "bilinear" if len(sides) == 2 else "trilinear", (0.6, 0.6)
    )
    expected = monai(given[:, 0])
    found = changed(given, "low_resolution", 0.6, per_channel=1.0)
    torch.testing.assert_close(found[:, 0], torch.as_tensor(np.asarray(expected)))
    assert not torch.equal(found, given)


def test_noise_is_a_share_of_the_standard_deviation() -> None:
    given = image(2, 3, 64, 64) * torch.tensor([1.0, 10.0]).reshape(2, 1, 1, 1)
    added = changed(given, "noise", 0.1) - given
    for noise, own in zip(added, given, strict=True):
        assert float(noise.std() / own.std()) == pytest.approx(0.1, rel=0.03)
        assert abs(float(noise.mean() / own.std())) < 0.003
    together = torch.corrcoef(added.reshape(6, -1)) - torch.eye(6)
    assert together.abs().max() < 0.1  # slices and channels have noise of their own


def test_brightness_multiplies() -> None:
    given = image(2, 1, 4, 4)
    torch.testing.assert_close(changed(given, "brightness", 1.2), given * 1.2)
    ratios = change_intensity(given, Transform("brightness", 1.0, (0.5, 1.5)), random()) / given
    assert (ratios.flatten(1).amax(1) - ratios.flatten(1).amin(1)).max() < 1e-5
    assert abs(float(ratios[0, 0, 0, 0] - ratios[1, 0, 0, 0])) > 1e-3


def test_factors_are_below_one_as_often_as_above() -> None:
    drawn = np.array([factor((0.7, 1.5), random(n)) for n in range(4000)])
    assert (drawn < 1).mean() == pytest.approx(0.5, abs=0.03)
    assert np.median(drawn[drawn < 1]) == pytest.approx(0.85, abs=0.02)
    assert np.median(drawn[drawn > 1]) == pytest.approx(1.25, abs=0.03)
    above = [factor((1.2, 1.4), random(n)) for n in range(200)]
    assert 1.2 <= min(above) < 1.22 < 1.38 < max(above) <= 1.4


def test_a_cutout_is_one_box_of_the_mean_in_all_channels() -> None:
    given = image(2, 3, 20, 30)
    found = changed(given, "cutout", 0.25)
    cut = found != given
    assert torch.equal(cut[0], cut[1])
    rows, columns = cut[0, 0].any(1).nonzero(), cut[0, 0].any(0).nonzero()
    assert (len(rows), len(columns)) == (5, 8)  # a quarter of 20 and of 30, rounded
    assert int(cut.sum()) == 2 * 3 * 5 * 8
    for channel in range(2):
        values = found[channel][cut[channel]]
        torch.testing.assert_close(values, given[channel].mean().expand(len(values)))


def test_a_channel_is_changed_with_its_probability() -> None:
    given = image(4, 1, 8, 8)
    counts = [
        int((change_intensity(given, Transform("blur", 0.5), random(n)) != given)
            .flatten(1).any(1).sum())
        for n in range(3000)
    ]  # fmt: skip
    changes = np.bincount(counts, minlength=5) / 3000
    # Half of the samples; of those, each of four channels with probability one half.
    assert changes == pytest.approx(
        [0.5 + 0.5 / 16, *(0.5 * n / 16 for n in (4, 6, 4, 1))], abs=0.025
    )


@pytest.mark.parametrize("name", INTENSITIES)
def test_a_constant_image_stays_finite(name: str) -> None:
    given = torch.full((1, 1, 8, 8), 2.5)
    found = change_intensity(given, Transform(name, 1.0, per_channel=1.0), random())
    assert torch.isfinite(found).all()
    assert torch.equal(given, torch.full((1, 1, 8, 8), 2.5))  # the given one is not written to


@pytest.mark.parametrize("name", INTENSITIES)
def test_slices_of_a_stack_change_alike(name: str) -> None:
    one = image(1, 1, 16, 16)
    given = one.expand(1, 3, 16, 16)
    found = change_intensity(given, Transform(name, 1.0, per_channel=1.0), random())
    assert not torch.equal(found, given)
    if name != "noise":
        torch.testing.assert_close(found[0, 0], found[0, 2])
