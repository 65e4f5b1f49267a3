"""Models written without the package ``onnx``, held against it: its checker takes them, its numbers are right."""

from __future__ import annotations

import pytest

# NumPy and onnx come with the venv that has torch.
pytestmark = pytest.mark.torch
np = pytest.importorskip("numpy")
onnx = pytest.importorskip("onnx")

from pytest_trtcheck._suites.engine.cases import cases  # noqa: E402
from pytest_trtcheck._suites.engine.numerics import Drawn  # noqa: E402
from pytest_trtcheck._suites.engine.onnx_model import onnx_model, unknown_operator  # noqa: E402
from pytest_trtcheck._suites.engine.packed import packed  # noqa: E402
from pytest_trtcheck._suites.engine.reference import make_reference  # noqa: E402
from pytest_trtcheck.model.level import Level  # noqa: E402
from pytest_trtcheck.providers.engine import EngineCase  # noqa: E402


@pytest.mark.parametrize("case", cases(Level.STANDARD), ids=lambda case: case.name)
def test_the_models_of_all_cases_are_valid_and_compute_the_reference(case: EngineCase) -> None:
    from onnx.reference import ReferenceEvaluator

    drawn = Drawn.of(case, 3)
    onnx.checker.check_model(onnx.load_from_string(onnx_model(case, drawn.weights)))
    # The package computes quantization from opset 19 on; here that changes nothing else.
    later = 19 if case.name.startswith("int8") else None
    model = onnx.load_from_string(onnx_model(case, drawn.weights, later))
    inputs = drawn.inputs(case, case.sizes(0) if case.is_dynamic else {})
    found = ReferenceEvaluator(model).run(None, inputs)
    reference = make_reference(case, drawn.weights, inputs)
    name, comparison = reference.judge(dict(zip(case.graph.outputs, map(np.asarray, found), strict=True)))
    assert comparison.is_within, f"{name}: {comparison.describe()}"


def test_open_dimensions_have_names_and_static_ones_sizes() -> None:
    case = next(case for case in cases(Level.QUICK) if case.name == "decoder-fp16")
    model = onnx.load_from_string(onnx_model(case, Drawn.of(case, 0).weights))
    shapes = {
        one.name: [part.dim_param or part.dim_value for part in one.type.tensor_type.shape.dim]
        for one in model.graph.input
    }
    assert shapes["past_k0"] == ["batch", 4, "past", 32]


def test_a_model_with_an_unknown_operator_can_be_read_and_is_refused_by_name() -> None:
    model = onnx.load_from_string(unknown_operator("node_of_ours", "NoSuchOperator"))
    with pytest.raises(onnx.checker.ValidationError, match="NoSuchOperator"):
        onnx.checker.check_model(model)
    assert model.graph.node[0].name == "node_of_ours"


def test_constants_are_packed_as_their_types_hold_them() -> None:
    torch = pytest.importorskip("torch")
    codes = torch.arange(256, dtype=torch.uint8)
    values = codes.view(torch.float8_e4m3fn).double().numpy()
    numbers = ~np.isnan(values)
    assert np.array_equal(packed(values[numbers], "fp8_e4m3"), codes.numpy()[numbers])
    halves = torch.randn(300, dtype=torch.bfloat16)
    assert np.array_equal(packed(halves.double().numpy(), "bf16"), halves.view(torch.uint16).numpy())
    assert packed(np.array([1.0, -1, -8, 7, 3]), "int4").tolist() == [0xF1, 0x78, 0x03]
