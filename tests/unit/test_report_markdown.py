"""Markdown: the verdict comes first, nothing is left out, and no text of the report becomes markup."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import groupby

import pytest

from pytest_trtcheck.model.finding import Finding, Severity, Source, Verdict
from pytest_trtcheck.model.report import Outcome, Reason, Result, RunVerdict, StackRow
from pytest_trtcheck.report.markdown import MAX_EXAMPLES, MAX_LISTED, code, escape, render_markdown
from tests.golden.sample import HOSTILE, MEGABYTE, sample_report


def headings(text: str) -> list[str]:
    return [line for line in outside_fences(text) if re.match(r"#{1,2} ", line)]


def outside_fences(text: str) -> list[str]:
    """Return the lines that are no code, by the rule of CommonMark for fences."""
    lines, fence = [], ""
    for line in text.split("\n"):
        run = re.match("`{3,}", line)
        if fence:
            fence = "" if line.strip() == line and re.fullmatch("`*", line) and len(line) >= len(fence) else fence
        elif run:
            fence = run[0]
        else:
            lines.append(line)
    return lines


def test_verdict_comes_first_and_all_sections_follow_in_order() -> None:
    assert headings(render_markdown(sample_report())) == [
        "# ❌ trtcheck: rejected",
        "## Stack",
        "## Incompatible (3)",
        "## Unknown (1)",
        "## Warnings (1)",
        "## Checks",
        "## Waived (2)",
        "## Since the baseline",
        "## attention, by provider",
        "## Measured",
        "## Not run",
        "## Not looked at",
    ]


def test_reasons_of_the_verdict_stand_right_below_it() -> None:
    lines = render_markdown(sample_report()).split("\n")
    assert lines[2] == "- TRC-DRV-001-torch: The driver is older than the CUDA runtime in torch needs"


@pytest.mark.parametrize(("verdict", "sign"), list(zip(RunVerdict, "✅❌❔", strict=True)))
def test_every_verdict_is_told_in_words(verdict: RunVerdict, sign: str) -> None:
    text = render_markdown(replace(sample_report(), verdict=verdict))
    assert text.startswith(f"# {sign} trtcheck: {verdict.value}\n")


def test_run_without_checks_and_findings_says_so() -> None:
    report = replace(
        sample_report(),
        results=(),
        findings=(),
        table=(),
        support=(),
        not_looked_at=(),
        verdict_reasons=(),
        difference=None,
    )
    text = render_markdown(report)
    assert headings(text) == ["# ❌ trtcheck: rejected", "## Checks"]
    assert "No check was planned." in text


def test_finding_shows_everything_a_reader_needs() -> None:
    text = render_markdown(sample_report())
    section = text[text.index("### The driver is older") : text.index("### TensorRT asks")]
    for words in (
        "`TRC-DRV-001-torch`",
        "**Found:** 550.54.14 (/proc/driver/nvidia/version)",
        "**Expected:** driver >=580.65.06 for CUDA 13.0",
        "**At fault:** NVIDIA driver",
        "**Detail:** No forward compatibility package",
        "**Source:** CUDA 13.0 release notes, table 3 (row cuda-13.0-driver, read 2026-11-18, stated)",
        "```\napt-get install --only-upgrade cuda-drivers-580\n",
    ):
        assert words in section


def test_compatible_findings_are_folded_away_with_their_source() -> None:
    text = render_markdown(sample_report())
    folded = text[text.index("<details>") : text.index("</details>\n\n## Checks")]
    assert "Compatible (1)" in folded
    assert "| `TRC-SMC-001-torch` | torch has code for this GPU | sm_90 | sm_90 or PTX below it |" in folded
    assert "row torch-2.13" in folded


def test_not_run_is_counted_by_reason_beside_passed() -> None:
    text = render_markdown(sample_report())
    assert "| `attention` | 2 | 1 | 2 | 2 | 12 |" in text
    for reason in Reason:
        assert re.search(rf"^\| `{reason.value}` \| [^|]+ \| \d+ \| `TRC-", text, re.MULTILINE)


def test_absent_components_share_a_line_unless_something_misses_them() -> None:
    text = render_markdown(sample_report())
    assert "Not found: TensorRT-LLM, vLLM, FlashAttention." in text
    assert "| Triton server | `absent` |" in text


def test_failed_check_without_a_finding_is_listed_and_no_other() -> None:
    text = render_markdown(sample_report())
    assert "- `TRC-ATT-002-fp8_e4m3` failed: largest element no number, allowed 0.02; worst at row 3" in text
    assert "- `TRC-ATT-003-crash` broke off: crash: SIGSEGV" in text
    assert "- `TRC-DRV-001-torch` failed" not in text


def test_footer_identifies_tool_run_and_matrix() -> None:
    footer = render_markdown(sample_report()).rstrip().split("\n")[-1]
    for words in ("pytest-trtcheck 0.1.0", "profile `auto`", "level `quick`", "digest 0a1b2c3d4e5f", "14.5 s"):
        assert words in footer
    assert "overlays: /etc/trtcheck: adds 2 rows" in footer


def test_every_row_of_a_table_has_the_cells_of_its_header() -> None:
    hostile = tuple(StackRow(key, HOSTILE, f"a\\|{HOSTILE}\\", HOSTILE, "unknown") for key in ("nccl", HOSTILE))
    lines = outside_fences(render_markdown(replace(sample_report(), table=hostile)))
    tables = [list(block) for is_row, block in groupby(lines, lambda line: line.startswith("|")) if is_row]
    assert [len(table) for table in tables] == [4, 3, 5, 5, 3, 3, 6, 5, 14]
    for table in tables:
        assert len({line.count("|") for line in table}) == 1


def test_no_tag_but_our_own_is_in_the_text() -> None:
    text = "\n".join(outside_fences(render_markdown(sample_report())))
    without_spans = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", text)
    assert set(re.findall(r"<[^>]*>", without_spans)) <= {
        "<details>",
        "</details>",
        "<summary>",
        "</summary>",
        "<code>",
        "</code>",
    }


@pytest.mark.parametrize(
    ("raw", "escaped"),
    [
        ("cuda_runtime >=12.9", "cuda_runtime >=12.9"),
        ("==9.*", r"==9.\*"),
        ("a|b", "a&#124;b"),
        ("<b>&amp;", "&lt;b>&amp;amp;"),
        ("`x` [l](u)", r"\`x\` \[l\](u)"),
        ("_it_ __b__", r"\_it\_ \_\_b\_\_"),
        ("back\\slash", r"back\\slash"),
        ("two\nlines", "two lines"),
        ("~~gone~~ $x$ # 1", r"\~\~gone\~\~ \$x\$ \# 1"),
    ],
)
def test_escape_leaves_nothing_that_markdown_reads(raw: str, escaped: str) -> None:
    assert escape(raw) == escaped


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        ("- x", r"- \- x"),
        ("+ x", r"- \+ x"),
        ("1. x", r"- 1\. x"),
        ("12) x", r"- 12\) x"),
        ("---", r"- \---"),
        ("> x", r"- \> x"),
        ("12.9.1 x", "- 12.9.1 x"),
    ],
)
def test_entry_of_a_list_opens_no_block_of_its_own(raw: str, line: str) -> None:
    text = render_markdown(replace(sample_report(), not_looked_at=(raw,)))
    assert f"## Not looked at\n\n{line}\n" in text


@pytest.mark.parametrize(
    ("raw", "span"),
    [
        ("", ""),
        ("9.24", "`9.24`"),
        ("a`b", "``a`b``"),
        ("`a``", "``` `a`` ```"),
        ("a|<b>`", r"<code>a&#124;&lt;b>\`</code>"),
        ("x\ny", "`x y`"),
    ],
)
def test_code_cannot_be_closed_from_inside(raw: str, span: str) -> None:
    assert code(raw) == span


def test_remedy_cannot_close_its_fence() -> None:
    finding = replace(sample_report().findings[0], remedy="```\n</details>\n````\n# not a heading")
    text = render_markdown(replace(sample_report(), findings=(finding,)))
    assert "`````\n```\n</details>\n````\n# not a heading\n`````" in text


def test_long_report_stays_far_below_a_mebibyte() -> None:
    source = Source(MEGABYTE, MEGABYTE, MEGABYTE)
    findings = tuple(
        Finding(
            f"TRC-X-{index:03}",
            MEGABYTE,
            Verdict.INCOMPATIBLE,
            Severity.ERROR,
            *(MEGABYTE, ("driver",), MEGABYTE, MEGABYTE, (), source, MEGABYTE, MEGABYTE),
        )
        for index in range(MAX_LISTED + 7)
    )
    results = tuple(
        Result(f"n{index}", "c", "stack", "i", Outcome.NOT_RUN, Reason.NO_GPU) for index in range(MAX_EXAMPLES + 5)
    )
    text = render_markdown(replace(sample_report(), findings=findings, results=results))
    assert len(text.encode()) < 800_000
    assert "… and 7 more in `report.json`." in text
    assert " and 5 more |" in text
