"""docs/norm-costs.md has every norm of the registry, and a reason where one costs more."""

from __future__ import annotations

import re

from normsearch.norms import NORMS, NormSpec
from tests.benchmarks import norm_costs
from tests.benchmarks.each_norm import UNTIMED, specs
from tests.benchmarks.norm_speed import SHAPES

TEXT = norm_costs.PAGE.read_text(encoding="utf-8")
ROWS = {
    row[0].strip("`"): row[1:]
    for line in TEXT.splitlines()
    if line.startswith("| `")
    for row in [[cell.strip() for cell in line.strip("|").split("|")]]
}


def test_every_kind_of_norm_is_timed() -> None:
    assert {NormSpec.parse(text).kind for text in specs()} == set(NORMS) - set(UNTIMED)


def test_the_page_has_a_row_for_every_norm_and_a_cell_for_every_shape() -> None:
    assert list(ROWS) == specs()
    assert {len(cells) for cells in ROWS.values()} == {len(SHAPES) + 3}


def test_what_costs_more_has_a_reason_and_the_rest_has_none() -> None:
    medians = {text: float(cells[len(SHAPES)]) for text, cells in ROWS.items()}
    costly = {text for text, median in medians.items() if median > norm_costs.LIMIT}
    assert costly <= set(norm_costs.REASONS)
    assert {line for line in TEXT.splitlines() if line.startswith("- `")} == {
        f"- `{text}`: {norm_costs.REASONS[text]}." for text in costly
    }


def test_the_page_is_what_the_command_writes() -> None:
    rows = {
        text: ([float(cell) for cell in cells[: len(SHAPES)]], float(cells[-2]))
        for text, cells in ROWS.items()
    }
    reference = float(re.search(r"GroupNorm's is ([\d.]+)\.", TEXT)[1])  # type: ignore[index]
    table = [line for line in norm_costs.page(rows, reference).splitlines() if line.startswith("|")]
    assert table == [line for line in TEXT.splitlines() if line.startswith("|")]
