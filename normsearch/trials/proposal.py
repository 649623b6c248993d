"""Proposes the settings of a study from what its data set holds, each with its reason."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from normsearch.data import Report, is_anisotropic
from normsearch.data.spacing import ANISOTROPIC, median_spacing, spacing_text
from normsearch.errors import DataError, count

_HU_LOW, _HU_HIGH = -200.0, 200.0  # air or fat, and contrast or bone: only HU reach both
_BODY = 0.75  # share of an image's voxels in the box of the body, as in nnU-Net
_PICTURE = 255.0  # largest value of an 8-bit picture
_FEW_SLICES = 8  # too few to pool
_FOLDS = 5
_BOTTOM = 4  # pixels that a side must keep at the bottom of a network
_CLASSES = 254
TRIALS, _EVALUATIONS = 24, 5
_SAMPLES = {2: 4_800, 3: 2_400}
_HELPS = "small turns and scalings: 0.005 and 0.010 Dice more on the two data sets measured"
_NORMS = ("none", "BN", "IN", "LN", "GN", "BIN", "ILN(regroup=none)", "SN")


@dataclass(frozen=True)
class Line:
    """A setting of a study: its key such as ``task.size``, its value, and why."""

    key: str
    value: Any
    reason: str


@dataclass(frozen=True)
class Kind:
    """What a sample of a data set should be.

    Attributes:
        axes: 2 or 3, the spatial axes of a sample.
        spacing: the median in mm along slices, rows and columns; None where a case has none.
        sides: the median image's voxels at that spacing.
        reason: why there are so many axes.
    """

    axes: int
    spacing: tuple[float, ...] | None
    sides: tuple[float, ...]
    reason: str


def nested(lines: Sequence[Line]) -> dict[str, Any]:
    """Return the settings as in a study file.

    >>> nested([Line("name", "a", ""), Line("space.norm.per", "layer", "")])
    {'name': 'a', 'space': {'norm': {'per': 'layer'}}}
    """
    found: dict[str, Any] = {}
    for line in lines:
        *parents, last = line.key.split(".")
        place = found
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = line.value
    return found


def replaced(lines: Sequence[Line], *new: Line) -> list[Line]:
    """Return the lines with `new` ones in place of those of the same key."""
    known = {line.key: line for line in new}
    return [known.get(line.key, line) for line in lines]


def propose(report: Report, name: str, data: str, *, gpu: bool = False) -> list[Line]:
    """Return the settings of a study of a data set; the size of patches is still ``auto``.

    Slices are proposed where nnU-Net augments volumes in plane, the spacing by its median, CT by
    its name or values, and the rest by the rules that stand in each reason.

    Args:
        report: the data set as inspected, without errors.
        name: of the study.
        data: the value of ``task.data``.
        gpu: whether trials train on a GPU.

    Raises:
        DataError: there is no foreground, or there are no subjects to split.
    """
    if not report.looks:
        raise DataError(f"{report.data_set.root}: must hold at least one case, got none; add cases")
    kind = sample_kind(report)
    if report.data_set.kind == "classification":
        task, network = list(_pictures(report)), _classifier()
    else:
        task, network = list(_patches(report, kind)), _network(kind)
    resources = [Line("search.resources.gpu", 1, "a GPU was found")] if gpu else []
    return [
        Line("name", name, ""),
        Line("task.data", data, _contents(report)),
        *task,
        *_intensity(report),
        _augmentation(report),
        *_split(report),
        *network,
        *_training(report, kind),
        *_space(kind),
        *_search(),
        *resources,
    ]


def sample_kind(report: Report) -> Kind:
    """Return whether samples should be of slices, see `propose`, or of volumes."""
    shapes = [look.shape for look in report.looks]
    spacings = [look.spacing for look in report.looks]
    spacing = None
    sides = tuple(float(statistics.median(side)) for side in zip(*shapes, strict=True))
    if all(math.isfinite(step) for one in spacings for step in one):
        spacing = median_spacing(spacings, shapes)
        pairs = list(zip(shapes, spacings, strict=True))
        sides = tuple(
            statistics.median(shape[axis] * steps[axis] / spacing[axis] for shape, steps in pairs)
            for axis in range(3)
        )
    told = f"{sides[0]:.0f} x {sides[1]:.0f} x {sides[2]:.0f}"
    if sides[0] < _FEW_SLICES:
        few = f"slices, as the median image has {count(round(sides[0]), 'slice')} alone"
        return Kind(2, spacing, sides, few)
    where = spacing_text(spacing) if spacing else "unknown spacing"
    if is_anisotropic([round(side) for side in sides], spacing or (math.nan,) * 3):
        why = f"{sides[0]:.0f} of them are few beside sides of {max(sides):.0f} pixels"
        coarse = max(sides) / sides[0] <= ANISOTROPIC
        why = f"voxels of {where} are anisotropic" if coarse else why
        return Kind(2, spacing, sides, f"slices, as {why}")
    return Kind(3, spacing, sides, f"volumes, as {told} voxels of {where} are roughly isotropic")


def _contents(report: Report) -> str:
    cases, subjects = len(report.looks), len({case.subject for case in report.data_set.cases})
    return (
        f"{count(cases, 'case')} of {count(subjects, 'subject')}, layout {report.data_set.layout}"
    )


def _pictures(report: Report) -> Iterator[Line]:
    yield Line("task.sample", "slice", "whole images have a class each")


def _patches(report: Report, kind: Kind) -> Iterator[Line]:
    yield Line("task.sample", "patch", kind.reason)
    yield Line("task.size", "auto", "")
    known = "the median of the cases, as in nnU-Net, so that voxels of all cases are alike"
    unknown = "not every case gives its spacing"
    yield Line("task.spacing", *(("median", known) if kind.spacing else ("none", unknown)))
    yield from _classes(report)


def _classes(report: Report) -> Iterator[Line]:
    summary = report.summary()["classes"]
    values = [int(value) for value, one in summary.items() if one["voxels"]]
    if not values:
        raise DataError(
            f"{report.data_set.root}: labels must hold foreground, got 0 alone; check the masks"
        )
    if 1 < len(values) <= _CLASSES:
        # A region of several values would be the name of each.
        own = not report.data_set.regions
        names = [str((own and summary[str(value)]["name"]) or value) for value in values[:4]]
        more = f" and {len(values) - 4} more" if len(values) > 4 else ""
        how = "" if own else "; the regions of dataset.json overlap, and are not trained as such"
        yield Line("task.classes", values, f"separate classes: {', '.join(names)}{more}{how}")


def _intensity(report: Report) -> Iterator[Line]:
    lows, highs = zip(*(look.intensity for look in report.looks), strict=True)
    low, high = statistics.median(lows), statistics.median(highs)
    channels = {look.channels for look in report.looks}
    filled = statistics.median(look.filled for look in report.looks)
    told = f"values from {low:g} to {high:g} in the median case"
    rule, reason = "zscore", f"{told} have no fixed unit"
    named = {name.upper() for name in report.data_set.channel_names}
    if channels == {1} and named == {"CT"}:
        rule, reason = "ct", "dataset.json names the channel CT"
    elif channels == {1} and low <= _HU_LOW and high >= _HU_HIGH:
        rule, reason = "ct", f"{told} look like HU"
    elif filled < _BODY:
        rule = "zscore_body"
        reason = f"only {filled:.0%} of an image is not an empty margin of 0"
    elif low >= 0 and max(highs) <= _PICTURE:
        rule, reason = "percentile", f"{told} are of 8-bit pictures"
    yield Line("task.intensity", rule, reason)


def _augmentation(report: Report) -> Line:
    if not _is_masked(report):
        return Line("task.augmentation", "none", "no preset is measured on images with a class")
    return Line("task.augmentation", "light", _HELPS)


def _split(report: Report) -> Iterator[Line]:
    folds = sorted({fold for case in report.data_set.cases for fold in case.folds})
    subjects = len({case.subject for case in report.data_set.cases})
    if not folds and subjects == 1:
        yield Line("task.validation", "training", "one subject can only be validated on itself")
        return
    if not folds and subjects == 2:
        yield Line("task.validation_fraction", 0.5, "one of the two subjects is validated on")
        return
    if not folds:
        made = min(_FOLDS, subjects, max(3, report.subjects_shown))  # each with foreground
        folds = [str(number + 1) for number in range(made)]
        yield Line("task.folds", made, "the data set has no folds; these are by subject")
    yield from _held_out(report, folds)


def _held_out(report: Report, folds: list[str]) -> Iterator[Line]:
    """Yield the test fold and the validation fold; some cases must be left to train on."""
    assigned = Counter(fold for case in report.data_set.cases for fold in case.folds)
    rest = sum(not case.folds for case in report.data_set.cases)
    tested = next((fold for fold in folds if fold.lower() == "test"), folds[-1])
    own = [fold for fold in folds if fold != tested]
    lists = any(case.lists is not None for case in report.data_set.cases)
    if not own and not rest:
        yield Line("task.validation_fraction", 0.25, "the data set has one fold alone")
        return
    kept = f", {count(assigned[tested], 'case')}" if assigned else ""
    yield Line("task.test_folds", [tested], f"kept for normsearch confirm{kept}")
    named = next((fold for fold in own if fold.lower().startswith("val")), None)
    if named or len(own) + (rest > 0) > 1 or (lists and own):
        yield Line("task.validation_folds", [named or own[-1]], "scored by the search")
    else:
        yield Line("task.validation_fraction", 0.25, "of the other fold's subjects are scored")


def _network(kind: Kind) -> list[Line]:
    least = min(kind.sides[-kind.axes :])
    most = 4 if kind.axes == 2 else 3
    depth = max(1, min(most, int(math.log2(max(least / _BOTTOM, 1)))))
    bottom = f"a side of {least:.0f} keeps {_BOTTOM} or more at the bottom"
    if kind.axes == 2:
        return [
            Line("network.name", "unet2d", "the U-Net of normsearch for 2D samples"),
            Line("network.first_channels", 16, "double at each level"),
            Line("network.depth", depth, bottom),
        ]
    quick = "MONAI's, whose strides make it several times as fast as a U-Net at full resolution"
    channels = [16 * 2**level for level in range(depth + 1)]
    return [
        Line("network.name", "monai.networks.nets:UNet", quick),
        Line("network.arguments.spatial_dims", 3, "volumes"),
        Line("network.arguments.channels", channels, "double at each level"),
        Line("network.arguments.strides", [2] * depth, bottom),
        Line("network.arguments.num_res_units", 2, "convolutions a level, with a shortcut"),
    ]


def _classifier() -> list[Line]:
    return [
        Line("network.name", "classifier", "the classifier of normsearch for small images"),
        Line("network.first_channels", 16, "double at each stage"),
    ]


def _training(report: Report, kind: Kind) -> list[Line]:
    several = _is_masked(report) and any(_classes(report))
    loss = "dice_cross_entropy" if several else "bce_dice"
    reason = f"for {'several classes' if several else 'one class'}"
    if not _is_masked(report):
        loss, reason = "cross_entropy", "for the class of an image"
    statistics_of_norms = (
        [Line("training.statistics_samples", 32, "patches of volumes hold many voxels each")]
        if kind.axes == 3
        else []
    )
    return [
        Line(
            "training.samples", _SAMPLES[kind.axes], "a first budget; raise it for a final answer"
        ),
        Line("training.evaluations", _EVALUATIONS, "weak trials can stop at the first of them"),
        Line("training.loss", loss, reason),
        Line(
            "training.optimizer",
            "adamw",
            "adapts its steps, so that one range of learning rates suits most data",
        ),
        Line("training.weight_decay", 0.01, "the default of adamw"),
        Line("training.ema", 0.99, "the mean of the last weights scores more evenly than the last"),
        *statistics_of_norms,
    ]


def _is_masked(report: Report) -> bool:
    return report.data_set.kind == "segmentation"


def _space(kind: Kind) -> list[Line]:
    batches: Mapping[str, Any] = {"choices": [2], "default": 2}
    reason = "as in nnU-Net, for volumes"
    if kind.axes == 2:
        batches, reason = {"choices": [2, 4, 8], "default": 4}, "which norm is best depends on it"
    rates = {"low": 0.0005, "high": 0.01, "log": True, "default": 0.003}
    return [
        Line("space.norm.per", "layer", "each layer chooses its own norm"),
        Line("space.norm.choices", list(_NORMS), "the published norms, and none"),
        Line("space.norm.groups", [4, 8], "numbers of groups of GN"),
        Line("space.learning_rate", rates, "usual for adamw; norms differ in what they bear"),
        Line("space.batch_size", batches, reason),
    ]


def _search() -> list[Line]:
    pruner = {"name": "successive_halving", "min_resource": 1}
    return [
        Line("search.trials", TRIALS, "each norm alone, then mixtures and better single norms"),
        Line("search.pruner", pruner, "stops weak trials from the first evaluation on"),
    ]
