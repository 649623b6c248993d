"""The report: one file, no request, everything escaped, everything there."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
import yaml
from matplotlib.figure import Figure

from normsearch import analysis
from normsearch.analysis import FIGURES, StudyLike, reading, render_all, report
from normsearch.analysis.report import contents, write_report
from tests.analysis.fake_study import FakeStudy, fake_study, tiny

VOID = {"meta", "img", "br", "link", "input", "hr"}

Row = dict[str, object]


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
        self.text += " " * (tag in ("td", "th"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.tags if tag == name]


def drawn_report(study: FakeStudy, path: Path | None = None) -> tuple[Path, list[str]]:
    """Write the report with its figures, once; return its path and the kinds of figures."""
    kinds: list[str] = []

    def render(study: StudyLike) -> dict[str, Figure]:
        figures = render_all(study)
        kinds.extend(figures)
        return figures

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("normsearch.analysis.report.render_all", render)
        return write_report(study, path), kinds


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The report of a study, and the kinds of figures in it."""
    folder = tmp_path_factory.mktemp("run")
    path, kinds = drawn_report(fake_study(folder=folder))
    assert path == folder / "report" / "report.html"
    return path, kinds


@pytest.fixture(scope="module")
def html(written: tuple[Path, list[str]]) -> str:
    assert written[0].stat().st_size < 5_000_000
    return written[0].read_text(encoding="utf-8")


def test_the_page_asks_for_nothing(html: str) -> None:
    assert html.startswith("<!DOCTYPE html>")
    for _, attrs in Page(html).tags:
        for key in ("src", "href", "action", "srcset", "data", "poster"):
            assert re.match("data:|#", attrs.get(key) or "data:")
    bare = html.replace('xmlns="http://www.w3.org/2000/svg"', "")  # a name, not an address
    assert not re.search(r"url\(|@import|<script|https?://", bare)
    assert "default-src 'none'" in html


def test_every_figure_is_there_with_a_caption(html: str, written: tuple[Path, list[str]]) -> None:
    page = Page(html)
    shown = written[1]
    assert shown == [kind for kind in FIGURES if kind in shown]
    assert {"layer_preference", "sn_weights", "search_history", "cooccurrence"} <= set(shown)
    assert not {"batch_size", "sn_by_depth", "paper_iln", "examples"} & set(shown)
    assert [attrs["id"] for attrs in page.all("figure")] == shown
    for kind in shown:
        assert all(text in page.text and len(text) > 15 for text in reading(kind))
    assert len(page.all("figcaption")) == len(shown)
    assert all(attrs["alt"] for attrs in page.all("img"))


def page_of(study: FakeStudy, path: Path) -> Page:
    """The page without the figures, which take seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("normsearch.analysis.report.render_all", lambda study: {})
        return Page(write_report(study, path).read_text(encoding="utf-8"))


def text_of(study: FakeStudy, path: Path) -> str:
    """The page's words."""
    return " ".join(page_of(study, path).text.split())


def test_the_summary_and_the_caution(html: str) -> None:
    study = fake_study()
    table = study.trials()
    text = " ".join(Page(html).text.split())
    done = table[table["state"] == "COMPLETE"]
    best = done.loc[done["score"].idxmax()]
    single = done.loc[done["score"].where(done["baseline"].notna()).idxmax()]
    assert f"The study holds 40 trials: {len(done)} complete" in text
    assert (
        f"On validation the best mixture of norms found scored {best['score']:.4f} "
        f"({setting(best)}) and the single norm with the best validation Dice, "
        f"{single['baseline']} at its own best setting ({setting(single)}), "
        f"{single['score']:.4f}: a difference of {best['score'] - single['score']:+.4f}. This "
        "shows no advantage of either"
    ) in text
    assert "Only a confirmation can tell: normsearch confirm fake." in text
    assert "best single norm" not in text
    assert f"learning rate {best['learning_rate']:.3g} and batch size {best['batch_size']}" in text
    assert "so the score is optimistic, and more so the more trials there were" in text
    assert "test subjects that the search never saw" in text
    assert "normsearch confirm fake" in text
    assert "normsearch run study.yaml" in text
    assert "torch 2.13.0" in text


def setting(row: pd.Series) -> str:
    """How a trial's setting is shown."""
    return f"learning rate {row['learning_rate']:.3g}, batch size {row['batch_size']}"


MIXTURE: Row = {"score": 0.7, "norm.a.norm": "IN", "norm.b.norm": "LN"}
FOUND: Row = {"score": 0.9, "norm.a.norm": "IN", "norm.b.norm": "IN"}
SINGLE: Row = {"score": 0.8, "baseline": "LN", "norm.a.norm": "LN", "norm.b.norm": "LN"}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            [MIXTURE, SINGLE],
            "scored 0.7000 (learning rate 0.001, batch size 2) and the single norm with the best "
            "validation Dice, LN at its own best setting (learning rate 0.001, batch size 2), "
            "0.8000: a difference of −0.1000. This shows no advantage of either",
        ),
        ([MIXTURE, {**SINGLE, "score": 0.7}], "a difference of +0.0000. This shows no advantage"),
        (
            [SINGLE],
            "The single norm with the best validation Dice is LN in every layer, 0.8000 at its own "
            "best setting (learning rate 0.001, batch size 2). No mixture of norms is complete",
        ),
        (
            [MIXTURE, SINGLE, FOUND],  # the search came upon one norm everywhere by itself
            "IN at its own best setting (learning rate 0.001, batch size 2), 0.9000: a difference",
        ),
        ([MIXTURE], "batch size 2). No single-norm network is complete, so there is nothing to"),
        ([{"state": "PRUNED"}], "No trial is complete yet, so there is no result to show."),
    ],
    ids=["worse", "equal", "single only", "found", "mixture only", "nothing"],
)
def test_the_first_sentence(rows: list[Row], said: str, tmp_path: Path) -> None:
    assert said in text_of(tiny(rows, ["a.norm", "b.norm"]), tmp_path / "r.html")


@pytest.mark.parametrize(
    ("score", "said"),
    [(0.6, "+0.1000, in favour of the single norm"), (0.9, "−0.2000, in favour of the mixture")],
)
def test_where_lower_is_better_the_better_one_is_named(
    score: float, said: str, tmp_path: Path
) -> None:
    study = tiny([MIXTURE, {**SINGLE, "score": score}], ["a.norm", "b.norm"])
    study.direction = "minimize"
    text = text_of(study, tmp_path / "r.html")
    assert f"a difference of {said}. This shows no advantage of either" in text
    assert "1 complete trial of mixtures competes with 1 of single norms" in text


def test_the_metric_has_the_name_that_the_study_gives_it(tmp_path: Path) -> None:
    text = text_of(fake_study(12, metric="accuracy"), tmp_path / "report.html")
    assert "difference in validation accuracy" in text
    assert "Trial Validation accuracy Learning rate" in text
    assert "Dice" not in text


def test_tables(html: str) -> None:
    bodies = re.findall(r"<tbody>(.*?)</tbody>", html, re.S)
    assert [body.count("<tr>") for body in bodies] == [10, 7 + 3]


def test_each_single_norm_stands_at_its_best_setting_with_the_trials_spent_on_it(
    tmp_path: Path,
) -> None:
    again = {"score": 0.85, "single_norm": "LN", "learning_rate": 0.02, "batch_size": 4}
    again |= {"steps": 25, "norm.a.norm": "LN", "norm.b.norm": "LN"}
    lost: Row = {"state": "FAIL", "single_norm": "BN", "norm.a.norm": "BN", "norm.b.norm": "BN"}
    text = text_of(tiny([SINGLE, again, MIXTURE, lost], ["a.norm", "b.norm"]), tmp_path / "r.html")
    assert "LN at its own best setting (learning rate 0.02, batch size 4), 0.8500" in text
    assert "LN 1 complete 0.8500 0.02 4 25 2 " in text
    assert "BN 3 failed – " in text
    assert "mixture 1 2 complete 0.7000 0.001 2 50 " in text


def test_a_number_at_the_end_of_its_range_is_said_with_a_wider_one(tmp_path: Path) -> None:
    space = {"learning_rate": {"low": 1e-4, "high": 1e-3}, "batch_size": {"choices": [1, 2]}}
    config = {"training": {"samples": 100}, "space": space}
    study = tiny([SINGLE, MIXTURE], ["a.norm", "b.norm"], config=config)
    text = text_of(study, tmp_path / "r.html")
    assert "Mixture (trial 1): The learning rate 0.001 lies at the upper end of its range" in text
    assert "LN (trial 0): The batch size 2 is the largest in the space (1, 2)" in text


def test_light_dark_phone_and_print(html: str) -> None:
    assert "prefers-color-scheme: dark" in html
    assert 'name="viewport"' in html
    assert "@media print" in html


def test_hostile_words_are_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = {kind: FIGURES[kind] for kind in ("search_history", "cooccurrence")}
    monkeypatch.setattr(analysis, "FIGURES", some)  # all of them take seconds
    evil = "<script>alert('x')</script>\"><img src=http://evil.example>"
    study = fake_study(12, name=evil, config={"training": {"samples": 20000}, evil: evil,
                                               "versions": {evil: evil}})  # fmt: skip
    study.table.loc[study.table["baseline"] == "BN", "baseline"] = evil
    path, kinds = drawn_report(study, tmp_path / "r.html")
    page = Page(path.read_text(encoding="utf-8"))
    assert page.all("script") == []
    assert len(page.all("img")) == len(kinds) == len(some)
    assert page.text.count(evil) >= 4


def test_a_study_without_trials_still_gives_a_page(tmp_path: Path) -> None:
    text = text_of(FakeStudy(pd.DataFrame(), ["a.norm"], name="void"), tmp_path / "a.html")
    assert "The study holds 0 trials." in text
    assert "do not allow a figure yet" in text


def test_a_score_that_is_not_final_is_said_to_be_so(tmp_path: Path) -> None:
    pruned = {"state": "PRUNED", "last_score": 0.65, "baseline": "IN", "norm.a.norm": "IN"}
    assert "last 0.6500" in text_of(
        tiny([SINGLE, pruned], ["a.norm", "b.norm"]), tmp_path / "r.html"
    )


def test_numbers_that_a_record_leaves_out_are_dashes(tmp_path: Path) -> None:
    study = fake_study(12)
    study.table.loc[study.table["state"] != "COMPLETE", "score"] = None
    unknown = ["learning_rate", "batch_size", "samples", "seconds", "peak_memory_bytes"]
    study.table = study.table.astype({**dict.fromkeys(unknown, object), "score": object})
    study.table[unknown] = None
    path, kinds = drawn_report(study, tmp_path / "r.html")
    page = Page(path.read_text(encoding="utf-8"))
    assert page.text.count("–") >= 5
    assert [attrs["id"] for attrs in page.all("figure")] == kinds
    assert "layer_preference" in kinds


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes nearly all of a report's time."""
    monkeypatch.setattr(report, "_figures", lambda study, prefix="": [])


@pytest.mark.usefixtures("no_figures")
def test_the_files_that_repeat_the_study_and_its_best_trial(tmp_path: Path) -> None:
    config = {"training": {"samples": 20000}, "task": {"data": Path("lv")}, "fingerprint": "0a1b"}
    study = fake_study(12, config=config, folder=tmp_path)
    assert [file["name"] for file in contents(study)["files"]] == ["study.yaml"]
    trial = tmp_path / "trials" / f"{study.best:04d}" / "trial.json"
    trial.parent.mkdir(parents=True)
    trial.write_text('{"number": "é"}', encoding="utf-8")
    page = page_of(study, tmp_path / "report.html")
    links = {a["download"]: a["href"] or "" for a in page.all("a") if "download" in a}
    files = {name: base64.b64decode(link.split(",")[1]) for name, link in links.items()}
    assert yaml.safe_load(files["study.yaml"]) == {**config, "task": {"data": "lv"}}
    assert files["trial.json"] == trial.read_bytes()
    assert "normsearch train trial.json" in page.text
    assert "Fingerprint of the data: 0a1b" in page.text


@pytest.mark.usefixtures("no_figures")
def test_scores_of_fewer_cases_are_told_apart(tmp_path: Path) -> None:
    study = fake_study(folder=tmp_path)
    assert "before the last evaluation" not in contents(study)["about"]
    study.config["task"] = {**study.config.get("task", {}), "validation_cases": 4}
    told = "scores before the last evaluation, as of pruned trials, are of 4 cases"
    assert told in contents(study)["about"]
