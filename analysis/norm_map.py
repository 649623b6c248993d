"""The norm map of a trial, drawn on the network's shape as SVG.

A network whose slots are named as those of our U-Nets (enc1 ... bottom ... dec1) is drawn as a U,
any other one as rows of cells in order of depth. Colours of text and lines are the page's own
(``currentColor``), so that a drawing inside a page reads in light and in dark.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from normsearch.analysis import StudyLike, open_study
from normsearch.analysis.palette import norm_colour, slot_label, text_colour
from normsearch.errors import NormsearchError, StudyError, visible
from normsearch.files import write_text

COLUMNS = ["slot", "depth", "norm", "side", "level", "part"]

#: Sizes in the drawing's own units: pixels on a phone 390 wide, larger on a larger screen.
WIDTH, CELL, HEIGHT, GAP = 358.0, 122.0, 33.0, 26.0

_PLACE = re.compile(r"^(?:(?P<side>enc|dec)(?P<level>\d+)|(?P<bottom>bottom))\.(?P<part>.+)$")


def compute(study: StudyLike, number: int | None = None) -> pd.DataFrame:
    """List the slots of one trial with their norms and their places in the network.

    Args:
        study: a study record.
        number: the trial; the best one if None.

    Returns:
        One row a slot, in order of depth, with columns slot, depth (0-based), norm (spec), side
        ("enc", "bottom", "dec", or "" for all of a network that is no U-Net), level (1 is the
        image's own resolution, each further one half of it; 0 outside a U-Net) and part (the
        slot's name within its block).

    Raises:
        StudyError: no trial is complete and none was named.
    """
    number = study.best if number is None else number
    if number is None:
        raise StudyError(f"{study.name}: a norm map needs a COMPLETE trial.")
    chosen = study.norm_map(number)
    slots = [slot for slot in study.slots if slot in chosen]
    places = [_PLACE.match(slot_label(slot)) for slot in slots]
    deepest = max((int(place["level"] or 0) for place in places if place), default=0)
    is_u = bool(slots) and all(places) and any(place and place["bottom"] for place in places)
    rows = []
    for depth, (slot, place) in enumerate(zip(slots, places, strict=True)):
        side, level, part = "", 0, slot_label(slot)
        if is_u and place:
            side, part = place["side"] or "bottom", place["part"]
            level = int(place["level"] or deepest + 1)
        rows.append((slot, depth, chosen[slot], side, level, part))
    return pd.DataFrame(rows, columns=COLUMNS)


def draw(df: pd.DataFrame) -> str:
    """Return what `compute` returned as one SVG element, a U or rows of three cells."""
    rows = df.to_dict("records")
    svg = ElementTree.Element(
        "svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img", "fill": "currentColor"}
    )
    svg.set("aria-label", "; ".join(f"{row['slot']}: {row['norm']}" for row in rows))
    svg.set("font-family", "inherit")
    bottom = _draw_u(svg, rows) if all(row["level"] for row in rows) else _draw_rows(svg, rows)
    svg.set("viewBox", f"0 0 {WIDTH:g} {bottom:g}")
    return ElementTree.tostring(svg, encoding="unicode")


def _draw_rows(svg: ElementTree.Element, rows: list[dict[Any, Any]]) -> float:
    """Cells from left to right and from top to bottom; returns the height."""
    columns, gap = 3, 4.0
    wide = (WIDTH - gap * (columns - 1)) / columns
    for place, row in enumerate(rows):
        x, y = (place % columns) * (wide + gap), (place // columns) * (HEIGHT + gap)
        _cell(svg, x, y, wide, row["norm"], f"{place + 1} · {row['part']}")
    return -(-len(rows) // columns) * (HEIGHT + gap) - gap


def _draw_u(svg: ElementTree.Element, rows: list[dict[Any, Any]]) -> float:
    """Encoder down the left, decoder up the right, the bottom between; returns the height."""
    deepest = max(row["level"] for row in rows)
    indent = min(18.0, (WIDTH / 2 - CELL - 12) / max(deepest - 2, 1))  # blocks stay apart
    top = 0.0
    for level in range(1, deepest + 1):
        sides = {
            side: [row for row in rows if (row["level"], row["side"]) == (level, side)]
            for side in ("enc", "bottom", "dec")
        }
        end = top + HEIGHT * max(map(len, sides.values()))
        left = (level - 1) * indent
        right = WIDTH - CELL - left
        for place, row in enumerate(sides["enc"] + sides["bottom"]):
            wide = CELL if sides["enc"] else WIDTH - 2 * left
            _cell(svg, left, top + HEIGHT * place, wide, row["norm"], slot_label(row["slot"]))
        for place, row in enumerate(sides["dec"], 1):  # upwards, in the direction of the data
            _cell(svg, right, end - HEIGHT * place, CELL, row["norm"], slot_label(row["slot"]))
        if level < deepest:
            _skip(svg, left + CELL, right, top + HEIGHT, level)
            _arrow(svg, left + CELL - 22, top + HEIGHT * len(sides["enc"]), end + GAP)
            _arrow(svg, right + 22, end + GAP, end)
        top = end + GAP
    return top - GAP


def _cell(svg: ElementTree.Element, x: float, y: float, wide: float, norm: str, label: str) -> None:
    """One slot: a box in its norm's colour, its name small above the norm's."""
    colour = norm_colour(norm)
    group = ElementTree.SubElement(svg, "g", {"transform": f"translate({x:g} {y:g})"})
    ElementTree.SubElement(group, "title").text = f"{label}: {norm}"
    box = {"x": "1", "y": "1", "width": f"{wide - 2:g}", "height": f"{HEIGHT - 2:g}", "rx": "4"}
    ElementTree.SubElement(group, "rect", {**box, "fill": colour, "stroke": "#00000055"})
    for text, size, line, weight in ((label, 9.5, 12, "400"), (norm, 12.5, 26.5, "600")):
        where = {"x": "8", "y": f"{line:g}", "font-size": f"{size:g}", "font-weight": weight}
        if len(text) * size * 0.6 > wide - 14:  # too long: compressed into the box
            where |= {"textLength": f"{wide - 14:g}", "lengthAdjust": "spacingAndGlyphs"}
        written = ElementTree.SubElement(group, "text", {**where, "fill": text_colour(colour)})
        written.text = text


def _skip(svg: ElementTree.Element, left: float, right: float, y: float, level: int) -> None:
    """The skip connection of one level, named by its resolution."""
    line = {"x1": f"{left:g}", "x2": f"{right:g}", "y1": f"{y:g}", "y2": f"{y:g}"}
    look = {"stroke": "currentColor", "stroke-dasharray": "3 3", "opacity": "0.5"}
    ElementTree.SubElement(svg, "line", {**line, **look})
    where = {"x": f"{(left + right) / 2:g}", "y": f"{y - 5:g}", "text-anchor": "middle"}
    written = ElementTree.SubElement(svg, "text", {**where, "font-size": "9.5"})
    written.text = "full resolution" if level == 1 else f"1/{2 ** (level - 1)}"


def _arrow(svg: ElementTree.Element, x: float, start: float, end: float) -> None:
    """A vertical arrow: down to a lower resolution, or up from it."""
    tip = end - 5 if end > start else end + 5
    path = f"M{x:g} {start:g}V{tip:g}M{x - 4:g} {tip:g}L{x:g} {end:g}L{x + 4:g} {tip:g}Z"
    ElementTree.SubElement(svg, "path", {"d": path, "stroke": "currentColor", "opacity": "0.7"})


def main(argv: Sequence[str] | None = None) -> int:
    """Draw the norm map of a study's best trial: ``STUDY [-o FILE.svg] [--trial N]``."""
    parser = argparse.ArgumentParser(description="Draw the norm map of a trial on its network.")
    parser.add_argument("study", help="name or folder of the study")
    parser.add_argument("-o", "--output", type=Path, help="an .svg file")
    parser.add_argument("--trial", type=int, help="number of the trial (default: the best)")
    options = parser.parse_args(argv)
    try:
        study = open_study(options.study)
        path = options.output or study.folder / "report" / "norm_map.svg"
        drawing = draw(compute(study, options.trial))
    except NormsearchError as error:
        print(visible(str(error)), file=sys.stderr)
        return 1
    write_text(path, drawing)
    print(visible(str(path)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
