"""The page in a real browser: it opens fast, complains of nothing, reads light and dark, wide and narrow, and works."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_trtcheck.comparison.build import Builder
from pytest_trtcheck.comparison.sheet import sheet_of
from pytest_trtcheck.model.compatibility import Compatibility
from pytest_trtcheck.report.changes import render_difference_html
from pytest_trtcheck.report.html import render_html
from pytest_trtcheck.report.html.matrix import render_matrix_html
from tests.browser import CHROMIUM, Browser
from tests.golden.sample import sample_difference, sample_report
from tests.unit.test_report_html import large_report

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")

SHOWN = "document.querySelectorAll('#all tbody:not([hidden]) > tr:not([hidden])').length"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("chromium")) as started:
        yield started


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the golden report, large ones, a compatibility matrix and a difference."""
    folder = tmp_path_factory.mktemp("pages")
    for name, report in (("golden", sample_report()), ("large", large_report(2000)), ("huge", large_report(5000))):
        (folder / f"{name}.html").write_text(render_html(report), encoding="utf-8")
    (folder / "matrix.html").write_text(render_matrix_html(large_matrix()), encoding="utf-8")
    (folder / "diff.html").write_text(render_difference_html(sample_difference()), encoding="utf-8")
    return folder


def large_matrix() -> Compatibility:
    """Return a matrix of thirty stacks by 400 checks."""
    builder = Builder()
    base = large_report(400)
    for number in range(30):
        stack = replace(base.stack, facts={"driver": replace(base.stack.facts["driver"], value=f"580.{number}")})
        builder.add(sheet_of(replace(base, stack=stack, seconds=number), f"run-{number}"))
    return builder.build()


@pytest.mark.parametrize(
    ("name", "width", "dark"),
    [
        *(("golden", width, dark) for width in (1280, 420) for dark in (False, True)),
        *(("large", 1280, False), ("large", 420, True), ("matrix", 1280, False), ("matrix", 420, True)),
        ("diff", 1280, True),
    ],
)
def test_page_opens_without_complaint_and_fits(
    browser: Browser, pages: Path, tmp_path: Path, name: str, width: int, dark: bool
) -> None:
    browser.complaints.clear()
    browser.look(width=width, dark=dark)
    browser.open(pages / f"{name}.html")
    picture = browser.screenshot(tmp_path / f"{name}-{width}.png")
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000, "the picture shows nothing"
    assert (browser.complaints, browser.requests) == ([], [])
    overflow = browser.run("document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0, f"the page is {overflow} pixels wider than the window"
    luminance = browser.run("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]")
    assert (luminance < 60) is dark


def test_colours_are_told_apart_by_more_than_hue(browser: Browser, pages: Path) -> None:
    """Every state has a sign beside its colour, and every text stands out against its ground."""
    for dark in (False, True):
        browser.look(dark=dark)
        browser.open(pages / "golden.html")
        unsigned = browser.run("[...document.querySelectorAll('.state')].filter(s => !s.querySelector('.sign')).length")
        assert unsigned == 0
        assert browser.run(CONTRAST) >= 4.5


CONTRAST = """(() => {
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = (rgb) => rgb.slice(0, 3).map(v => linear(v / 255))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const rgb = numbers(getComputedStyle(at).backgroundColor);
      if (rgb.length === 3 || rgb[3] > 0) return rgb;
    }
    return [255, 255, 255];
  };
  const ratios = [...document.querySelectorAll('.state, .key, .note, .verdict, dt, td, th, code, a, small, .tiles b')]
    .filter(node => node.textContent.trim() && node.getClientRects().length)
    .map(node => [light(numbers(getComputedStyle(node).color)), light(ground(node))])
    .map(([a, b]) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
  return Math.min(...ratios);
})()"""


def test_large_page_opens_at_once(browser: Browser, pages: Path) -> None:
    """A second is the aim on a machine that does nothing else; this one may do much else."""
    browser.look()
    browser.open(pages / "golden.html")
    assert browser.open(pages / "huge.html") < 5
    assert browser.run(SHOWN) == 200


def test_search_and_filters_find_what_is_hidden_at_first(browser: Browser, pages: Path) -> None:
    browser.look()
    browser.open(pages / "huge.html")
    assert browser.run("document.getElementById('shown').textContent") == "200 of 5000 checks shown"

    def search(words: str) -> None:
        browser.run(
            f"(() => {{ const box = document.getElementById('search'); box.value = {json.dumps(words)};"
            "box.dispatchEvent(new Event('input')); return new Promise(done => setTimeout(done, 250)) })()"
        )

    search("kv4321")
    assert browser.run(SHOWN) == 1
    search("PROVIDER_4 failed")
    assert browser.run("document.getElementById('shown').textContent") == "166 checks shown, of 5000 in all"
    search("nothing like this")
    assert browser.run("document.getElementById('shown').textContent") == "0 checks shown, of 5000 in all"
    search("")
    browser.run("document.querySelector('[name=outcome][value=passed]').click()")
    assert browser.run("document.getElementById('shown').textContent") == "200 of 1000 checks shown, of 5000 in all"
    browser.run("document.getElementById('more').click()")
    assert browser.run(SHOWN) == 400
    browser.run("(() => { const s = document.getElementById('provider'); s.value = 'provider_1';"
                "s.dispatchEvent(new Event('change', {bubbles: true})) })()")  # fmt: skip
    assert 0 < browser.run(SHOWN) <= 200
    browser.run("document.querySelector('#controls [type=reset]').click()")
    browser.run("new Promise(done => setTimeout(done, 100))")
    assert browser.run("document.getElementById('shown').textContent") == "200 of 5000 checks shown"
    assert browser.complaints == []


def test_columns_sort_by_number_and_by_text(browser: Browser, pages: Path) -> None:
    browser.look()
    browser.open(pages / "large.html")
    column = "[...document.querySelectorAll('#all tbody > tr')].map(r => Number(r.cells[4].dataset.s))"
    browser.run("document.querySelectorAll('#all th button')[4].click()")
    times = browser.run(column)
    assert times == sorted(times)
    assert len(times) == 2000
    browser.run("document.querySelectorAll('#all th button')[4].click()")
    assert browser.run(column) == sorted(times, reverse=True)
    assert browser.run("document.querySelectorAll('#all th')[4].getAttribute('aria-sort')") == "descending"


def test_page_can_be_used_with_the_keyboard(browser: Browser, pages: Path) -> None:
    browser.look()
    browser.open(pages / "large.html")
    browser.press("/", "/")
    assert browser.run("document.activeElement.id") == "search"
    assert browser.run("document.getElementById('search').value") == ""
    focusable = "document.querySelectorAll('a[href], button, input, select, summary, [tabindex=\"0\"]').length"
    assert browser.run(focusable) > 30
    scrollers = "[...document.querySelectorAll('.scroll')].every(box => box.tabIndex === 0)"
    assert browser.run(scrollers)


def test_theme_can_be_turned_round(browser: Browser, pages: Path) -> None:
    browser.look(dark=True)
    browser.open(pages / "golden.html")
    browser.run("document.getElementById('theme').click()")
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_page_prints_on_white_without_its_controls(browser: Browser, pages: Path) -> None:
    browser.look(dark=True, media="print")
    browser.open(pages / "golden.html")
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.run("getComputedStyle(document.getElementById('controls')).display") == "none"
    assert browser.run("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert browser.pdf().startswith(b"%PDF")


def test_without_a_script_every_check_can_be_read(browser: Browser, pages: Path) -> None:
    browser.look()
    browser.ask("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.load(pages / "large.html")
    finally:
        browser.ask("Emulation.setScriptExecutionDisabled", value=False)
    visible = "[...document.querySelectorAll('#all tbody')].filter(b => getComputedStyle(b).display !== 'none').length"
    assert browser.run(visible) == 10
    assert browser.run("getComputedStyle(document.getElementById('controls')).display") == "none"


def test_script_of_a_report_would_not_run(browser: Browser, tmp_path: Path) -> None:
    """Should text ever become markup, the page's policy still refuses to run it."""
    path = tmp_path / "broken.html"
    text = render_html(replace(sample_report(), verdict_reasons=("MARK",)))
    path.write_text(text.replace("MARK", "<script>document.title = 'owned'</script><img src=x onerror='alert(1)'>"))
    browser.complaints.clear()
    browser.look()
    browser.open(path)
    assert browser.run("document.title").startswith("trtcheck: ")
    assert any("Content Security Policy" in words for words in browser.complaints)
    browser.complaints.clear()
    browser.requests.clear()
