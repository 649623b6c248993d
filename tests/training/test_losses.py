from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from normsearch.errors import ConfigError, TrainingError
from normsearch.labels import IGNORED
from normsearch.training import (
    LOSSES,
    bce_dice_loss,
    choose_loss,
    cross_entropy_loss,
    dice_cross_entropy_loss,
)
from normsearch.training.losses import focal_loss, tversky_loss


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


def numpy_classes(logits: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Cross-entropy, and 1 − the mean soft Dice of the classes 1, 2, ... over the batch."""
    powers = np.exp(logits)
    probability = powers / powers.sum(1, keepdims=True)
    wanted = np.stack([truth == one for one in range(logits.shape[1])], 1)
    entropy = -np.log(probability[wanted]).mean()
    dices = [
        (2 * probability[:, k][wanted[:, k]].sum() + 1)
        / (probability[:, k].sum() + wanted[:, k].sum() + 1)
        for k in range(1, logits.shape[1])
    ]
    return float(entropy), float(1 - np.mean(dices))


@pytest.mark.parametrize("shape", [(5, 6), (2, 3, 4)])
def test_several_classes_are_the_formulas(shape: tuple[int, ...]) -> None:
    generator = np.random.default_rng(4)
    logits = generator.normal(0, 2, (3, 4, *shape))
    truth = generator.integers(0, 3, (3, *shape))  # class 3 is not there
    given = torch.from_numpy(logits), torch.from_numpy(truth)
    entropy, missed = numpy_classes(logits, truth)
    assert cross_entropy_loss(*given).item() == pytest.approx(entropy, abs=1e-12)
    assert dice_cross_entropy_loss(*given).item() == pytest.approx(entropy + missed, abs=1e-12)


def test_whole_images_have_a_cross_entropy() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    expected = (np.log(1 + np.exp(-2)) + np.log(2)) / 2
    found = cross_entropy_loss(logits, torch.tensor([0, 1])).item()
    assert found == pytest.approx(expected, rel=1e-6)


def test_one_foreground_channel_has_the_sigmoid_in_all() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 1, 4, 4, generator=generator)
    truth = (torch.rand(2, 1, 4, 4, generator=generator) > 0.5).float()
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth)
    assert torch.equal(cross_entropy_loss(logits, truth), entropy)
    assert torch.equal(dice_cross_entropy_loss(logits, truth), bce_dice_loss(logits, truth))


def test_gradients_of_several_classes() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 3, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    truth = torch.randint(0, 3, (2, 3, 3), generator=generator)
    assert torch.autograd.gradcheck(lambda x: dice_cross_entropy_loss(x, truth), (logits,))


@pytest.mark.parametrize(
    ("outputs", "kind", "usual"),
    [
        (1, "segmentation", "bce_dice"),
        (3, "segmentation", "dice_cross_entropy"),
        (10, "classification", "cross_entropy"),
    ],
)
def test_auto_is_the_usual_loss_of_the_task(outputs: int, kind: Any, usual: str) -> None:
    assert choose_loss("auto", outputs, kind) is LOSSES[usual]
    assert choose_loss("cross_entropy", outputs, kind) is cross_entropy_loss


@pytest.mark.parametrize(
    ("name", "outputs", "kind"),
    [
        ("bce_dice", 3, "segmentation"),
        ("bce_dice", 10, "classification"),
        ("dice_cross_entropy", 10, "classification"),
    ],
)
def test_a_loss_of_another_task_is_refused(name: str, outputs: int, kind: Any) -> None:
    with pytest.raises(ConfigError, match=rf"training\.loss: must be auto or .*got '{name}'\."):
        choose_loss(name, outputs, kind)


def with_ignored(truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The truth with a third of its voxels ignored, and where the others are."""
    generator = torch.Generator().manual_seed(6)
    ignored = torch.rand(truth.shape, generator=generator) < 0.3
    return truth.masked_fill(ignored, IGNORED), ~ignored


@pytest.mark.parametrize("name", ["bce_dice", "cross_entropy", "dice_cross_entropy"])
def test_one_output_leaves_ignored_voxels_out(name: str) -> None:
    generator = np.random.default_rng(1)
    logits = torch.from_numpy(generator.normal(0, 3, (3, 1, 5, 7))).requires_grad_()
    truth, known = with_ignored(torch.from_numpy((generator.random((3, 1, 5, 7)) < 0.4) * 1.0))
    loss = LOSSES[name](logits, truth)
    rest = logits.detach().numpy()[known.numpy()], truth.numpy()[known.numpy()]
    both = numpy_loss(*rest, 1.0)
    probability = 1 / (1 + np.exp(-rest[0]))
    entropy = -np.log(np.where(rest[1] == 1, probability, 1 - probability)).mean()
    expected = entropy if name == "cross_entropy" else both
    assert loss.item() == pytest.approx(expected, abs=1e-12)
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert (logits.grad[~known] == 0).all()
    assert (logits.grad[known] != 0).all()


@pytest.mark.parametrize("name", ["cross_entropy", "dice_cross_entropy"])
@pytest.mark.parametrize("shape", [(5, 6), (2, 3, 4)])
def test_several_classes_leave_ignored_voxels_out(name: str, shape: tuple[int, ...]) -> None:
    generator = np.random.default_rng(4)
    logits = torch.from_numpy(generator.normal(0, 2, (3, 4, *shape))).requires_grad_()
    truth, known = with_ignored(torch.from_numpy(generator.integers(0, 3, (3, *shape))))
    loss = LOSSES[name](logits, truth)
    voxels = np.moveaxis(logits.detach().numpy(), 1, -1)[known.numpy()]  # (voxels, classes)
    entropy, missed = numpy_classes(voxels.T[None], truth.numpy()[known.numpy()][None])
    expected = entropy + missed if name == "dice_cross_entropy" else entropy
    assert loss.item() == pytest.approx(expected, abs=1e-12)
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    gradient = logits.grad.movedim(1, -1)
    assert (gradient[~known] == 0).all()
    assert (gradient[known] != 0).any(-1).all()


@pytest.mark.parametrize(
    ("name", "outputs"),
    [("bce_dice", 1), ("cross_entropy", 1), ("cross_entropy", 3), ("dice_cross_entropy", 3)],
)
def test_a_batch_of_ignored_voxels_alone_has_the_loss_0(name: str, outputs: int) -> None:
    logits = torch.randn(2, outputs, 4, 4, requires_grad=True)
    truth = torch.full((2, 1, 4, 4) if outputs == 1 else (2, 4, 4), IGNORED)
    loss = LOSSES[name](logits, truth.float() if outputs == 1 else truth)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


def test_class_255_of_whole_images_is_no_ignored_one() -> None:
    logits = torch.zeros(1, 256)
    found = cross_entropy_loss(logits, torch.tensor([255])).item()
    assert found == pytest.approx(np.log(256), rel=1e-6)


def numpy_probabilities(logits: np.ndarray) -> np.ndarray:
    """Probabilities of each class, the background first, (N, K, *spatial)."""
    if logits.shape[1] == 1:
        foreground = 1 / (1 + np.exp(-logits))
        return np.concatenate([1 - foreground, foreground], 1)
    powers = np.exp(logits)
    return powers / powers.sum(1, keepdims=True)


def drawn(outputs: int, *, ignored: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, truth as the losses take it, and where it is not ignored, (N, *spatial)."""
    generator = np.random.default_rng(7)
    logits = torch.from_numpy(generator.normal(0, 2, (3, outputs, 5, 6))).requires_grad_()
    classes = torch.from_numpy(generator.integers(0, max(2, outputs), (3, 5, 6)))
    truth, known = with_ignored(classes) if ignored else (classes, classes >= 0)
    return logits, truth[:, None].double() if outputs == 1 else truth, known


def of_true_class(logits: torch.Tensor, truth: torch.Tensor, known: torch.Tensor) -> Any:
    """The probability of the true class of each known voxel, and that class."""
    probability = np.moveaxis(numpy_probabilities(logits.detach().numpy()), 1, -1)[known.numpy()]
    classes = truth.reshape(known.shape)[known].long().numpy()
    return probability[np.arange(len(classes)), classes], classes


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_the_focal_loss_is_its_formula(outputs: int, ignored: bool, gamma: float) -> None:
    logits, truth, known = drawn(outputs, ignored=ignored)
    probability, _ = of_true_class(logits, truth, known)
    expected = (-((1 - probability) ** gamma) * np.log(probability)).mean()
    loss = focal_loss(logits, truth, gamma)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad.movedim(1, -1)[~known] == 0).all()
    assert (logits.grad.movedim(1, -1)[known] != 0).any(-1).all()
    if gamma == 0:
        assert loss.item() == pytest.approx(cross_entropy_loss(logits, truth).item(), rel=1e-5)


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("outputs", [1, 3])
def test_the_tversky_loss_is_its_formula(outputs: int, ignored: bool) -> None:
    logits, truth, known = drawn(outputs, ignored=ignored)
    probability = np.moveaxis(numpy_probabilities(logits.detach().numpy()), 1, -1)[known.numpy()]
    classes = truth.reshape(known.shape)[known].long().numpy()
    shares = []
    for number in range(1, max(2, outputs)):
        p, t = probability[:, number], classes == number
        right, false, missed = p[t].sum(), p[~t].sum(), (1 - p[t]).sum()
        shares.append((right + 1) / (right + 0.3 * false + 0.7 * missed + 1))
    loss = tversky_loss(logits, truth)
    assert loss.item() == pytest.approx(1 - np.mean(shares), rel=1e-6)
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad.movedim(1, -1)[~known] == 0).all()


@pytest.mark.parametrize(("name", "outputs"), [("focal", 1), ("focal", 3), ("tversky", 1)])
def test_ignored_voxels_alone_cost_nothing(name: str, outputs: int) -> None:
    truth = torch.full((2, 4, 4), IGNORED)
    given = truth[:, None].float() if outputs == 1 else truth
    logits = torch.randn(2, outputs, 4, 4, requires_grad=True)
    loss = LOSSES[name](logits, given)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert logits.grad is not None
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        *(("bce_dice", 1), ("cross_entropy", 1), ("dice_cross_entropy", 1), ("focal", 1)),
        *(("cross_entropy", 3), ("dice_cross_entropy", 3), ("focal", 3)),
    ],
)
def test_class_weights_are_of_the_cross_entropy(name: str, outputs: int, ignored: bool) -> None:
    logits, truth, known = drawn(outputs, ignored=ignored)
    given = (0.5, 4.0, 2.0)[: max(2, outputs)]
    probability, classes = of_true_class(logits, truth, known)
    each = -np.log(probability) * ((1 - probability) ** 2 if name == "focal" else 1)
    weights = np.array(given)[classes]
    without = LOSSES[name](logits, truth).item() - each.mean()  # the part of Dice
    expected = (weights * each).sum() / weights.sum() + without
    found = choose_loss(name, outputs, weights=given)(logits, truth)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    found.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert (logits.grad.movedim(1, -1)[~known] == 0).all()


def test_class_weights_of_several_classes_are_those_of_torch() -> None:
    logits, truth, _ = drawn(3, ignored=False)
    weights = torch.tensor([0.5, 4.0, 2.0], dtype=torch.float64)
    expected = torch.nn.functional.cross_entropy(logits, truth, weights)
    found = cross_entropy_loss(logits, truth, weights=weights)
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    whole = choose_loss("auto", 3, "classification", weights=[1, 0, 2])
    expected = torch.nn.functional.cross_entropy(logits[:, :, 0, 0], torch.tensor([0, 2, 2]),
                                                 torch.tensor([1.0, 0, 2]).double())  # fmt: skip
    assert whole(logits[:, :, 0, 0], torch.tensor([0, 2, 2])).item() == pytest.approx(
        expected.item(), rel=1e-6
    )
    assert whole(logits[:1, :, 0, 0], torch.tensor([1])).item() == 0  # no sample with a weight


@pytest.mark.parametrize(
    ("name", "outputs", "weights", "message"),
    [
        ("tversky", 1, (1, 2), "class_weights: must be left out for the loss tversky, which takes"),
        ("torch.nn:BCEWithLogitsLoss", 1, (1, 2), "left out for the loss torch.nn:BCEWithLogits"),
        ("auto", 3, (1, 2), r"class_weights: must be 3 weights, .*background, got 2\."),
        ("auto", 1, (1, 2, 3), r"class_weights: must be 2 weights, .*background, got 3\."),
    ],
)
def test_class_weights_that_do_not_fit(
    name: str, outputs: int, weights: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        choose_loss(name, outputs, weights=weights)


def rare(
    logits: torch.Tensor, truth: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Fail on some samples, as a loss with a bug does."""
    if not truth.any():
        raise ValueError("no foreground")
    return logits.mean() if weights is None else logits.mean() * weights.sum()


@pytest.mark.parametrize("outputs", [1, 3])
def test_losses_of_monai_take_logits_and_class_indices(outputs: int) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, outputs, 5, 6, generator=generator)
    classes = torch.randint(max(2, outputs), (2, 5, 6), generator=generator)
    truth = classes[:, None].float() if outputs == 1 else classes
    p = logits.sigmoid() if outputs == 1 else logits.softmax(1)
    wanted = truth if outputs == 1 else functional.one_hot(classes, 3).movedim(-1, 1).float()
    overlap, both = (p * wanted).sum((2, 3)), (p + wanted).sum((2, 3))
    dice = choose_loss("monai.losses:DiceLoss", outputs)(logits, truth)
    torch.testing.assert_close(dice, (1 - 2 * overlap / both).mean(), atol=1e-5, rtol=0)
    focal = choose_loss("monai.losses:FocalLoss", outputs)(logits, truth)
    torch.testing.assert_close(focal, focal_loss(logits, truth) / outputs)
    truth[0, ..., 0] = IGNORED
    with pytest.raises(TrainingError, match="DiceLoss must leave out ignored voxels"):
        choose_loss("monai.losses:DiceLoss", outputs)(logits, truth)


@pytest.mark.parametrize(
    "name", ["monai.losses:GeneralizedWassersteinDiceLoss", "torch.nn:AdaptiveLogSoftmaxWithLoss"]
)
def test_a_loss_that_needs_arguments_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"training.loss: {name} must need no arguments, and r"):
        choose_loss(name, 3)


def test_a_loss_of_the_user_that_fails_names_its_key() -> None:
    logits, truth = torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    loss = choose_loss(f"{__name__}:rare", 1, weights=(1, 2))
    assert loss(logits, truth).item() == 3
    told = r"training\.loss: .*rare must .*: no foreground"
    with pytest.raises(TrainingError, match=told) as found:
        loss(logits, 0 * truth)
    assert found.value.kind == "loss"
