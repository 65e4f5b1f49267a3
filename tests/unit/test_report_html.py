"""The page as a document: nothing in it runs or is fetched, all sections are there, and it stays small."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from pytest_trtcheck.model.report import (
    Comparison,
    Isolation,
    Measurement,
    Outcome,
    Reason,
    Result,
    RunReport,
    SupportCell,
)
from pytest_trtcheck.report.html import render_html
from pytest_trtcheck.report.html.element import element
from pytest_trtcheck.report.html.parts import linked
from pytest_trtcheck.report.html.plot import Scale, decades, number
from tests.golden.sample import HOSTILE, STARTED, sample_report

VOID = {"meta", "input", "br", "hr"}


class Page(HTMLParser):
    """Collects elements and texts; notes what is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.faults: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def having(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def large_report(count: int) -> RunReport:
    """Return a run of several providers and workers, most of it passed."""
    outcomes = [Outcome.PASSED] * 8 + [Outcome.FAILED, Outcome.NOT_RUN]

    def result(index: int) -> Result:
        outcome = outcomes[index % 10]
        return Result(
            f"TRC-ATT-001-torch_flash-context-causal-packed-8x2-d128-bf16-kv{index}",
            "TRC-ATT-001",
            "attention",
            f"trtcheck/attention/test_attention.py::test_case[{index}]",
            outcome,
            Reason.LEVEL if outcome is Outcome.NOT_RUN else None,
            message=""
            if outcome is Outcome.PASSED
            else "root mean square 0.0234, allowed 0.0132; worst at query 17 " * 2,
            text="captured output\n" * 20 if outcome is Outcome.FAILED else "",
            seconds=0.01 * (index % 90),
            started=f"2026-11-20T10:{index // 60 % 60:02}:{index % 60:02}.000+00:00",
            worker=f"gw{index % 4}",
            provider=f"provider_{index % 6}",
            features=("bf16", "causal", "context", "d128"),
            comparison=Comparison(
                1e-6 * (index + 1), 1e-3 * (1 + index % 7), "root mean square", ("query",), (3,), 1.0, 1.5
            ),
        )

    support = tuple(
        SupportCell("attention", f"provider_{provider}", f"feature_{feature:02}", "works", passed=count)
        for provider in range(6)
        for feature in range(40)
    )
    base = sample_report()
    return replace(base, results=tuple(map(result, range(count))), support=support, findings=base.findings[:2])


@pytest.mark.parametrize("report", [sample_report(), large_report(250)], ids=["golden", "large"])
def test_page_is_well_formed_and_asks_for_nothing(report: RunReport) -> None:
    page = Page(render_html(report))
    assert (page.faults, page.open) == ([], [])
    for tag, attributes in page.elements:
        assert not {"src", "style", "background", "poster", "srcset", "action"} & set(attributes), tag
        assert not [name for name in attributes if name.startswith("on")], tag
        assert tag not in {"link", "img", "iframe", "object", "embed", "base"}
    links = [link["href"] or "" for link in page.having("a")]
    identities = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    assert all(link.startswith("https://") or link.removeprefix("#") in identities for link in links)


def test_policy_lets_in_the_own_style_and_script_by_their_hashes_and_nothing_else() -> None:
    text = render_html(sample_report())
    (policy,) = (
        attributes["content"] or ""
        for attributes in Page(text).having("meta")
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    blocks = re.findall(r"<(?:style|script)>(.*?)</(?:style|script)>", text, re.DOTALL)
    assert len(blocks) == 3
    for content in blocks:
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_hostile_text_is_shown_and_makes_no_element() -> None:
    page = Page(render_html(sample_report()))
    assert len(page.having("script")) == 1
    assert "<script>alert(1)</script>" in " ".join(page.texts)
    assert "<U+202E>ltr" in " ".join(page.texts)


def test_every_section_is_there_with_its_content() -> None:
    text = render_html(sample_report())
    page = Page(text)
    names = [attributes["id"] for attributes in page.having("section")]
    assert names == [
        *("verdict", "stack", "findings", "waived", "difference", "support", "errors", "measured"),
        *("timeline", "slowest", "notrun", "unseen", "checks", "run"),
    ]
    told = "\n".join(page.texts)
    for words in ("Rejected", "driver >=580.65.06", "apt-get install --only-upgrade", "/proc/driver/nvidia/version"):
        assert words in told
    for reason in Reason:
        assert reason.value in told
    for result in sample_report().results[:3]:
        assert result.name in told
    assert "crash: SIGSEGV" in told
    assert "20261120" in told


def test_sections_without_content_are_left_out() -> None:
    bare = replace(
        sample_report(),
        results=(),
        findings=(),
        support=(),
        table=(),
        not_looked_at=(),
        isolation=Isolation(),
        difference=None,
    )
    names = [attributes["id"] for attributes in Page(render_html(bare)).having("section")]
    assert names == ["verdict", "findings", "checks", "run"]


def test_every_check_has_a_row_and_failures_come_first() -> None:
    report = large_report(450)
    page = Page(render_html(report))
    rows = [str(attributes["data-o"]) for attributes in page.having("tr") if "data-o" in attributes]
    assert len(rows) == 450
    assert rows == sorted(rows, key=["failed", "error", "not_run", "passed"].index)
    hidden = [attributes for attributes in page.having("tbody") if "hidden" in attributes]
    assert len(hidden) == 2, "rows beyond the first 200 are not laid out before they are asked for"


@pytest.mark.parametrize(("count", "megabytes"), [(2000, 2.5), (5000, 5)])
def test_page_of_many_checks_stays_small(count: int, megabytes: float) -> None:
    assert len(render_html(large_report(count)).encode()) < megabytes * 1_000_000


def test_checks_on_one_spot_are_one_mark_that_says_how_many() -> None:
    one = Comparison(0.001, 0.01, "root mean square", (), (), 1.0, 1.0)
    results = tuple(
        Result(f"a{index}", "A", "s", "n", Outcome.PASSED, provider="p", comparison=one) for index in range(3000)
    )
    text = render_html(replace(sample_report(), results=results))
    assert text.count('class="ok mark"') == 1
    assert "3000 cases, such as a0: root mean square 0.001, allowed 0.01" in text


@pytest.mark.parametrize(
    "comparison",
    [
        Comparison(None, 0.02, "largest element", ("row",), (3,), 0.5, None),
        Comparison(0.0, 0.0, "largest element", (), (), 0.0, 0.0),
        Comparison(0.0, 1e-3, "largest element", (), (), 0.0, 0.0),
        Comparison(1e300, 1e-300, "largest element", (), (), 0.0, 1e300),
        Comparison(0.5, 0.0, "largest element", (), (), 0.0, 0.5),
    ],
)
def test_extreme_errors_are_drawn_or_left_out(comparison: Comparison) -> None:
    ordinary = Comparison(1e-3, 1e-2, "largest element", (), (), 0.0, 0.0)
    for comparisons in ((comparison,), (ordinary, comparison)):
        results = tuple(
            Result(f"a{index}", "A", "s", "n", Outcome.PASSED, provider="p", comparison=entry)
            for index, entry in enumerate(comparisons)
        )
        text = render_html(replace(sample_report(), results=results))
        assert "nan" not in text.lower().replace("nan or infinity", "")
        assert 'inf"' not in text


@pytest.mark.parametrize("values", [(0.0, 0.0), (-5.0, 5.0), (1e300, -1e300), (1e-300, 1e-300)])
def test_extreme_measurements_are_drawn(values: tuple[float, float]) -> None:
    figures = tuple(Measurement("rate", value, "1/s", "batch size", float(at)) for at, value in enumerate(values))
    result = Result("a", "A", "s", "n", Outcome.PASSED, measurements=figures)
    text = render_html(replace(sample_report(), results=(result,)))
    assert "<polyline" in text
    assert not re.search(r'"[^"]*\b(nan|inf)\b[^"]*"', text)


def test_timeline_marks_hangs_and_tells_of_replaced_workers() -> None:
    def ran(name: str, second: int, outcome: Outcome, message: str, worker: str) -> Result:
        return Result(
            name, "TRC-ATT-001", "attention", "n", outcome, message=message, seconds=10,
            started=f"2026-11-20T10:00:{second:02}+00:00", worker=worker,
        )  # fmt: skip

    results = (
        ran("first", 0, Outcome.PASSED, "", "gw0"),
        ran("stuck", 10, Outcome.ERROR, "hang: killed after 10 s", "gw0"),
        ran("next", 20, Outcome.PASSED, "", "gw1"),
    )
    isolation = Isolation("workers", ("gpu0",), 1, 10, ("gw0 hung in stuck and was replaced by gw1",))
    page = Page(render_html(replace(sample_report(), results=results, isolation=isolation)))
    assert {"gw0", "gw1", "hang", "stuck: hang: killed after 10 s"} <= set(page.texts)
    assert "gw0 hung in stuck and was replaced by gw1" in page.texts
    assert "on workers (gpu0), 1 restart" in page.texts
    # The worker that took over has a lane of its own, in which its check begins where the other one was killed.
    bars = [one for one in page.having("rect") if str(one.get("class", "")).endswith("mark")]
    ends = [float(str(one["x"])) + float(str(one["width"])) for one in bars]
    assert [float(str(bar["x"])) for bar in bars[1:]] == ends[:-1]


def test_times_that_are_none_do_not_end_the_page() -> None:
    odd = [Result(f"a{index}", "A", "s", "n", Outcome.PASSED, started=text, seconds=-1) for index, text in enumerate(
        ("", "yesterday", STARTED, "9999-12-31T23:59:59+00:00", "2026-11-20T10:00:01")
    )]  # fmt: skip
    assert "Timeline" in render_html(replace(sample_report(), results=tuple(odd), started="never"))


def test_element_escapes_texts_and_attributes() -> None:
    assert element("p", "<b>&", title='"<') == '<p title="&quot;&lt;">&lt;b&gt;&amp;</p>'
    assert element("p", element("b", "x"), " <") == "<p><b>x</b> &lt;</p>"
    assert element("input", checked=True, hidden=False, value=None, class_="a") == '<input checked class="a">'
    assert element("p", HOSTILE).count("<") == 2


def test_only_web_addresses_become_links() -> None:
    text = linked("see https://example.org/a?b=1&c. and javascript:alert(1) or file:///etc/passwd")
    assert text.count("<a ") == 1
    assert 'href="https://example.org/a?b=1&amp;c"' in text


def test_scales_give_round_ticks() -> None:
    assert Scale(0, 10, 0, 100).ticks() == [0, 2, 4, 6, 8, 10]
    assert Scale(1e-5, 1, 0, 100, is_log=True).ticks(6) == pytest.approx([1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1])
    assert Scale(3, 3, 0, 100).ticks() == [3]
    assert decades([0.002, 0.3]) == pytest.approx((0.001, 1))
    assert decades([0.01]) == pytest.approx((0.01, 0.1))
    assert [number(value) for value in (0, 0.001, 1e-5, 1e7, 1500, 0.25)] == [
        "0",
        "0.001",
        "1e-5",
        "1e7",
        "1,500",
        "0.25",
    ]
