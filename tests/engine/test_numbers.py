"""The reference of engine cases: its numbers, its rounding, its operations against a plain second opinion."""

from __future__ import annotations

import struct
from unittest.mock import ANY

import pytest

# NumPy comes with the venv that has torch.
pytestmark = pytest.mark.torch
np = pytest.importorskip("numpy")

from pytest_trtcheck._suites.engine.cases import cases  # noqa: E402
from pytest_trtcheck._suites.engine.evaluate import Arithmetic, Disturbed, Plain  # noqa: E402
from pytest_trtcheck._suites.engine.int8 import read_cache, write_cache  # noqa: E402
from pytest_trtcheck._suites.engine.numerics import Drawn, quantized, rounded  # noqa: E402
from pytest_trtcheck._suites.engine.reference import make_reference  # noqa: E402
from pytest_trtcheck._suites.engine.sketch import Sketch  # noqa: E402
from pytest_trtcheck.model.level import Level  # noqa: E402
from pytest_trtcheck.providers.engine import OPS, EngineCase, Graph, flat  # noqa: E402

CASES = cases(Level.STANDARD)
by_name = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def test_rounding_to_half_and_single_is_ieees() -> None:
    draw = np.random.default_rng(0)
    values = np.concatenate([draw.standard_normal(2000) * 10.0**power for power in range(-9, 6)])
    with np.errstate(over="ignore"):
        assert np.array_equal(rounded(values, "fp16"), values.astype(np.float16).astype(np.float64))
    assert np.array_equal(rounded(values, "fp32"), values.astype(np.float32).astype(np.float64))


@pytest.mark.parametrize(("dtype", "name"), [("bf16", "bfloat16"), ("fp8_e4m3", "float8_e4m3fn")])
def test_rounding_to_brain_and_fp8_is_torchs(dtype: str, name: str) -> None:
    torch = pytest.importorskip("torch")
    draw = np.random.default_rng(1)
    values = np.concatenate([draw.standard_normal(1000) * 2.0**power for power in range(-12, 7)]).clip(-448, 448)
    # torch rounds twice on its way from fp64; from fp32 once.
    single = values.astype(np.float32)
    expected = torch.tensor(single.tolist()).to(getattr(torch, name)).to(torch.float64).tolist()
    assert rounded(single.astype(np.float64), dtype).tolist() == expected


def test_integers_saturate_and_ties_go_to_even() -> None:
    given = np.array([0.5, 1.5, 2.5, -0.5, 300, -300])
    assert rounded(given, "int8").tolist() == [0, 2, 2, 0, 127, -128]
    assert rounded(given, "int4").tolist() == [0, 2, 2, 0, 7, -8]
    assert rounded(np.array([500.0, -500.0]), "fp8_e4m3").tolist() == [448, -448]
    assert rounded(np.array([65520.0, 65519.0]), "fp16").tolist() == [np.inf, 65504]


@by_name
def test_every_number_that_goes_in_is_held_exactly_by_its_type(case: EngineCase) -> None:
    drawn = Drawn.of(case, 3)
    for weight in case.graph.weights:
        assert np.array_equal(rounded(drawn.weights[weight.name], weight.dtype), drawn.weights[weight.name])
    for sizes in [case.sizes(which) for which in range(3)]:
        for name, array in drawn.inputs(case, sizes).items():
            assert array.shape == case.shapes(sizes)[name]
            if array.dtype == np.float32 and name != "mask":
                assert np.array_equal(rounded(array.astype(np.float64), "fp16"), array)


@by_name
def test_a_case_is_a_graph_that_can_run_in_its_order(case: EngineCase) -> None:
    known = {one.name for one in case.graph.inputs} | {one.name for one in case.graph.weights}
    for node in flat(case.graph.nodes):
        assert node.op in OPS
        assert set(node.inputs) <= known, node
        known.add(node.output)
    assert set(case.graph.outputs) <= known
    assert all(case.graph.dtypes[name] == "fp32" for name in case.graph.outputs)
    assert {case.dtype} & set(case.features)


def test_all_operations_occur_and_names_are_unique() -> None:
    there = {node.op for case in CASES for node in flat(case.graph.nodes)}
    # What is there for graphs of others is held against torch below.
    assert set(OPS) - there == {"exp", "div", "max", "sum"}
    assert len({case.name for case in CASES}) == len(CASES)
    assert {case.name for case in cases(Level.QUICK)} <= {case.name for case in CASES}


def test_the_decoders_reference_is_torchs_attention() -> None:
    torch = pytest.importorskip("torch")
    sketch = Sketch("fp32")
    q, k, v = (sketch.input(name, 2, 3, 5, 8) for name in "qkv")
    scale = sketch.weight("scale", 1, 1, 1, 1, value=0.5)
    logits = sketch.op("mul", sketch.op("matmul", q, k, transpose=True), scale)
    graph = sketch.graph((sketch.op("matmul", sketch.op("softmax", logits), v), "y"))
    case = EngineCase("attention", graph, "fp32")
    drawn = Drawn.of(case, 0)
    inputs = drawn.inputs(case, {})
    found = Arithmetic(graph).run(drawn.weights, inputs)["y"]
    tensors = [torch.tensor(inputs[name].astype(np.float64).tolist(), dtype=torch.float64) for name in "qkv"]
    expected = torch.nn.functional.scaled_dot_product_attention(*tensors, scale=0.5)
    assert np.allclose(found, np.array(expected.tolist()), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("padding", "stride"), [(0, 1), (1, 1), (1, 2), (2, 3)])
def test_the_convolution_is_torchs(padding: int, stride: int) -> None:
    torch = pytest.importorskip("torch")
    sketch = Sketch("fp32")
    x = sketch.input("x", 2, 4, 9, 7)
    kernel, bias = sketch.weight("k", 5, 4, 3, 3), sketch.weight("b", 5)
    graph = sketch.graph((sketch.op("conv", x, kernel, bias, padding=padding, stride=stride), "y"))
    case = EngineCase("conv", graph, "fp32")
    drawn = Drawn.of(case, 0)
    given = {**drawn.weights, **drawn.inputs(case, {})}
    tensors = [torch.tensor(given[name].astype(np.float64).tolist(), dtype=torch.float64) for name in ("x", "k", "b")]
    expected = torch.nn.functional.conv2d(*tensors, padding=padding, stride=stride)
    assert np.allclose(Arithmetic(graph).run(drawn.weights, given)["y"], np.array(expected.tolist()), atol=1e-12)


def test_small_operations_are_what_their_names_say() -> None:
    sketch = Sketch("fp32")
    x = sketch.input("x", 2, 3)
    outputs = [(sketch.op(op, x), op) for op in ("exp", "sum", "mean", "relu")]
    outputs += [(sketch.op(op, x, x), op) for op in ("div", "max", "sub")]
    outputs.append((sketch.op("reshape", x, shape=(0, -1, 1)), "reshape"))
    graph = sketch.graph(*outputs)
    given = np.array([[1.0, -2, 3], [0.5, 4, -1]])
    found = Arithmetic(graph).run({}, {"x": given})
    assert np.allclose(found["exp"], np.exp(given))
    assert found["sum"].tolist() == [[2], [3.5]]
    assert np.allclose(found["mean"], given.mean(axis=1, keepdims=True))
    assert found["relu"].tolist() == [[1, 0, 3], [0.5, 4, 0]]
    assert found["div"].tolist() == np.ones((2, 3)).tolist()
    assert found["max"].tolist() == given.tolist()
    assert found["sub"].tolist() == np.zeros((2, 3)).tolist()
    assert found["reshape"].shape == (2, 3, 1)


def test_a_loop_runs_its_body_as_often_as_it_says() -> None:
    case = next(case for case in CASES if case.name == "loop-fp32")
    drawn = Drawn.of(case, 0)
    inputs = drawn.inputs(case, {})
    state = inputs["x"].astype(np.float64)
    for _ in range(5):
        state = np.tanh(state @ drawn.weights["w"] + drawn.weights["bias"])
    assert np.allclose(Arithmetic(case.graph).run(drawn.weights, inputs)["y"], state, atol=1e-13)


def test_plain_rounds_each_result_once() -> None:
    sketch = Sketch("fp16")
    x = sketch.input("x", 1, 2)
    graph = sketch.graph((sketch.op("add", x, sketch.weight("one", 1, 1, value=2.0**-11)), "y"))
    found = Plain(graph).run({"one": np.full((1, 1), 2.0**-11)}, {"x": np.array([[1.0, 0.5]])})["y"]
    assert found.tolist() == [[1.0, 0.5 + 2.0**-11]]


def test_what_sums_in_another_order_cost_is_what_was_measured() -> None:
    """The expected error of sums is that of sums in fp32 in many orders, and no less.

    It is somewhat more: numbers just below a power of two round by less than the unit roundoff times themselves.
    """
    sketch = Sketch("fp32")
    x, w = sketch.input("x", 64, 256), sketch.weight("w", 256, 32)
    graph: Graph = sketch.graph((sketch.op("matmul", x, w), "y"))
    draw = np.random.default_rng(5)
    weights, inputs = {"w": draw.standard_normal((256, 32))}, {"x": draw.standard_normal((64, 256))}
    weights, inputs = ({name: rounded(array, "fp32") for name, array in one.items()} for one in (weights, inputs))
    exact = Arithmetic(graph).run(weights, inputs)["y"]
    errors = []
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(256)
        total = np.zeros((64, 32), dtype=np.float32)
        for at in order:
            # The product is exact in fp64, the sum is rounded to fp32.
            product = inputs["x"][:, at, None] * weights["w"][at]
            total = (total.astype(np.float64) + product).astype(np.float32)
        errors.append(total - exact)
    measured = float(np.sqrt(np.mean(np.square(errors))))
    disturbed = [Disturbed(graph, seed, roundings=False).run(weights, inputs)["y"] - exact for seed in range(4)]
    # What is allowed for is three times the expected error.
    expected = float(np.sqrt(np.mean(np.square(disturbed)))) / 3
    assert 1 < expected / measured < 1.6


@by_name
def test_nothing_of_a_reference_is_infinite_or_not_a_number(case: EngineCase) -> None:
    sizes = case.sizes(2)
    drawn = Drawn.of(case, 1)
    reference = make_reference(case, drawn.weights, drawn.inputs(case, sizes))
    for name, output in reference.outputs.items():
        assert np.isfinite(output.expected).all(), name
        assert np.isfinite(output.bound.rms).all()
        assert 0 < output.bound.peak < 1
        assert (output.scale > 0).all()
    assert all(np.isnan(array).all() for array in reference.poisoned().values())


def test_a_single_is_what_struct_says() -> None:
    assert rounded(np.array([0.1]), "fp32")[0] == struct.unpack("f", struct.pack("f", 0.1))[0]


def test_int8_rounds_to_a_step_of_the_range_and_cuts_off_beyond() -> None:
    values = np.array([0.0, 0.4, 0.6, -1.5, 126.6, 300.0, -300.0])
    assert quantized(values, 127.0).tolist() == [0, 0, 1, -2, 127, 127, -128]
    assert np.allclose(quantized(values / 8, 127.0 / 8), quantized(values, 127.0) / 8)
    assert quantized(values, 0.0) is values
    drawn = quantized(np.zeros(4000), 127.0, np.random.default_rng(0))
    assert -0.5 <= drawn.min() < -0.49 < 0.49 < drawn.max() <= 0.5


def test_the_error_of_a_calibrated_product_is_the_one_that_is_derived() -> None:
    """Variance ``(s^2 sum k^2 + t^2 sum x^2) / 12`` of a convolution, by what plain rounding does and by drawing."""
    sketch = Sketch("fp32")
    x = sketch.input("x", 2, 32, 12, 10, fill="even")
    y = sketch.op(
        "conv", x, sketch.weight("k", 32, 32, 3, 3, spread=1 / 17), sketch.weight("b", 32), padding=0, stride=1
    )
    case = EngineCase("one", sketch.graph((y, "y")), "fp32", calibrated=True)
    drawn = Drawn.of(case, 0)
    inputs, kernel = drawn.inputs(case, {}), drawn.weights["k"]
    # The output's own step is left out by a range that makes it nearly nothing.
    ranges = {"x": 1.0, "y": 0.0}
    exact = Arithmetic(case.graph).values(drawn.weights, inputs)["y"]
    step, kernels_step = 1 / 127, float(np.abs(kernel).max()) / 127
    terms = 32 * 9
    derived = (
        step**2 * terms * np.square(kernel).mean() + kernels_step**2 * terms * np.square(inputs["x"]).mean()
    ) / 12
    for arithmetic in (Plain(case.graph, ranges), Disturbed(case.graph, 0, sums=False, ranges=ranges)):
        found = arithmetic.values(drawn.weights, inputs)["y"] - exact
        assert np.isclose(np.square(found).mean(), derived, rtol=0.05)


def test_a_calibration_cache_is_read_as_tensorrt_writes_it() -> None:
    cache = b"TRT-8601-EntropyCalibration2\ndata: 3c008912\n(Unnamed Layer* 3) [Shuffle]_output: 0\na: b: 3c010a14\n"
    found = read_cache(cache)
    assert found == {"data": pytest.approx(0.99634, rel=1e-4), "(Unnamed Layer* 3) [Shuffle]_output": 0, "a: b": ANY}
    assert found["a: b"] == pytest.approx(1.00027, rel=1e-4)
    assert read_cache(write_cache({"x": 3.5, "y": 0.25}, "TRT-1-x")) == {
        "x": pytest.approx(3.5), "y": pytest.approx(0.25),
    }  # fmt: skip


@pytest.mark.parametrize(
    "cache", [b"", b"nothing", b"TRT-1-x\nno scale", b"TRT-1-x\nx: zzzz", b"TRT-1-x\nx: 3c00891200"]
)
def test_what_is_no_calibration_cache_is_told(cache: bytes) -> None:
    with pytest.raises(ValueError, match="calibration cache"):
        read_cache(cache)
