"""Initial trials: single norms, published settings, and the best of other runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from normsearch.config import Point, SearchConfig
from normsearch.config.hyperparameters import HYPERPARAMETERS
from normsearch.errors import ConfigError
from normsearch.networks import NormSlot
from normsearch.norms import NormSpec
from normsearch.space.interface import AnySpace
from normsearch.space.layered import Space

Known = tuple[dict[str, Any], dict[str, Any]]
"""Parameters to enqueue, and attributes that record their source."""

#: (paper, norm, batch size) of each paper's comparison. Learning rates are the space's, since
#: those of a paper belong to its data and schedule.
PAPERS: tuple[tuple[str, str, int], ...] = (
    *(("spine CT", text, 1) for text in ("none", "BN", "IN")),
    *(("spine CT", f"GN-{groups}", 1) for groups in (2, 4, 8, 16, 32)),
    ("ILN", "ILN", 1),
    *(("ILN", f"ILN(gate={gate},regroup=none)", 1) for gate in ("sigmoid", "clip", "softmax")),
    *(("ILN", text, 1) for text in ("LN", "GN-4")),
    *(("Group Normalization", text, 32) for text in ("GN-32", "BN", "LN", "IN")),
    ("Batch Renormalization", "BRN", 4),
    ("Switchable Norm", "SN", 2),
)
#: (paper, norms over the network's depth, each in an equal share of the slots).
DEPTH: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Switchable Norm, in words", ("IN", "BN", "LN")),
    ("Switchable Norm, in figures", ("LN", "BN", "BN", "LN")),
)


def initial_trials(search: SearchConfig, space: AnySpace) -> list[Known]:
    """Return the configurations to train before the sampler's, each once.

    Raises:
        ConfigError: one of `search.points` is outside the space.
    """
    found: list[Known] = []
    if search.baselines:
        found = [
            ({**norms, **space.defaults}, {"baseline": text})
            for text, norms in space.single_norms.items()
        ]
    for point in search.points:
        params = space.parameters(point)
        if all(params != known for known, _ in found):
            found.append((params, {"source": point.source}))
    return found


def paper_points(space: Space) -> list[Point]:
    """Return the published settings that lie in the space, as norm maps on its slots.

    The paper's batch size is used if the space has it. A slot with too few channels for the
    paper's group count gets IN, one channel a group.
    """
    batch_sizes = space.config.batch_size
    found = []
    for paper, text, batch in PAPERS:
        norm = {slot.name: _fitting(text, slot) for slot in space.slots}
        batch_size = batch if batch_sizes.allows(batch) else None
        source = f"papers: {paper}, {text}, batch {batch_size or batch_sizes.middle}"
        found.append(Point(norm=norm, batch_size=batch_size, source=source))
    for paper, texts in DEPTH:
        share = len(space.slots) / len(texts)
        norm = {slot.name: texts[int(i / share)] for i, slot in enumerate(space.slots)}
        found.append(Point(norm=norm, source=f"papers: {paper}, {', '.join(texts)}"))
    return [point for point in found if fits(space, point) is None]


def warm_start_points(
    space: Space, name: str, configurations: Iterable[tuple[int, dict[str, str], dict[str, Any]]]
) -> tuple[list[Point], list[str]]:
    """Return the configurations of another run that fit the space, and why others do not.

    Each slot's norm must be in the space; other values outside the space become its default.

    Args:
        space: of the new study.
        name: the other run's.
        configurations: (trial number, norm map, values) of its trials.
    """
    points, reasons = [], []
    for number, norm_map, values in configurations:
        kept = {
            name: values[name]
            for name in HYPERPARAMETERS
            if values.get(name) is not None
            and name in space.values
            and space.values[name].allows(values[name])
        }
        source = f"warm_start: {name} trial {number}"
        point = Point(norm=norm_map, source=source, **kept)
        reason = fits(space, point)
        if reason is None:
            points.append(point)
        else:
            reasons.append(reason)
    return points, reasons


def fits(space: AnySpace, point: Point) -> str | None:
    """Return None if `point` lies in the space, else the reason as a sentence."""
    try:
        space.parameters(point)
    except ConfigError as error:
        return str(error)
    return None


def _fitting(text: str, slot: NormSlot) -> str:
    return text if NormSpec.parse(text).feasible(slot.channels) else "IN"
