"""Which GPU code runs where: minors of one major, suffixes a and f, PTX, Jetson boards."""

from __future__ import annotations

import pytest

from pytest_trtcheck.binaries.running import JETSON, How, architecture_of, parse_code, runs
from pytest_trtcheck.rules.load import load_matrix
from pytest_trtcheck.verdict import spans

MATRIX = load_matrix()


@pytest.mark.parametrize(
    ("codes", "capability", "how", "by"),
    [
        ("sm_80 sm_86", "8.9", How.NATIVE, "sm_86"),
        ("sm_89", "8.6", How.NONE, ""),
        ("sm_80", "9.0", How.NONE, ""),
        ("sm_90a", "9.0", How.NATIVE, "sm_90a"),
        ("sm_90a", "10.0", How.NONE, ""),
        ("sm_100a", "10.3", How.NONE, ""),
        ("sm_100f", "10.3", How.NATIVE, "sm_100f"),
        ("sm_103f", "10.0", How.NONE, ""),
        ("sm_100f", "12.0", How.NONE, ""),
        ("sm_120f", "12.1", How.NATIVE, "sm_120f"),
        ("sm_100?", "10.0", How.NATIVE, "sm_100?"),
        ("sm_100?", "10.3", How.OPEN, "sm_100?"),
        ("compute_80:8.0 sm_80", "9.0", How.JIT, "compute_80:8.0"),
        ("compute_70:7.0 compute_80:8.0", "8.9", How.JIT, "compute_80:8.0"),
        ("compute_90:8.0", "8.9", How.NONE, ""),
        ("compute_90a:8.0", "9.0", How.JIT, "compute_90a:8.0"),
        ("compute_90a:8.0", "10.0", How.NONE, ""),
        ("compute_100f:8.8", "10.3", How.JIT, "compute_100f:8.8"),
        ("compute_100f:8.8", "12.0", How.NONE, ""),
        ("lto_90", "9.0", How.NONE, ""),
        ("sm_80", "8.7", How.NONE, ""),
        ("sm_87", "8.7", How.NATIVE, "sm_87"),
        ("sm_87", "8.9", How.NONE, ""),
        ("compute_80:8.0", "8.7", How.JIT, "compute_80:8.0"),
        ("sm_100f", "10.1", How.NONE, ""),
        ("sm_101", "11.0", How.OPEN, "sm_101"),
        ("sm_110", "11.0", How.NATIVE, "sm_110"),
        ("compute_101:8.7", "11.0", How.JIT, "compute_101:8.7"),
        ("compute_101a:8.7", "11.0", How.OPEN, "compute_101a:8.7"),
    ],
)
def test_rules(codes: str, capability: str, how: How, by: str) -> None:
    parsed = [code for code in map(parse_code, codes.split()) if code]
    assert len(parsed) == len(codes.split())
    answer = runs(parsed, architecture_of(capability))
    assert (answer.how, answer.code.text if answer.code else "") == (how, by)


def test_jetson_boards_are_those_of_the_matrix() -> None:
    rows = MATRIX.rows("sm")
    assert {architecture_of(row.version) for row in rows if row.value("gpu_classes") == ("jetson",)} == JETSON


def test_no_driver_is_asked_for_that_came_after_the_cuda_release() -> None:
    known = {row.value("cuda"): row for row in MATRIX.rows("ptx")}
    held = 0
    for toolkit in MATRIX.rows("cuda_toolkit"):
        own = toolkit.value("driver_bundled")
        row = known.get(".".join(toolkit.version.split(".")[:2]))
        if own and row:
            held += 1
            assert spans.within(str(own), str(row.value("min_driver"))), (toolkit.id, row.id)
    assert held >= 20
