"""The report in a real browser: quiet, complete, alone, legible on a phone, at night, on paper."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from playwright.sync_api import Browser, sync_playwright

from normsearch.analysis import StudyLike, render_all
from normsearch.analysis import drawn as drawn_figure
from normsearch.analysis.contrasts import COLOURS
from normsearch.analysis.findings_report import findings_page
from normsearch.analysis.report import write_report
from tests.analysis.fake_study import tiny
from tests.analysis.recorded_study import confirmed_runs
from tests.analysis.test_findings_report import result

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")

#: Milliseconds: a busy machine must not fail a test.
PATIENCE = 600_000

#: Contrast (WCAG 2.2) of every text with the opaque background behind it; the least comes first.
CONTRAST = """() => {
  const parse = text => {
    const n = text.match(/[\\d.]+/g).map(Number);
    return n.length < 4 ? [...n.slice(0, 3), 1] : n;
  };
  const luminance = c => {
    const [r, g, b] = c.slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    const box = element.tagName === "text" && element.parentElement.querySelector(":scope > rect");
    if (box) return parse(getComputedStyle(box).fill);
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour[3] === 1) return colour;
    }
    return [255, 255, 255, 1];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const ink = parse(element.tagName === "text" ? style.fill : style.color);
    const [low, high] = [luminance(ink), luminance(behind(element))].sort((a, b) => a - b);
    found.push([(high + 0.05) / (low + 0.05), walker.currentNode.data.trim()]);
  }
  return found.sort((a, b) => a[0] - b[0]);
}"""

#: Whatever can be seen and reaches beyond the window, other than inside a box that scrolls.
OVERFLOW = """() => [...document.querySelectorAll("body *")].filter(e =>
  e.checkVisibility() && !e.closest(".scroll, pre")
  && e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 80))"""


def _executable() -> str | None:
    """The browser of NORMSEARCH_CHROMIUM, or the first that is installed."""
    named = os.environ.get("NORMSEARCH_CHROMIUM")
    return named or next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = _executable()
    if path is None:
        pytest.skip(f"no browser: NORMSEARCH_CHROMIUM is not set and none of {BROWSERS} is found")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, timeout=PATIENCE)
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=["confirmed search", "foreign network", "empty"])
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> StudyLike:
    folder = tmp_path_factory.mktemp("runs") / "search"
    if request.param == "confirmed search":
        return confirmed_runs(folder)
    slots = [f"encoder.stages.{n}.0.convs.{m}.all_modules.1" for n in range(8) for m in range(3)]
    norms = {f"norm.{slot}": "ILN(regroup=none)" for slot in slots}
    rows = [{"score": 0.8, **norms}, {"score": 0.7, "baseline": "ILN(regroup=none)", **norms}]
    return tiny(rows if request.param == "foreign network" else [], slots, folder=folder)


@pytest.fixture(scope="module")
def drawn() -> list[str]:
    """The kinds of figures that the report drew, in order."""
    return []


@pytest.fixture(scope="module")
def report(study: StudyLike, drawn: list[str]) -> Path:
    def render(study: StudyLike) -> dict[str, Figure]:
        figures = render_all(study)
        drawn.extend(figures)
        return figures

    drawn.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("normsearch.analysis.report.render_all", render)
        return write_report(study)


class Visit:
    """An open page, and what the browser complained of and asked for meanwhile."""

    def __init__(self, browser: Browser, path: Path, width: int, scheme: str) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 844})
        self.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        self.page.set_default_timeout(PATIENCE)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri(), wait_until="load")
        self.images: list[dict[str, float]] = self.page.evaluate(
            "[...document.images].map(i => ({drawn: i.naturalWidth, shown: i.clientWidth}))"
        )
        self.contrasts: list[tuple[float, str]] = self.page.evaluate(CONTRAST)
        self.beyond: list[str] = self.page.evaluate(OVERFLOW)


@contextmanager
def visit(
    browser: Browser, path: Path, *, width: int = 1280, scheme: str = "light"
) -> Iterator[Visit]:
    """Open a page in a window of this width (pixels) and colour scheme."""
    found = Visit(browser, path, width, scheme)
    yield found
    found.page.close()


def test_the_instruments_find_faults(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        "<body style='color:#999'>pale<div style='width:500px'>wide</div>"
        "<img src=nowhere.png><script>fault()</script>"
    )
    with visit(browser, page, width=390) as bad:
        assert any("fault is not defined" in error for error in bad.errors)
        assert any("nowhere.png" in url for url in bad.requests)
        assert bad.images[0]["drawn"] == 0
        assert bad.contrasts[0] == [pytest.approx(2.85, abs=0.01), "pale"]
        assert "wide" in bad.beyond[0]


def test_it_is_quiet_alone_and_complete(browser: Browser, drawn: list[str], report: Path) -> None:
    assert report.stat().st_size < 5_000_000
    with visit(browser, report) as seen:
        assert seen.errors == []
        assert [url for url in seen.requests if not url.startswith("data:")] == [report.as_uri()]
        kinds = seen.page.locator("figure").evaluate_all("all => all.map(one => one.id)")
        assert sorted(kind.removeprefix("confirm-") for kind in kinds) == sorted(drawn)
        assert len(seen.images) == len(kinds)
        assert all(image["drawn"] > 300 and image["shown"] > 300 for image in seen.images)
        links = seen.page.locator("nav a").evaluate_all("all => all.map(one => one.hash)")
        assert links
        for link in links:
            assert seen.page.locator(f"section{link}").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_can_be_read(browser: Browser, report: Path, width: int, scheme: str) -> None:
    with visit(browser, report, width=width, scheme=scheme) as seen:
        assert len(seen.contrasts) > 10
        assert seen.contrasts[0][0] >= 4.5, seen.contrasts[0]  # WCAG 2.2, level AA
        assert seen.beyond == []
        assert seen.page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_of_findings_is_quiet_and_can_be_read_on_a_phone(
    browser: Browser, tmp_path: Path, scheme: str
) -> None:
    figure = Figure()
    figure.subplots()
    results = [result(f"P{n}", verdict=verdict) for n, verdict in enumerate(COLOURS)]
    page = tmp_path / "findings.html"
    picture = {("P0", "toy"): drawn_figure(figure, ".png")}
    page.write_text(findings_page(results, picture), encoding="utf-8")
    with visit(browser, page, width=390, scheme=scheme) as seen:
        assert seen.errors == []
        assert [url for url in seen.requests if not url.startswith("data:")] == [page.as_uri()]
        assert [image["drawn"] > 300 for image in seen.images] == [True]
        assert seen.contrasts[0][0] >= 4.5, seen.contrasts[0]
        assert seen.beyond == []
        for link in seen.page.locator("td a").evaluate_all("all => all.map(one => one.hash)"):
            assert seen.page.locator(f"article{link}").is_visible()


def test_light_and_dark_differ(browser: Browser, report: Path) -> None:
    shown = []
    for scheme in ("light", "dark"):
        with visit(browser, report, scheme=scheme) as seen:
            shown.append(seen.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert shown == ["rgb(255, 255, 255)", "rgb(20, 23, 27)"]


def test_it_prints(browser: Browser, report: Path) -> None:
    with visit(browser, report, scheme="dark") as seen:
        pdf = seen.page.pdf(format="A4")
        seen.page.emulate_media(media="print")
        paper = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
        hidden = seen.page.locator("nav").is_hidden()
        # 190 mm between the margins of A4, in CSS pixels: nothing is cut off at the right.
        seen.page.set_viewport_size({"width": 718, "height": 1000})
        beyond = seen.page.evaluate(OVERFLOW.replace('e.closest(".scroll, pre")', "false"))
    assert pdf.startswith(b"%PDF-")
    assert len(pdf) > 10_000
    assert paper == "rgb(255, 255, 255)"
    assert hidden
    assert beyond == []
