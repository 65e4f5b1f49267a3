"""Look-ups depend on nothing but the row asked for; any bytes are an overlay or a MatrixError."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from matrix.derive.documents import value_schema
from pytest_trtcheck.errors import MatrixError
from pytest_trtcheck.rules.kinds import problem
from pytest_trtcheck.rules.load import Matrix, load_matrix
from pytest_trtcheck.rules.products import load_products
from pytest_trtcheck.rules.rows import Row
from pytest_trtcheck.rules.strict import Node

BUNDLED = load_matrix()
ASKED = [(product, row.version) for product in BUNDLED.products for row in BUNDLED.rows(product)] + [
    ("tensorrt", "10.14.1.48"),
    ("tensorrt", "8.6"),
    ("cudnn", "9.1.0.70-1+cuda12.4"),
    ("cuda_driver_family", "12.9"),
    ("gpu", "NVIDIA H100 80GB HBM3"),
    ("gpu", "RTX PRO 6000"),
    ("torch", "2.9.0+cu130"),
]
FAR_AWAY = {
    "dotted": st.integers(500, 999).map(lambda major: f"{major}.1.2"),
    "package": st.integers(500, 999).map(lambda major: f"{major}.1.2"),
    "capability": st.integers(60, 99).map(lambda major: f"{major}.9"),
    "month": st.integers(60, 99).map(lambda year: f"{year}.12"),
    "gpu": st.integers(0, 999).map(lambda number: f"Zzz {number}"),
    "name": st.integers(0, 999).map(lambda number: f"zzz {number}"),
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
overlay_like = st.fixed_dictionaries(
    {"schema_version": st.sampled_from([1, 2, "1", None])},
    optional={
        "add": st.lists(
            st.fixed_dictionaries(
                {
                    "id": st.sampled_from(["torch/9.9", "torch/2.9.0", "gpu/Zzz", "sm/13.0", "x/1", "torch/"])
                    | json_values,
                    "date": st.sampled_from(["2026-12-01", "now"]) | json_values,
                    "cells": st.dictionaries(
                        st.sampled_from(["cudnn", "nccl", "sm", "class", "zzz"]),
                        st.fixed_dictionaries(
                            {
                                "value": st.sampled_from(["9.1", "9.0", "datacenter"]) | json_values,
                                "source": st.just("wiki") | json_values,
                                "confidence": st.sampled_from(["stated", "unknown"]) | json_values,
                            }
                        )
                        | json_values,
                        max_size=2,
                    )
                    | json_values,
                }
            )
            | json_values,
            max_size=2,
        )
        | json_values,
        "override": json_values,
    },
)


def found(matrix: Matrix) -> list[tuple[str | None, str | None, list[str]]]:
    answers = []
    for product, text in ASKED:
        exact, match = matrix.row(product, text), matrix.match(product, text)
        ids = [row.id for row in matrix.candidates(product, text)]
        answers.append((exact.id if exact else None, match.id if match else None, ids))
    return answers


ANSWERS = found(BUNDLED)


def test_every_row_is_found_by_its_own_version() -> None:
    rows = [row for product in BUNDLED.products for row in BUNDLED.rows(product)]
    assert [answer[0] for answer in ANSWERS[: len(rows)]] == [row.id for row in rows]


@settings(max_examples=40)
@given(st.data())
def test_a_row_that_matches_nothing_leaves_all_other_look_ups_alone(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(BUNDLED.products))
    product = load_products()[name]
    version = data.draw(FAR_AWAY[product.key])
    row = Row(f"{name}/{version}", name, version, "2026-12-01", (), Node("x", {}), product.kinds, ())
    place = data.draw(st.integers(0, len(BUNDLED.rows(name))))
    rows = list(BUNDLED.rows(name))
    rows.insert(place, row)
    matrix = Matrix(
        {**{key: BUNDLED.table(key) for key in BUNDLED.products}, name: BUNDLED.table(name).with_rows(rows)}
    )
    assert found(matrix) == ANSWERS
    assert matrix.row(name, version) is row


@settings(max_examples=20)
@given(st.sampled_from(BUNDLED.products), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_change_what_is_found(name: str, random: Any) -> None:
    rows = list(BUNDLED.rows(name))
    random.shuffle(rows)
    tables = {key: BUNDLED.table(key) for key in BUNDLED.products}
    matrix = Matrix({**tables, name: BUNDLED.table(name).with_rows(rows)})
    assert [(exact, match, set(ids)) for exact, match, ids in found(matrix)] == [
        (exact, match, set(ids)) for exact, match, ids in ANSWERS
    ]


def load_bytes(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "site.json").write_bytes(data)
        try:
            told = load_matrix([Path(folder)]).identity.overlays[0]
        except MatrixError as error:
            told = str(error)
    assert folder in told
    assert told.isprintable()
    assert len(told) < 2000


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_are_an_overlay_or_one_clear_line(data: bytes) -> None:
    load_bytes(data)


@settings(max_examples=200)
@given(overlay_like | json_values)
def test_any_json_is_an_overlay_or_one_clear_line(document: Any) -> None:
    load_bytes(json.dumps(document).encode())


@settings(max_examples=300)
@given(st.sampled_from(sorted({kind for p in load_products().values() for kind in p.kinds.values()})), json_values)
def test_a_value_that_the_loader_takes_the_schema_takes_too(kind: str, value: Any) -> None:
    import jsonschema

    if problem(kind, value) is None:
        assert jsonschema.Draft202012Validator(value_schema(kind)).is_valid(value)
