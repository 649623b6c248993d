"""docs/norms.md lists every norm, and every spec it shows is one."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path

import pytest

from normsearch.norms import NORMS, NormSpec

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "norms.md").read_text(encoding="utf-8")


def first_cells(heading: str) -> list[str]:
    """The specs in the first column of the table that stands under a text."""
    lines = PAGE[PAGE.index(heading) :].splitlines()
    rows = [line.split("|")[1] for line in takewhile(lambda line: line.startswith("|"), lines)]
    return [spec for row in rows for spec in re.findall("`([^`]+)`", row)]


@pytest.mark.parametrize("heading", ["| spec | formula", "| norm | batch 1, many pixels"])
def test_every_kind_has_a_row(heading: str) -> None:
    listed = [NormSpec.parse(text).kind for text in first_cells(heading)]
    assert set(listed) == set(NORMS)


def test_the_table_of_formulas_has_one_row_of_each_kind() -> None:
    assert len(first_cells("| spec | formula")) == len(NORMS)


def test_the_readme_links_to_the_page() -> None:
    assert "(docs/norms.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
