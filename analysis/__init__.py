"""Figures and reports of a study, computed from its record without Ray and torch.

Each module has `compute(study) -> DataFrame` and `draw(df, ax)`, and for each kind of figure one
function `(study) -> Figure` named in `FIGURES` and, in `READING`, its title and how to read it. A
new figure is one file and one line there.
"""

from __future__ import annotations

import argparse
import importlib
import io
import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import pandas as pd
from matplotlib.figure import Figure

from normsearch.errors import NormsearchError, StudyError, did_you_mean, visible
from normsearch.files import write_bytes

#: Kind of figure -> "module:function"; the function takes a study and returns a matplotlib figure.
FIGURES: dict[str, str] = {
    "layer_preference": "normsearch.analysis.layer_preference:figure",
    "layer_effect": "normsearch.analysis.layer_effect:figure",
    "sn_weights": "normsearch.analysis.sn_weights:figure",
    "search_history": "normsearch.analysis.search_history:figure",
    "importance": "normsearch.analysis.importance:figure",
    "cooccurrence": "normsearch.analysis.cooccurrence:figure",
    "pareto": "normsearch.analysis.pareto:figure",
    "seam": "normsearch.analysis.seam:figure",
    "training_curves": "normsearch.analysis.training_curves:figure",
    "batch_size": "normsearch.analysis.batch_size:figure",
    "group_count": "normsearch.analysis.group_count:figure",
    "sn_by_depth": "normsearch.analysis.sn_by_depth:figure",
    "sn_by_batch": "normsearch.analysis.sn_by_batch:figure",
    "gates": "normsearch.analysis.gates:figure",
    "paper_spine": "normsearch.analysis.paper_spine:figure",
    "paper_iln": "normsearch.analysis.paper_iln:figure",
    "critical_difference": "normsearch.analysis.critical_difference:figure",
    "augmentation": "normsearch.analysis.augmentation:figure",
    "examples": "normsearch.analysis.examples:figure",
}

#: What `save` can write.
SUFFIXES = (".png", ".svg", ".pdf")

_NO_XML = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")


class StudyLike(Protocol):
    """The study record that figures need (`normsearch.load_study` returns one)."""

    @property
    def name(self) -> str:
        """The study's name."""

    @property
    def folder(self) -> Path:
        """The run's folder."""

    @property
    def metric(self) -> str:
        """The name of the score, such as ``Dice``."""

    @property
    def case_metric(self) -> str:
        """The name of the score of a case."""

    @property
    def of_class(self) -> int | None:
        """The only class that is scored, or None."""

    @property
    def direction(self) -> str:
        """``maximize``, or ``minimize`` if a lower score is better."""

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the largest possible score, infinite where there is none."""

    @property
    def slots(self) -> Sequence[str]:
        """Names of the norm slots in order of depth."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The resolved study."""

    @property
    def best(self) -> int | None:
        """Number of the best COMPLETE trial."""

    def ranked(self) -> list[int]:
        """Numbers of the COMPLETE trials that may be the best, the best first."""

    def raced(self) -> bool:
        """Whether a race has finished a round, so that it decides on their order."""

    def trials(self) -> pd.DataFrame:
        """One row a trial, with a column ``norm.<slot>`` for every slot."""

    def history(self) -> pd.DataFrame:
        """One row for each evaluation point of each trial."""

    def norm_map(self, number: int) -> Mapping[str, str]:
        """Slot -> norm spec of one trial."""

    def learnt(self, number: int) -> Mapping[str, Mapping[str, Mapping[str, float]]]:
        """Slot -> statistic -> branch -> weight that an adaptive norm has learnt."""

    def learnt_history(self, number: int) -> pd.DataFrame:
        """What adaptive norms had learnt at each evaluation point of one trial."""

    def cases(self) -> pd.DataFrame:
        """One row for each case of each COMPLETE trial."""


def check_kind(kind: str, known: Collection[str]) -> None:
    """Raise StudyError if `kind` is not among the known kinds of figure."""
    if not isinstance(kind, str) or (kind not in known and ":" not in kind):
        raise StudyError(
            f"plot kind must be one of {', '.join(known)}, got {kind!r}."
            f"{did_you_mean(str(kind), known)}"
        )


def render(kind: str, study: StudyLike) -> Figure:
    """Draw one kind of figure: of `FIGURES`, or ``module:name``, a function of a study record.

    Raises:
        StudyError: the kind is unknown, or the study's data do not allow this figure.
    """
    check_kind(kind, FIGURES)
    if ":" in kind:
        return _users_figure(kind, study)
    # Before the axes are created, as a theme does not change existing ones.
    importlib.import_module("normsearch.analysis.palette").style()
    module, function = FIGURES[kind].split(":")
    make = cast(Callable[[StudyLike], Figure], getattr(importlib.import_module(module), function))
    return make(study)


def _users_figure(text: str, study: StudyLike) -> Figure:
    from normsearch.networks.importing import load, users_code

    make = load(text, "plot")
    with users_code(f"plot: {text} must accept the record of a study, and raises"):
        figure = make(study) if callable(make) else make
    if not isinstance(figure, Figure):
        raise StudyError(
            f"plot: {text} must return a matplotlib.figure.Figure, got {type(figure).__name__}."
        )
    return figure


def reading(kind: str) -> tuple[str, str]:
    """Return the title of a kind of figure and how to read it, from its module's READING."""
    module = importlib.import_module(FIGURES[kind].partition(":")[0])
    found: tuple[str, str] = module.READING[kind]
    return found


def available(study: StudyLike) -> list[str]:
    """Return the kinds of figure that this study's data allow, in the order of `FIGURES`."""
    return list(render_all(study))


def render_all(study: StudyLike) -> dict[str, Figure]:
    """Draw every figure that this study's data allow, by kind."""
    figures = {}
    for kind in FIGURES:
        try:
            figures[kind] = render(kind, study)
        except StudyError:  # the data do not allow this figure
            continue
    return figures


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as .png (150 dpi), .svg or .pdf, by the path's suffix; return the path.

    Raises:
        StudyError: the suffix is none of these.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise StudyError(
            f"{path}: a figure's file must end in one of {', '.join(SUFFIXES)}, "
            f"got '{path.suffix}'.{did_you_mean(suffix, SUFFIXES) if suffix else ''}"
        )
    write_bytes(path, drawn(figure, suffix))
    return path


def drawn(figure: Figure, suffix: str) -> bytes:
    """Return a figure as .png (150 dpi), .svg or .pdf; the same figure, the same bytes."""
    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    buffer = io.BytesIO()
    figure.savefig(buffer, format=suffix[1:], dpi=150, metadata=undated.get(suffix))
    if suffix != ".svg":
        return buffer.getvalue()
    return _NO_XML.sub(b"?", buffer.getvalue())  # matplotlib writes names as XML comments


def open_study(name_or_folder: str | Path) -> StudyLike:
    """Open the record of a study; see `normsearch.load_study`."""
    return cast(StudyLike, importlib.import_module("normsearch").load_study(name_or_folder))


def command(kind: str, argv: Sequence[str] | None = None) -> int:
    """Draw one figure from the command line, ``STUDY [-o FILE]``; return an exit code."""
    parser = argparse.ArgumentParser(description=f"Draw the figure {kind} of a study.")
    parser.add_argument("study", help="name or folder of the study")
    parser.add_argument("-o", "--output", type=Path, help="a .png, .svg or .pdf file")
    options = parser.parse_args(argv)
    try:
        study = open_study(options.study)
        path = options.output or study.folder / "report" / f"{kind}.png"
        print(visible(str(save(render(kind, study), path))))
    except NormsearchError as error:
        print(visible(str(error)), file=sys.stderr)
        return 1
    return 0
