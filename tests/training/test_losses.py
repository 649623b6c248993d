import numpy as np
import pytest
import torch

from normsearch.training import bce_dice_loss


def numpy_loss(logits: np.ndarray, truth: np.ndarray, smooth: float) -> float:
    """Binary cross-entropy + 1 − soft Dice over the whole batch, straight from the formulas."""
    probability = 1 / (1 + np.exp(-logits))
    entropy = -(truth * np.log(probability) + (1 - truth) * np.log(1 - probability)).mean()
    overlap = 2 * (probability * truth).sum() + smooth
    return float(entropy + 1 - overlap / (probability.sum() + truth.sum() + smooth))


@pytest.mark.parametrize("smooth", [1.0, 0.25])
@pytest.mark.parametrize("foreground", [0.0, 0.3, 1.0])
def test_it_is_the_formula(foreground: float, smooth: float) -> None:
    generator = np.random.default_rng(1)
    logits = generator.normal(0, 3, (3, 1, 5, 7))
    truth = (generator.random((3, 1, 5, 7)) < foreground).astype(np.float64)
    found = bce_dice_loss(torch.from_numpy(logits), torch.from_numpy(truth), smooth)
    assert found.shape == ()
    assert found.item() == pytest.approx(numpy_loss(logits, truth, smooth), abs=1e-12)


def test_an_empty_slice_is_no_fault_of_its_own() -> None:
    # By slice, the empty one would add a soft Dice of its own; over the batch it adds nothing.
    logits = torch.tensor([40.0, -40.0]).reshape(2, 1, 1, 1).expand(2, 1, 4, 4)
    truth = torch.tensor([1.0, 0.0]).reshape(2, 1, 1, 1).expand(2, 1, 4, 4)
    assert bce_dice_loss(logits, truth).item() == pytest.approx(0, abs=1e-6)
    assert bce_dice_loss(-logits, truth).item() == pytest.approx(40 + 1 - 1 / 33, rel=1e-6)


def test_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 1, 3, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    truth = (torch.rand(2, 1, 3, 3, generator=generator) > 0.5).double()
    assert torch.autograd.gradcheck(lambda x: bce_dice_loss(x, truth), (logits,))


def test_large_logits_stay_finite() -> None:
    logits = torch.full((1, 1, 4, 4), 1e4, requires_grad=True)
    loss = bce_dice_loss(logits, torch.zeros(1, 1, 4, 4))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(1e4 + 1 - 1 / 17)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
