"""The report: one file, no request, everything escaped, everything there."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
import yaml

from analysis import FIGURES, reading
from analysis.report import contents, write_report
from tests.analysis.fake_study import SLOTS, FakeStudy, fake_study, tiny

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Collects tags and text; refuses tags that do not close."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.tags if tag == name]


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("run")
    path = write_report(fake_study(folder=folder))
    assert path == folder / "report" / "report.html"
    assert path.stat().st_size < 5_000_000
    return path.read_text(encoding="utf-8")


def test_the_page_asks_for_nothing(html: str) -> None:
    assert html.startswith("<!DOCTYPE html>")
    for _, attrs in Page(html).tags:
        for key in ("src", "href", "action", "srcset", "data", "poster"):
            assert (attrs.get(key) or "data:").startswith("data:")
    assert not re.search(r"url\(|@import|<script|https?://", html)
    assert "default-src 'none'" in html


def test_every_figure_is_there_with_a_caption(html: str) -> None:
    page = Page(html)
    assert [attrs["id"] for attrs in page.all("figure")] == list(FIGURES)
    for kind in FIGURES:
        assert all(text in page.text and len(text) > 15 for text in reading(kind))
    assert len(page.all("figcaption")) == len(FIGURES)
    assert all(attrs["alt"] for attrs in page.all("img"))


def test_the_summary_and_the_caution(html: str) -> None:
    study = fake_study()
    table = study.trials()
    text = " ".join(Page(html).text.split())
    done = table[table["state"] == "COMPLETE"]
    best = done.loc[done["score"].idxmax()]
    single = done[done["baseline"].notna()]["score"].max()
    assert f"The study holds 40 trials: {len(done)} complete" in text
    assert f"a validation Dice of {best['score']:.4f}" in text
    assert f"learning rate {best['learning_rate']:.3g} and batch size {best['batch_size']}" in text
    assert f"reached {single:.4f}: {best['score'] - single:.4f} less" in text
    assert "The winner of many trials is partly lucky" in text
    assert "test subjects that the search never saw" in text
    assert "normsearch run study.yaml" in text
    assert "torch 2.13.0" in text


def test_the_metric_has_the_name_that_the_study_gives_it(tmp_path: Path) -> None:
    page = write_report(fake_study(metric="accuracy"), tmp_path / "report.html").read_text()
    assert "best validation accuracy, trial" in page
    assert '<th class="n">Last accuracy</th>' in page
    assert "Dice" not in page


def test_the_norm_map_in_order_of_depth(html: str) -> None:
    study = fake_study()
    assert study.best is not None
    norms = study.norm_map(study.best)
    pairs = re.findall(r"<small>\d+ · ([^<]+)</small><b>([^<]+)</b>", html)
    assert pairs == [(slot.removesuffix(".norm"), norms[slot]) for slot in SLOTS]


def test_tables(html: str) -> None:
    bodies = re.findall(r"<tbody>(.*?)</tbody>", html, re.S)
    assert [body.count("<tr>") for body in bodies] == [10, 7]


def test_light_dark_phone_and_print(html: str) -> None:
    assert "prefers-color-scheme: dark" in html
    assert 'name="viewport"' in html
    assert "@media print" in html


def test_hostile_words_are_escaped(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>\"><img src=http://evil.example>"
    study = fake_study(12, name=evil, config={"training": {"samples": 20000}, evil: evil,
                                               "versions": {evil: evil}})  # fmt: skip
    study.table.loc[study.table["baseline"] == "BN", "baseline"] = evil
    page = Page(write_report(study, tmp_path / "r.html").read_text(encoding="utf-8"))
    assert page.all("script") == []
    assert len(page.all("img")) == len(FIGURES)
    assert page.text.count(evil) >= 4


def test_a_study_without_trials_or_with_baselines_only_still_gives_a_page(tmp_path: Path) -> None:
    empty = FakeStudy(pd.DataFrame(), ["a.norm"], name="void")
    page = Page(write_report(empty, tmp_path / "a.html").read_text(encoding="utf-8"))
    assert "No trial is complete yet" in page.text
    assert "do not allow a figure yet" in page.text
    rows = [{"score": 0.7, "baseline": "IN", "norm.a.norm": "IN"}, {"state": "PRUNED"}]
    page = Page(write_report(tiny(rows, ["a.norm"]), tmp_path / "b.html").read_text("utf-8"))
    assert "No mixture of norms beat it" in page.text


def test_numbers_that_a_record_leaves_out_are_dashes(tmp_path: Path) -> None:
    study = fake_study(12)
    study.table.loc[study.table["state"] != "COMPLETE", "score"] = None
    unknown = ["learning_rate", "batch_size", "samples", "seconds", "peak_memory_bytes"]
    study.table = study.table.astype({**dict.fromkeys(unknown, object), "score": object})
    study.table[unknown] = None
    page = Page(write_report(study, tmp_path / "r.html").read_text(encoding="utf-8"))
    assert page.text.count("–") >= 5
    assert len(page.all("figure")) == len(FIGURES)


def test_the_yaml_is_the_resolved_study() -> None:
    study = fake_study(12, config={"training": {"samples": 20000}, "task": {"root": Path("data")}})
    assert yaml.safe_load(contents(study)["yaml"]) == {
        "training": {"samples": 20000},
        "task": {"root": "data"},
    }
