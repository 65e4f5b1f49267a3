"""Wrong requests: each is refused in words, with a status that says so, and the others are served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck._suites.serving import abuse, repository
from pytest_trtcheck._suites.serving.checking import Check, Measured, Wrong, expect
from pytest_trtcheck._suites.serving.endpoint import Answer, AnswerError, TransportError
from pytest_trtcheck._suites.serving.known import (
    CLIENT_500,
    DIES_OF_DEPTH,
    DIES_OF_SHAPE,
    ERROR_IN_200,
    Known,
    met,
)
from pytest_trtcheck._suites.serving.tensors import tensor
from pytest_trtcheck.model.report import Measurement

if TYPE_CHECKING:
    from pytest_trtcheck._suites.serving.abuse import Abuse
    from pytest_trtcheck._suites.serving.bench import Bench
    from pytest_trtcheck._suites.serving.endpoint import Endpoint
    from pytest_trtcheck._suites.serving.grpc_client import GrpcClient
    from pytest_trtcheck._suites.serving.tensors import Tensor

MOST_TOLD = 3
DEATH_SECONDS = 10.0
ENDING_SECONDS = 2.0
"""What a dying server takes to write its stack."""
GRPC_CLIENT_CODES = ("INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED")


def tensors(bench: Bench) -> Measured:
    """Tensors that are not what the model takes are refused in words, and others are served."""
    return _refused(bench, abuse.tensors())


def documents(bench: Bench) -> Measured:
    """What is no request, deep or broken JSON, is refused in words, and others are served."""
    return _refused(bench, abuse.documents())


def raw_bytes(bench: Bench) -> Measured:
    """Binary requests cut off or with wrong lengths are refused in words, and others are served."""
    return _refused(bench, abuse.raw_bytes())


def unknown(bench: Bench) -> Measured:
    """Models, versions and paths that are not there are refused in words."""
    return _refused(bench, abuse.unknown())


def _refused(bench: Bench, requests: list[Abuse]) -> Measured:
    http = bench.http("trouble")
    wrong, unanswered = list[str](), list[str]()
    for request in requests:
        try:
            words = _judge(bench, request, request.send(http))
        except TransportError as error:
            unanswered.append(request.name)
            words = str(error)
        if words:
            wrong.append(f"{request.name}: {words}")
    if unanswered and bench.server("trouble", replace=False).wait_for_exit(ENDING_SECONDS):
        raise Wrong(f"{unanswered[0]} ended the server")
    serves(http)
    more = f" (and {len(wrong) - MOST_TOLD} more)" if len(wrong) > MOST_TOLD else ""
    expect(not wrong, "; ".join(wrong[:MOST_TOLD]) + more)
    yield Measurement("requests_refused", len(requests), "requests")


def _judge(bench: Bench, request: Abuse, answer: Answer) -> str:
    """Return what is wrong with the answer to a wrong request; empty for nothing, and for what is known."""
    words = answer.error()
    if not words:
        if request.accepted is None:
            return f"expected an error, found HTTP {answer.status} {answer.body[:80]!r}"
        met(bench, request.accepted, request.name)
    elif answer.status < 400:
        return f"expected a status of 400 or more, found HTTP {answer.status} with the error {words[:80]!r}"
    elif "error" not in _fields(answer):
        return f"HTTP {answer.status} without words in its body: {answer.body[:80]!r}"
    elif answer.status >= 500:
        met(bench, CLIENT_500, request.name)
    return ""


def _fields(answer: Answer) -> dict[str, object]:
    try:
        document = answer.document()
    except AnswerError:
        return {}
    return document if isinstance(document, dict) else {}


def serves(http: Endpoint) -> None:
    """Raise Wrong when a sound request does not get its answer."""
    found = http.infer("echo", [tensor("IN_INT32", "INT32", [5])], timeout=abuse.SECONDS)["OUT_INT32"].values
    expect(found == (5,), f"afterwards a sound request for 5 was answered with {found}")


def in_stream(bench: Bench) -> Measured:
    """A request that a stream cannot serve is told as an error."""
    http = bench.http("trouble")
    # The model sends its error as the stream's second event, when the status has long been sent.
    fields = {"COUNT": 3, "MARK": "fail-at-1", "DELAY_MS": 0}
    answer = http.post("/v2/models/stream/generate_stream", fields, abuse.SECONDS)
    expect(b'"error"' in answer.body, f"generate_stream: the model's error is not in the answer: {answer.body[-80:]!r}")
    told = http.post("/v2/models/stream/generate", {**fields, "MARK": "two"}, abuse.SECONDS)
    expect(told.error(), f"generate of three responses: expected an error, found {told.body[:80]!r}")
    for what, found in (("an error in generate_stream", answer), ("generate of a model with more responses", told)):
        if found.status == 200:
            met(bench, ERROR_IN_200, what)
    serves(http)
    return ()


def by_grpc(bench: Bench) -> Measured:
    """Wrong requests by gRPC end with a status that blames the request."""
    client = bench.grpc("trouble")
    good = tensor("IN_INT32", "INT32", [1, 2, 3])
    asked = {
        "wrong shape": ("strict", tensor("IN_INT32", "INT32", [1, 2, 3, 4])),
        "another type": ("strict", tensor("IN_INT32", "FP32", [1, 2, 3])),
        "wrong name": ("strict", tensor("NOPE", "INT32", [1, 2, 3])),
        "no such model": ("nope", good),
    }
    for what, (model, sent) in asked.items():
        code = _code(client, model, sent)
        expect(code in GRPC_CLIENT_CODES, f"gRPC: {what}: expected {' or '.join(GRPC_CLIENT_CODES)}, found {code}")
    found = client.infer("strict", [good])["OUT_INT32"].values
    expect(found == (1, 2, 3), f"afterwards a sound request by gRPC was answered with {found}")
    return ()


def _code(client: GrpcClient, model: str, sent: Tensor) -> str:
    """Return the status that a request ends with."""
    from pytest_trtcheck._suites.serving.grpc_client import GrpcError

    try:
        client.infer(model, [sent], timeout=abuse.SECONDS)
    except GrpcError as error:
        return error.code.removeprefix("StatusCode.") or str(error)
    return "OK"


def deep(bench: Bench) -> Measured:
    """JSON nested a million deep is refused, and the server lives on."""
    return _survives(bench, abuse.deep(), DIES_OF_DEPTH)


def large(bench: Bench) -> Measured:
    """A shape larger than memory is refused, and the server lives on."""
    return _survives(bench, abuse.large(), DIES_OF_SHAPE)


def _survives(bench: Bench, request: Abuse, behaviour: Known) -> Measured:
    """Send what has ended servers to one of its own, and name its death."""
    server = bench.launch([repository.echo(), repository.strict_echo()], ["--disable-auto-complete-config"])
    http = bench.fronted(server)
    try:
        try:
            words = _judge(bench, request, request.send(http))
        except TransportError as error:
            if not server.wait_for_exit(DEATH_SECONDS):
                raise
            met(bench, behaviour, f"{error}; {server.death()}")
        else:
            expect(not words, f"{request.name}: {words}")
            serves(http)
    finally:
        server.discard()
    return ()


CHECKS = (
    Check("wrong-tensors", "TRC-SRV-014", tensors, seconds=120.0),
    Check("wrong-documents", "TRC-SRV-014", documents, seconds=120.0),
    Check("wrong-bytes", "TRC-SRV-014", raw_bytes, seconds=120.0),
    Check("wrong-targets", "TRC-SRV-014", unknown),
    Check("wrong-grpc", "TRC-SRV-014", by_grpc, grpc=True),
    Check("error-in-stream", "TRC-SRV-014", in_stream),
    Check("deep-json", "TRC-SRV-014", deep),
    Check("large-shape", "TRC-SRV-014", large),
)
