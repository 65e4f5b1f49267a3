"""Inference: every type there and back, by HTTP as JSON and as bytes, by gRPC; cache and sequences."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pytest_trtcheck._suites.serving.checking import Check, Measured, NotRun, expect
from pytest_trtcheck._suites.serving.metrics import parse_metrics
from pytest_trtcheck._suites.serving.tensors import NOT_IN_JSON, Tensor, tensor
from pytest_trtcheck.model.report import Reason

if TYPE_CHECKING:
    from pytest_trtcheck._suites.serving.bench import Bench

VALUES: dict[str, list[Any]] = {
    "BOOL": [True, False, True],
    "UINT8": [0, 1, 255],
    "UINT16": [0, 1, 65535],
    "UINT32": [0, 1, 2**32 - 1],
    "UINT64": [0, 1, 2**64 - 1],
    "INT8": [-128, 0, 127],
    "INT16": [-32768, 0, 32767],
    "INT32": [-(2**31), 0, 2**31 - 1],
    "INT64": [-(2**63), 0, 2**63 - 1],
    "FP16": [-65504.0, 0.0, 6e-8, 1.5],
    "FP32": [-3.4028234663852886e38, 0.0, 1.401298464324817e-45, 0.5],
    "FP64": [-1.7976931348623157e308, 0.0, 5e-324, 0.1],
    "BYTES": [b"plain", b"", "zwölf € 日本".encode(), b'"quotes" \\ and \n breaks', b"x" * 5000],
}
"""The ends of each type, and strings that are easily broken on their way."""
RAW_STRINGS = [b"\x00\xff\xfe", bytes(range(256))]
"""Strings that are no text: they travel as bytes only."""
NO_NUMBERS = [math.inf, -math.inf]

Infer = Callable[[Sequence[Tensor]], dict[str, Tensor]]


def http_json(bench: Bench) -> Measured:
    """Every type that JSON can carry comes back as it was sent."""
    _echoes(lambda tensors: bench.http().infer("echo", tensors), [kind for kind in VALUES if kind not in NOT_IN_JSON])
    return ()


def http_binary(bench: Bench) -> Measured:
    """Every type comes back as it was sent, as raw bytes by HTTP."""
    infer: Infer = lambda tensors: bench.http().infer("echo", tensors, binary=True)  # noqa: E731
    _echoes(infer, list(VALUES))
    _one(infer, "BYTES", RAW_STRINGS)
    _one(infer, "FP32", NO_NUMBERS)
    return ()


def grpc(bench: Bench) -> Measured:
    """Every type comes back as it was sent, by gRPC."""
    client = bench.grpc()
    infer: Infer = lambda tensors: client.infer("echo", tensors)  # noqa: E731
    _echoes(infer, list(VALUES))
    _one(infer, "BYTES", RAW_STRINGS)
    _one(infer, "FP32", NO_NUMBERS)
    return ()


def _echoes(infer: Infer, kinds: Sequence[str]) -> None:
    """Send each type alone, then all together, in two rows each."""
    for kind in kinds:
        _one(infer, kind, VALUES[kind])
    sent = [tensor(f"IN_{kind}", kind, VALUES[kind] * 2, (2, len(VALUES[kind]))) for kind in kinds]
    _compare(sent, infer(sent))


def _one(infer: Infer, kind: str, values: Sequence[Any]) -> None:
    sent = [tensor(f"IN_{kind}", kind, values)]
    _compare(sent, infer(sent))


def _compare(sent: Sequence[Tensor], found: dict[str, Tensor]) -> None:
    for given in sent:
        name = given.name.replace("IN_", "OUT_")
        expect(name in found, f"{given.datatype} of shape {list(given.shape)}: no output {name} in the answer")
        back = found[name]
        expect(back.datatype == given.datatype, f"{name}: expected {given.datatype}, found {back.datatype}")
        expect(back.shape == given.shape, f"{name}: expected shape {list(given.shape)}, found {list(back.shape)}")
        expected = given.values
        if given.datatype == "FP16":
            # 6e-8 is not itself one of the type's numbers; the nearest is.
            same = all(abs(a - b) <= 3e-8 for a, b in zip(expected, back.values, strict=True))
        else:
            same = expected == back.values
        expect(same, f"{name}: expected {expected!r:.120}, found {back.values!r:.120}")


def sequences(bench: Bench) -> Measured:
    """Sequences that run side by side keep their own state."""
    http = bench.http()
    numbers = {11: [1, 2, 3, 4], 12: [10, 20, 30, 40], 13: [100, 200, 300, 400]}
    sums = dict.fromkeys(numbers, 0)
    for place in range(4):
        for sequence, given in numbers.items():
            sums[sequence] += given[place]
            parameters = {"sequence_id": sequence, "sequence_start": place == 0, "sequence_end": place == 3}
            answer = http.infer("sequence", [tensor("NUMBER", "INT32", [given[place]])], parameters=parameters)
            found = answer["SUM"].values
            expect(
                found == (sums[sequence],),
                f"sequence {sequence}, request {place + 1}: expected the sum {sums[sequence]}, found {found}",
            )
    return ()


def cache(bench: Bench) -> Measured:
    """The response cache answers a request that was answered before, and no other."""
    if not bench.has_cache:
        raise NotRun(Reason.MISSING_COMPONENT, f"no local response cache in {bench.installation.caches}")
    http = bench.http()
    key = 1000 + bench.seed % 1000
    before = parse_metrics(http.metrics_text()).total("nv_cache_num_hits_per_model", model="cached")
    first, again, other = (
        http.infer("cached", [tensor("KEY", "INT32", [asked])])["COUNT"].values for asked in (key, key, key + 1)
    )
    expect(again == first, f"asked twice for the same: {first} and then {again}: the cache was not used")
    expect(other != first, f"asked for something else, the answer was that of the first: {other}")
    hits = parse_metrics(http.metrics_text()).total("nv_cache_num_hits_per_model", model="cached") - before
    expect(hits == 1, f"nv_cache_num_hits_per_model: expected 1 more, found {hits:g}")
    return ()


CHECKS = (
    Check("http-json", "TRC-SRV-003", http_json),
    Check("http-binary", "TRC-SRV-003", http_binary),
    Check("grpc", "TRC-SRV-004", grpc, grpc=True),
    Check("sequences", "TRC-SRV-009", sequences),
    Check("cache", "TRC-SRV-009", cache),
)
