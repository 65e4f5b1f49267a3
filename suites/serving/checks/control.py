"""Load, unload and reload by the repository API while others are served."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_trtcheck._suites.serving.bench import wait_until
from pytest_trtcheck._suites.serving.checking import Check, Measured, expect
from pytest_trtcheck._suites.serving.crowd import Traffic
from pytest_trtcheck._suites.serving.tensors import tensor
from pytest_trtcheck.model.report import Measurement

if TYPE_CHECKING:
    from pytest_trtcheck._suites.serving.bench import Bench

ROUNDS = 2


def repository(bench: Bench) -> Measured:
    """Models come and go by the repository API while others answer without an error."""
    http = bench.http()
    sent = [tensor("IN_INT32", "INT32", [5])]

    def ask() -> None:
        found = http.infer("echo", sent)["OUT_INT32"].values
        expect(found == (5,), f"echo: expected 5, found {found}")

    def is_gone() -> bool:
        return http.index().get("echo2") != "READY"

    with Traffic(ask) as traffic:
        for _ in range(ROUNDS):
            http.load("echo2").checked()
            expect(http.is_ready(model="echo2"), "echo2 was loaded and is not ready")
            expect(http.infer("echo2", sent)["OUT_INT32"].values == (5,), "echo2 was loaded and answers wrong")
            config = http.get("/v2/models/echo2/config")
            http.load("echo2", json.dumps({**config, "max_batch_size": 3})).checked()
            changed = http.get("/v2/models/echo2/config").get("max_batch_size")
            expect(changed == 3, f"echo2 was reloaded with max_batch_size 3 and has {changed}")
            expect(http.infer("echo2", sent)["OUT_INT32"].values == (5,), "echo2 was reloaded and answers wrong")
            http.unload("echo2").checked()
            expect(wait_until(is_gone, 10.0), "echo2 was unloaded and is still READY after 10 s")
            expect(not http.is_ready(model="echo2"), "echo2 was unloaded and calls itself ready")
            told = http.post("/v2/models/echo2/infer", {"inputs": []})
            expect(told.error() and told.status >= 400, f"echo2 was unloaded and answers HTTP {told.status}")
    expect(not traffic.errors, f"while models came and went, others failed: {(traffic.errors or [''])[0]}")
    expect(traffic.answers > 0, "while models came and went, no other request was answered")
    missing = http.load("no_such_model")
    expect(missing.error() and missing.status >= 400, f"load of a model that is not there: HTTP {missing.status}")
    yield Measurement("answers_meanwhile", traffic.answers, "answers")


CHECKS = (Check("repository", "TRC-SRV-010", repository),)
