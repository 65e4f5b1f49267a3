"""The cases: what exported models are made of, each small enough to be built in seconds."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from pytest_trtcheck._suites.engine.sketch import Sketch
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.providers.engine import EngineCase, Graph, Node

HIDDEN, HEADS, HEAD_SIZE, VOCABULARY = 128, 4, 32, 64
BATCH = {"batch": (1, 2, 4)}
BATCH_AND_LENGTH = {"batch": (1, 2, 3), "length": (1, 16, 40)}
CHANNELS = 32
"""Of calibrated convolutions: INT8 kernels take 32 channels at once."""
GROUP = 32
"""Rows of an int4 constant that share a scale."""


def gemm_bias(dtype: str) -> Graph:
    """Product with a constant and a bias. The constant is square, so that a transposed one fits as well."""
    sketch = Sketch(dtype)
    x = sketch.input("x", "batch", 24, HIDDEN)
    return sketch.graph((sketch.linear(x, "w", HIDDEN, HIDDEN), "y"))


def conv_residual(dtype: str) -> Graph:
    """Two convolutions, the second added to what went in."""
    sketch = Sketch(dtype)
    x = sketch.input("x", "batch", 16, 12, 10)
    spread = (16 * 9) ** -0.5
    y = x
    for number in (1, 2):
        kernel, bias = sketch.weight(f"k{number}", 16, 16, 3, 3, spread=spread), sketch.weight(f"b{number}", 16)
        y = sketch.op("conv", y, kernel, bias, padding=1, stride=1)
        y = sketch.op("relu", y) if number == 1 else sketch.op("relu", sketch.op("add", y, x))
    return sketch.graph((y, "y"))


def _normalized(sketch: Sketch, x: str, name: str, *, centred: bool = False) -> str:
    """Return RMSNorm, or LayerNorm, over the last axis, in fp32 inside as models write it."""
    x = x if sketch.dtype == "fp32" else sketch.op("cast", x, to="fp32")
    if centred:
        x = sketch.op("sub", x, sketch.op("mean", x))
    epsilon = sketch.weight(f"{name}_epsilon", 1, 1, 1, dtype="fp32", value=2.0**-16)
    variance = sketch.op("add", sketch.op("mean", sketch.op("mul", x, x)), epsilon)
    y = sketch.op("mul", x, sketch.op("reciprocal", sketch.op("sqrt", variance)))
    y = y if sketch.dtype == "fp32" else sketch.op("cast", y, to=sketch.dtype)
    return sketch.op("mul", y, sketch.weight(f"{name}_gain", 1, 1, HIDDEN))


def norms(dtype: str) -> Graph:
    """LayerNorm with gain and bias, and RMSNorm, of the same input."""
    sketch = Sketch(dtype)
    x = sketch.input("x", "batch", "length", HIDDEN)
    layer = sketch.op("add", _normalized(sketch, x, "layer", centred=True), sketch.weight("shift", 1, 1, HIDDEN))
    return sketch.graph((layer, "layer_norm"), (_normalized(sketch, x, "rms"), "rms_norm"))


def wide_range(dtype: str) -> Graph:
    """RMSNorm of inputs whose squares fp16 cannot hold: right only if what is fp32 in the graph stays fp32."""
    sketch = Sketch(dtype)
    x = sketch.input("x", "batch", 24, HIDDEN, fill="wide")
    return sketch.graph((_normalized(sketch, x, "rms"), "y"))


def _split_heads(sketch: Sketch, x: str) -> str:
    heads = sketch.op("reshape", x, shape=(0, 0, HEADS, HEAD_SIZE))
    return sketch.op("transpose", heads, order=(0, 2, 1, 3))


def _attention(sketch: Sketch, x: str, name: str, mask: str, past: tuple[str, str] | None) -> tuple[str, str, str]:
    """Return the block's output, its keys and its values, ``past`` before them."""
    q, k, v = (_split_heads(sketch, sketch.linear(x, f"{name}_{which}", HIDDEN, HIDDEN)) for which in "qkv")
    if past:
        k, v = (sketch.op("concat", before, now, axis=2) for before, now in zip(past, (k, v), strict=True))
    scale = sketch.weight(f"{name}_scale", 1, 1, 1, 1, value=HEAD_SIZE**-0.5)
    logits = sketch.op("mul", sketch.op("matmul", q, k, transpose=True), scale)
    weights = sketch.op("softmax", sketch.op("add", logits, mask) if mask else logits)
    joined = sketch.op("transpose", sketch.op("matmul", weights, v), order=(0, 2, 1, 3))
    joined = sketch.op("reshape", joined, shape=(0, 0, HIDDEN))
    return sketch.linear(joined, f"{name}_out", HIDDEN, HIDDEN), k, v


def attention_block(dtype: str) -> Graph:
    """Embedding, RMSNorm, causal attention, residual."""
    return _attention_block(dtype, "batch", "length")


def attention_block_static(dtype: str) -> Graph:
    """Embedding, RMSNorm, causal attention, residual, with all shapes fixed."""
    return _attention_block(dtype, 2, 24)


def _attention_block(dtype: str, batch: int | str, length: int | str) -> Graph:
    sketch = Sketch(dtype)
    ids = sketch.input("ids", batch, length, dtype="int32", fill="ids")
    mask = sketch.input("mask", 1, 1, length, length, fill="causal")
    x = sketch.op("gather", sketch.weight("table", VOCABULARY, HIDDEN), ids)
    y, _, _ = _attention(sketch, _normalized(sketch, x, "norm"), "attention", mask, None)
    return sketch.graph((sketch.op("add", x, y), "y"))


def decoder(dtype: str) -> Graph:
    """Two layers of a decoder for one new token, keys and values of the past going in and coming out longer."""
    sketch = Sketch(dtype)
    ids = sketch.input("ids", "batch", 1, dtype="int32", fill="ids")
    x = sketch.op("gather", sketch.weight("table", VOCABULARY, HIDDEN), ids)
    outputs: list[tuple[str, str]] = []
    for layer in (0, 1):
        past = tuple(sketch.input(f"past_{which}{layer}", "batch", HEADS, "past", HEAD_SIZE) for which in "kv")
        y, k, v = _attention(sketch, _normalized(sketch, x, f"norm{layer}"), f"a{layer}", "", (past[0], past[1]))
        x = sketch.op("add", x, y)
        inner = sketch.linear(_normalized(sketch, x, f"mlp_norm{layer}"), f"up{layer}", HIDDEN, 2 * HIDDEN)
        gated = sketch.op("mul", inner, sketch.op("sigmoid", inner))
        x = sketch.op("add", x, sketch.linear(gated, f"down{layer}", 2 * HIDDEN, HIDDEN))
        outputs += [(k, f"present_k{layer}"), (v, f"present_v{layer}")]
    logits = sketch.linear(_normalized(sketch, x, "last"), "head", HIDDEN, VOCABULARY, bias=False)
    return sketch.graph((logits, "logits"), *outputs)


def _quantized(dtype: str, kind: str) -> Graph:
    """Product of a quantized input and a quantized constant, scales as powers of two."""
    sketch = Sketch(dtype)
    x = sketch.input("x", "batch", 24, HIDDEN, fill=kind)
    scale = sketch.weight("x_scale", dtype=dtype, value=2.0**-4)
    x = sketch.op("dequantize", sketch.op("quantize", x, scale, to=kind, axis=None), scale, to=dtype, axis=None)
    w = sketch.weight("w", 1, HIDDEN, HIDDEN, dtype=kind)
    w = sketch.op("dequantize", w, sketch.weight("w_scale", dtype=dtype, value=2.0**-7), to=dtype, axis=None)
    return sketch.graph((sketch.op("add", sketch.op("matmul", x, w), sketch.weight("bias", 1, 1, HIDDEN)), "y"))


def int8_qdq(dtype: str) -> Graph:
    """INT8 on both sides of a product."""
    return _quantized(dtype, "int8")


def int8_calibrated(dtype: str) -> Graph:
    """Two towers of convolutions whose inputs differ 32 times in size, INT8 by ranges that a calibrator finds."""
    sketch = Sketch(dtype)
    outputs = []
    for name, fill in (("narrow", "even"), ("broad", "even_wide")):
        y = sketch.input(name, 2, CHANNELS, 12, 10, fill=fill)
        for number in (1, 2):
            kernel = sketch.weight(f"{name}_k{number}", CHANNELS, CHANNELS, 3, 3, spread=(CHANNELS * 9) ** -0.5)
            y = sketch.op("conv", y, kernel, sketch.weight(f"{name}_b{number}", CHANNELS), padding=1, stride=1)
            y = sketch.op("relu", y) if number == 1 else y
        outputs.append((y, f"from_{name}"))
    return sketch.graph(*outputs)


def fp8_qdq(dtype: str) -> Graph:
    """FP8 on both sides of a product."""
    return _quantized(dtype, "fp8_e4m3")


def int4_weights(dtype: str) -> Graph:
    """Product with a constant in INT4 that has a scale for every 32 rows of a column."""
    sketch = Sketch(dtype)
    x = sketch.input("x", "batch", 24, HIDDEN)
    w, scale = sketch.weight("w", HIDDEN, HIDDEN, dtype="int4"), sketch.weight("w_scale", HIDDEN // GROUP, HIDDEN)
    w = sketch.op("reshape", sketch.op("dequantize", w, scale, to=dtype, axis=0), shape=(1, HIDDEN, HIDDEN))
    return sketch.graph((sketch.op("matmul", x, w), "y"))


def loop(dtype: str) -> Graph:
    """Control flow: a state goes five times through a product and a tanh."""
    sketch = Sketch(dtype)
    x = sketch.input("x", 2, 8, HIDDEN)
    w, bias = sketch.weight("w", 1, HIDDEN, HIDDEN, spread=HIDDEN**-0.5), sketch.weight("bias", 1, 1, HIDDEN)
    body = (
        Node("matmul", ("state", w), "product"),
        Node("add", ("product", bias), "sum"),
        Node("tanh", ("sum",), "next"),
    )
    state = sketch.op("identity", x, name="state")
    return sketch.graph((sketch.op("repeat", state, name="next_state", count=5, body=body), "y"))


_ALL = ("fp32", "fp16", "bf16")
_TABLE: tuple[
    tuple[Callable[[str], Graph], str, dict[str, tuple[int, int, int]], tuple[str, ...], tuple[str, ...]], ...
]
_TABLE = (
    (gemm_bias, "gemm", BATCH, ("fp32", "fp16"), _ALL),
    (conv_residual, "conv", BATCH, ("fp16",), ("fp32", "fp16")),
    (norms, "norm", BATCH_AND_LENGTH, ("fp16",), ("fp32", "fp16")),
    (wide_range, "range", BATCH, ("fp16",), ("fp16",)),
    (attention_block_static, "attention", {}, (), ("fp16",)),
    (attention_block, "attention", BATCH_AND_LENGTH, ("fp16",), _ALL),
    (decoder, "kv_cache", {"batch": (1, 2, 3), "past": (1, 16, 33)}, ("fp16",), _ALL),
    (int8_qdq, "int8_qdq", BATCH, ("fp32",), ("fp32",)),
    (int8_calibrated, "int8_calibrated", {}, ("fp32",), ("fp32",)),
    (fp8_qdq, "fp8_qdq", BATCH, ("fp16",), ("fp16",)),
    (int4_weights, "int4_weights", BATCH, ("fp16",), ("fp16",)),
    (loop, "control_flow", {}, ("fp16",), ("fp32", "fp16")),
)
"""Graph, feature, profile, precisions at level quick, precisions from level standard on."""


@cache
def cases(level: Level) -> tuple[EngineCase, ...]:
    """Return the cases of a level."""
    found = []
    for make, feature, dims, quick, standard in _TABLE:
        features = {feature, "dynamic" if dims else "static"}
        found += [
            EngineCase(
                f"{make.__name__}-{dtype}",
                make(dtype),
                dtype,
                dims,
                frozenset({*features, dtype}),
                calibrated=make is int8_calibrated,
            )
            for dtype in (quick if level.rank < Level.STANDARD.rank else standard)
        ]
    return tuple(found)
