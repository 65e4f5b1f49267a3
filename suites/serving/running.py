"""A server that runs already and is not ours: looked at, never loaded, unloaded, changed or made to work hard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_trtcheck._suites.serving.checking import Wrong, expect
from pytest_trtcheck._suites.serving.endpoint import AnswerError, Endpoint
from pytest_trtcheck.model.report import Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MOST_MODELS = 200
_KIND = "TYPE_"


def health(http: Endpoint) -> Iterable[Measurement]:
    """The address is a Triton server that is live and ready."""
    try:
        told = http.get("/v2")
    except AnswerError as error:
        raise Wrong(f"{http.host}:{http.http_port} is no Triton server: GET /v2: {error}") from None
    known = isinstance(told, dict) and all(isinstance(told.get(key), str) for key in ("name", "version"))
    expect(known, f"{http.host}:{http.http_port} is no Triton server: GET /v2: {str(told)[:100]!r}")
    expect(http.is_live(), f"server {told['name']} {told['version']} does not call itself live")
    expect(http.is_ready(), f"server {told['name']} {told['version']} is live, and does not call itself ready")
    return ()


def models(http: Endpoint) -> Iterable[Measurement]:
    """Every model that the server calls ready describes itself consistently."""
    ready = [name for name, state in http.index().items() if state == "READY"]
    expect(ready, "the server is there and has no model that is ready")
    for name in ready[:MOST_MODELS]:
        expect(http.is_ready(model=name), f"{name}: READY in the repository index, not ready by itself")
        described, config = http.get(f"/v2/models/{name}"), http.get(f"/v2/models/{name}/config")
        for title, side in (("inputs", "input"), ("outputs", "output")):
            told = {entry["name"]: entry["datatype"] for entry in described.get(title, [])}
            configured = {entry["name"]: _datatype(entry) for entry in config.get(side, [])}
            expect(told == configured, f"{name}: {title} are {told} by metadata and {configured} by configuration")
        http.statistics(name)
    yield Measurement("models_ready", len(ready), "models")


def _datatype(entry: dict[str, Any]) -> str:
    kind = str(entry["data_type"]).removeprefix(_KIND)
    return "BYTES" if kind == "STRING" else kind


CHECKS: dict[str, Callable[[Endpoint], Iterable[Measurement]]] = {"health": health, "models": models}
