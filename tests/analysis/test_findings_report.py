"""The page of evidence: offline, whole, escaped, numbers as they are."""

from __future__ import annotations

import base64
import math
import re
from typing import Any

import pytest

from normsearch.analysis.contrasts import COLOURS
from normsearch.analysis.findings_report import ADVICE, findings_page
from tests.analysis.test_report import Page

SHARE = {
    "name": "BN's share per doubling", "estimate": 0.0601, "low": 0.0552, "high": 0.065,
    "claim": "above", "margin": None, "unit": "", "published": 0.114, "ratio": False,
}  # fmt: skip
TIME = {
    "name": "seconds over IN's", "estimate": math.log(1.25), "low": math.log(1.2),
    "high": math.log(1.3), "claim": "within", "margin": math.log(1.1), "unit": "times",
    "published": math.log(1.05), "ratio": True,
}  # fmt: skip
PNG = b"\x89PNG a picture"


def result(finding: str = "P1", **more: Any) -> dict[str, Any]:
    """A result as `normsearch reproduce` records it."""
    return {
        "finding": finding, "text": "BN's share falls.", "scale": "toy", "verdict": "reproduced",
        "told": "Direction reproduced at this scale.", "paper": ".59, .53, .40", "metric": "slope",
        "plan": "0.06 is found in 99% of studies", "contrasts": [SHARE], "trainings": 35,
        "seeds": 7, "cases": 180, "flags": [], "advice": "Below 8 samples, take GN.",
        "source": "Luo et al.", "notes": "Small.", "sha256": "abc123", "experiment": "switchable",
        "date": "2026-11-26T20:30:00+00:00", **more,
    }  # fmt: skip


def text_of(html: str) -> str:
    return " ".join(Page(html).text.split())


def test_the_page_asks_for_nothing_and_escapes_everything() -> None:
    bad = result(text="<script>alert(1)</script>", notes='"><img src=http://x>')
    html = findings_page([bad], {("P1", "toy"): PNG})
    assert html.startswith("<!DOCTYPE html>")
    assert "<script" not in html
    for _, attrs in Page(html).tags:
        for key in ("src", "href", "action", "srcset"):
            assert re.match("data:|#", attrs.get(key) or "data:")
    assert "default-src 'none'" in html
    assert not re.search(r"url\(|@import", html)


def test_a_statement_stands_with_the_papers_numbers_and_ours() -> None:
    text = text_of(findings_page([result(contrasts=[SHARE, TIME])], {}))
    assert "P1. BN's share falls." in text
    assert "BN's share per doubling above 0 0.114 0.0601 [0.0552, 0.0650]" in text
    assert "seconds over IN's 0.909 to 1.1 times 1.05 times 1.250 [1.200, 1.300] times" in text
    assert "In the paper: .59, .53, .40" in text
    assert "If you choose a norm today: Below 8 samples, take GN." in text
    assert "35 trainings, 7 seeds, 180 cases, at toy scale." in text
    assert "Planned so that 0.06 is found in 99% of studies." in text
    assert "registered as abc123, judged 2026-11-26." in text
    assert "normsearch reproduce P1 --scale toy" in text


def test_the_table_leads_to_each_statement() -> None:
    results = [result(), result("P2", verdict="contradicted"), result("G1", source="Wu and He")]
    page = Page(findings_page(results, {}))
    links = [attrs["href"] for attrs in page.all("a")]
    assert links == ["#finding-1", "#finding-2", "#finding-3"]
    assert {f"#{attrs['id']}" for attrs in page.all("article")} == set(links)
    text = " ".join(page.text.split())
    assert "Of 3 published statements 2 are reproduced, 1 is contradicted." in text
    assert "A result at toy scale is one of direction" in text


def test_a_source_is_named_once_in_the_order_given() -> None:
    results = [result(source="Wu and He"), result("G1"), result("P2", source="Wu and He")]
    html = findings_page(results, {})
    assert re.findall("<h2>(.*?)</h2>", html) == ["Wu and He", "Luo et al."]
    assert re.findall(r"<h3>(\w+)\.", html) == ["P1", "P2", "G1"]


def test_pictures_are_those_given() -> None:
    page = Page(findings_page([result(), result(scale="small")], {("P1", "small"): PNG}))
    (image,) = page.all("img")
    source = image["src"] or ""
    assert base64.b64decode(source.removeprefix("data:image/png;base64,")) == PNG


@pytest.mark.parametrize("verdict", COLOURS)
def test_without_advice_the_verdict_itself_says_what_it_means(verdict: str) -> None:
    text = text_of(findings_page([result(advice="", verdict=verdict)], {}))
    assert f"If you choose a norm today: {ADVICE[verdict]}" in text


def test_what_is_unknown_is_a_dash() -> None:
    bare = {**SHARE, "low": None, "high": None, "published": None}
    flags = ["2 trainings diverged"]
    one = result(contrasts=[bare], trainings=0, seeds=0, cases=0, flags=flags, scale="paper")
    text = text_of(findings_page([one], {}))
    assert "BN's share per doubling above 0 – 0.060 " in text
    assert "A measurement, no training, at paper scale." in text
    assert "2 trainings diverged" in text
    assert "one of direction" not in text


def test_nothing_is_a_page_too() -> None:
    assert "No statement has a result yet: normsearch reproduce P1" in text_of(
        findings_page([], {})
    )
