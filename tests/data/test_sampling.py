import numpy as np
import pytest
import torch

from normsearch.data import SAMPLINGS, Case
from normsearch.data.sampling import Slabs, inputs


def make_case(slices: int, channels: int = 2) -> Case:
    """A case whose voxels hold their own number; the label counts the slices."""
    image = np.arange(slices * channels * 6, dtype=np.float32).reshape(slices, channels, 2, 3)
    label = np.broadcast_to(np.arange(slices)[:, None, None], (slices, 2, 3)).astype(np.uint8)
    image.setflags(write=False)
    return Case("a", "a", "", image, label, (1.0, 1.0, 1.0))


def outputs_of(name: str, case: Case, depth: int = 1, overlap: int = 0) -> torch.Tensor:
    """What a network gives that returns each voxel's slice and, in another channel, its square."""
    sampling = SAMPLINGS[name](depth, overlap)
    labels = [sampling.sample(case, i)[1] for i in range(sampling.count(case))]
    values = torch.from_numpy(np.stack(labels)).float()
    return torch.stack([values, values**2], 1)


@pytest.mark.parametrize("name", SAMPLINGS)
@pytest.mark.parametrize("slices", [1, 4, 5, 8, 15, 16, 17, 23, 24, 30, 33, 40])
def test_every_slice_is_predicted_exactly_once(name: str, slices: int) -> None:
    case = make_case(slices)
    depth, overlap = {"stack": (3, 0), "slab": (16, 8)}.get(name, (1, 0))
    sampling = SAMPLINGS[name](depth, overlap)
    whole = sampling.recompose(outputs_of(name, case, depth, overlap), slices)
    assert whole.shape == (slices, 2, 2, 3)
    expected = torch.arange(float(slices))
    assert torch.equal(whole[:, 0], expected[:, None, None].expand(-1, 2, 3))
    assert torch.equal(whole[:, 1], (expected**2)[:, None, None].expand(-1, 2, 3))


@pytest.mark.parametrize("name", SAMPLINGS)
def test_samples_are_cut_from_their_place(name: str) -> None:
    case = make_case(20)
    sampling = SAMPLINGS[name](5, 2)
    for index in range(sampling.count(case)):
        image, label = sampling.sample(case, index)
        assert image.shape[-sampling.dims :] == label.shape
        slices = label[:, 0, 0] if sampling.dims == 3 else label[:1, 0]
        if name == "stack":
            slices = np.clip(np.arange(5) + int(slices[0]) - 2, 0, 19)
            expected = case.image[slices].reshape(10, 2, 3)  # slice by slice, channels inner
        else:
            expected = case.image[slices].swapaxes(0, 1).reshape(image.shape)
        np.testing.assert_array_equal(image, expected)
    assert inputs(sampling, case).shape[0] == sampling.count(case)


def test_the_papers_slabs_take_the_middle_half() -> None:
    slabs = Slabs(16, 8)
    assert slabs.starts(40) == [0, 8, 16, 24]
    # Each output names its slab, so that the recomposed volume tells who predicted which slice.
    outputs = torch.arange(4.0)[:, None, None, None, None].expand(4, 1, 16, 1, 1)
    who = slabs.recompose(outputs, 40)[:, 0, 0, 0].tolist()
    assert who == [0] * 12 + [1] * 8 + [2] * 8 + [3] * 12


def test_the_last_slab_ends_with_the_volume() -> None:
    slabs = Slabs(16, 8)
    assert slabs.starts(30) == [0, 8, 14]
    assert slabs.starts(33) == [0, 8, 16, 17]
    assert slabs.starts(16) == slabs.starts(3) == [0]
    outputs = torch.arange(3.0)[:, None, None, None, None].expand(3, 1, 16, 1, 1)
    assert slabs.recompose(outputs, 30)[:, 0, 0, 0].tolist() == [0] * 12 + [1] * 7 + [2] * 11


def test_a_thin_volume_is_padded_with_its_last_slice() -> None:
    image, label = Slabs(16, 8).sample(make_case(3), 0)
    assert image.shape == (2, 16, 2, 3)
    assert label[:, 0, 0].tolist() == [0, 1, 2, *[2] * 13]
    np.testing.assert_array_equal(image[:, 2], image[:, 15])


def test_a_classified_image_is_a_slice() -> None:
    case = Case("a", "a", "", np.ones((1, 1, 4, 4), np.float32), np.array([7], np.uint8), (1, 1, 1))
    image, label = SAMPLINGS["slice"](1, 0).sample(case, 0)
    assert (image.shape, label.shape, int(label)) == ((1, 4, 4), (), 7)
