"""What is printed at the end of a run."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_trtcheck.model.report import RunReport, RunVerdict, StackRow
from pytest_trtcheck.report.columns import Column, display_width, fit, shorten, shorten_middle
from pytest_trtcheck.report.terminal import MAX_LISTED, render_terminal
from tests.golden.sample import HOSTILE, sample_report

FILES = [Path("/out/report.json"), Path("/out/report.md")]


def printed(report: RunReport, width: int = 120, verbosity: int = 0, color: bool = False) -> list[str]:
    return render_terminal(report, width=width, color=color, verbosity=verbosity, files=FILES)


def plain_report() -> RunReport:
    """Return the sample without its hostile entries, whose words are longer than a line."""
    report = sample_report()
    return replace(
        report,
        table=tuple(row for row in report.table if row.component != "nccl"),
        findings=report.findings[:5],
        results=report.results[:5],
        verdict_reasons=report.verdict_reasons[:2],
        not_looked_at=report.not_looked_at[:2],
    )


def test_files_come_last_and_the_verdict_right_before_them() -> None:
    lines = printed(sample_report())
    assert lines[-1] == "reports: /out/ (report.json, report.md)"
    assert lines[-2] == "verdict: REJECTED: TRC-DRV-001-torch: The driver is older than the CUDA runtime in torch needs"


def test_files_of_several_folders_are_told_in_full() -> None:
    files = [Path("/a/report.json"), Path("/b/report.md")]
    lines = render_terminal(sample_report(), width=80, color=False, files=files)
    assert lines[-1] == "reports: /a/report.json, /b/report.md"


def test_without_files_the_verdict_is_last() -> None:
    assert render_terminal(sample_report(), width=80, color=False)[-1].startswith("verdict: REJECTED")


@pytest.mark.parametrize("width", [72, 80, 100, 120, 200])
def test_lines_fit_the_terminal_but_for_what_is_there_to_be_copied(width: int) -> None:
    lines = printed(plain_report(), width)
    too_wide = [line for line in lines if display_width(line) > width]
    assert all("/" in line or "cuda-drivers-580" in line for line in too_wide)
    table = lines[: lines.index("")]
    assert max(map(display_width, table)) <= width


def test_path_longer_than_a_line_is_not_broken() -> None:
    path = "/opt" + "/folder" * 20
    finding = replace(sample_report().findings[0], found=f"one copy in {path}")
    assert any(line.endswith(path) for line in printed(replace(plain_report(), findings=(finding,)), 80))


def test_wide_terminal_shows_paths_whole_and_a_narrow_one_their_end() -> None:
    wide = printed(sample_report(), 300)
    assert wide[4].endswith("/usr/lib/python3.10/site-packages/nvidia/cudnn/lib/libcudnn.so.9")
    narrow = printed(sample_report(), 80)
    assert re.search(r"/usr/….*cudnn\.so\.9$", narrow[4])


def test_absent_components_share_one_line() -> None:
    lines = printed(sample_report())
    assert "not found: TensorRT-LLM, vLLM, FlashAttention" in lines
    assert any(line.startswith("Triton server  absent ") for line in lines)


def test_verbose_run_shows_absent_rows_compatible_findings_and_sources() -> None:
    lines = printed(sample_report(), verbosity=1)
    assert any(line.startswith("vLLM ") for line in lines)
    assert not any(line.startswith("not found:") for line in lines)
    assert "  TRC-SMC-001-torch  torch has code for this GPU: sm_90" in lines
    source = "      source    CUDA 13.0 release notes, table 3 (row cuda-13.0-driver, read 2026-11-18, stated)"
    assert source in lines
    assert source not in printed(sample_report())


def test_quiet_run_shows_incompatible_findings_and_the_verdict_only() -> None:
    lines = printed(plain_report(), verbosity=-1)
    assert lines[0] == "incompatible (2)"
    assert lines[-1].startswith("verdict: REJECTED: ")
    text = "\n".join(lines)
    assert text.count("TRC-") == 3
    for word in ("component", "unknown", "warning", "checks", "not looked at", "reports"):
        assert word not in text


def test_quiet_run_with_nothing_to_tell_is_one_line() -> None:
    report = replace(plain_report(), findings=(), verdict=RunVerdict.ACCEPTED, verdict_reasons=("5 checks passed",))
    assert printed(report, verbosity=-1) == ["verdict: ACCEPTED: 5 checks passed"]


def test_finding_shows_reason_and_remedy() -> None:
    lines = printed(sample_report())
    start = lines.index("  TRC-DRV-001-torch  The driver is older than the CUDA runtime in torch needs")
    assert lines[start + 1 : start + 7] == [
        "      found     550.54.14 (/proc/driver/nvidia/version)",
        "      expected  driver >=580.65.06 for CUDA 13.0",
        "      at fault  NVIDIA driver",
        "      detail    No forward compatibility package is in use, and minor-version compatibility ends at a major.",
        "      remedy    apt-get install --only-upgrade cuda-drivers-580",
        "                or take a torch built for CUDA 12.6",
    ]


def test_single_short_reason_is_told_once() -> None:
    report = replace(plain_report(), verdict_reasons=("only this",))
    assert sum("only this" in line for line in printed(report)) == 1


def test_long_reason_is_shortened_in_the_verdict_and_told_in_full_above() -> None:
    reason = "word " * 40 + "end"
    lines = printed(replace(plain_report(), verdict_reasons=(reason,)), 80)
    assert display_width(lines[-2]) == 80
    assert lines[-2].endswith("…")
    assert any(line.endswith("word end") for line in lines)


def test_colours_change_nothing_but_colour() -> None:
    plain = printed(sample_report())
    coloured = printed(sample_report(), color=True)
    assert [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in coloured] == plain
    assert coloured[-2].startswith("\x1b[1;31mverdict: REJECTED")
    assert all(line.count("\x1b[") == 2 * line.count("\x1b[0m") for line in coloured)


@pytest.mark.parametrize(
    ("verdict", "code"), [(RunVerdict.ACCEPTED, 32), (RunVerdict.REJECTED, 31), (RunVerdict.INCONCLUSIVE, 33)]
)
def test_verdict_has_its_colour(verdict: RunVerdict, code: int) -> None:
    line = printed(replace(plain_report(), verdict=verdict), color=True)[-2]
    assert line.startswith(f"\x1b[1;{code}mverdict: {verdict.value.upper()}")


def test_hostile_text_moves_no_cursor_and_adds_no_line() -> None:
    lines = printed(sample_report())
    assert all(line.isprintable() for line in lines)
    assert any("<U+202E>" in line for line in lines)


def test_long_lists_are_cut_with_their_count() -> None:
    report = replace(plain_report(), not_looked_at=tuple(f"thing {number}" for number in range(MAX_LISTED + 4)))
    lines = printed(report)
    assert "  … and 4 more in the written report" in lines
    assert f"  - thing {MAX_LISTED}" not in lines


def test_run_without_checks_says_so() -> None:
    lines = printed(replace(plain_report(), results=()))
    assert lines[lines.index("checks") + 1] == "  none was planned"


def test_failed_check_without_a_message_is_listed_too() -> None:
    result = replace(sample_report().results[-1], message=" ")
    assert "  failed: unfamiliar  without a message" in printed(replace(plain_report(), results=(result,)))


def test_many_findings_are_cut_with_their_count() -> None:
    finding = sample_report().findings[0]
    lines = printed(replace(plain_report(), findings=(finding,) * (MAX_LISTED + 2)))
    assert f"incompatible ({MAX_LISTED + 2})" in lines
    assert "  … and 2 more in the written report" in lines


def test_not_run_is_told_beside_passed() -> None:
    lines = printed(sample_report(), 200)
    assert "  attention: 2 passed, 1 failed, 2 error, 2 waived, 12 not run" in lines
    assert any(line.startswith("  not run: a component is missing (1), no GPU (1), ") for line in lines)


def test_very_narrow_terminal_still_gets_every_component() -> None:
    row = StackRow("cudnn", "9.24", f"/{HOSTILE}", HOSTILE, "unknown")
    lines = printed(replace(plain_report(), table=(row,)), 10)
    assert lines[1].startswith("cuDNN")
    assert "unknown" in lines[1]


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("中文", 4), ("e\u0301", 1), ("", 0)])
def test_display_width_counts_columns(text: str, width: int) -> None:
    assert display_width(text) == width


@pytest.mark.parametrize("width", range(3, 12))
@pytest.mark.parametrize("text", ["/usr/lib/libcudnn.so.9", "中文中文中文中文", "short"])
def test_shortened_text_fits_and_keeps_its_ends(text: str, width: int) -> None:
    if display_width(text) <= width:
        assert shorten(text, width) == shorten_middle(text, width) == text
        return
    assert width - 1 <= display_width(shorten(text, width)) <= width
    assert width - 2 <= display_width(shorten_middle(text, width)) <= width
    head, tail = shorten_middle(text, width).split("…")
    assert text.startswith(head)
    assert text.endswith(tail)


def test_widest_column_gives_way_first() -> None:
    columns = (Column("a", 2), Column("b", 4))
    lines = fit(columns, [["xxxx", "y" * 20]], 12)
    assert lines == [["a   ", "b     "], ["xxxx", "yyyyy…"]]
