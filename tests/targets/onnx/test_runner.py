"""The ONNX Runtime that artifacts are compared in."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mobilevit_deploy.targets.onnx.runner import OnnxRuntimeRunner

DEPTH = 64


def test_int8_products_are_summed_in_32_bits(tmp_path: Path) -> None:
    """On an x86 without VNNI, ONNX Runtime's own choice adds two products of 255 and 127 in 16 bits: half are lost."""
    pairs = [
        helper.make_node("QuantizeLinear", ["x", "one", "zero"], ["x_q"]),
        helper.make_node("DequantizeLinear", ["x_q", "one", "zero"], ["x_f"]),
        helper.make_node("DequantizeLinear", ["w_q", "one", "zero_w"], ["w_f"]),
        helper.make_node("MatMul", ["x_f", "w_f"], ["p"]),
        helper.make_node("QuantizeLinear", ["p", "step", "zero"], ["p_q"]),
        helper.make_node("DequantizeLinear", ["p_q", "step", "zero"], ["y"]),
    ]
    step = DEPTH * 127.0  # the sum of 255 in every place is 255 steps
    constants = {
        "one": np.float32(1),
        "step": np.float32(step),
        "zero": np.uint8(0),
        "zero_w": np.int8(0),
        "w_q": np.full((DEPTH, 8), 127, np.int8),
    }
    graph = helper.make_graph(
        pairs,
        "products",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, DEPTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 8])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    path = tmp_path / "products.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    for optimization in ("disabled", "all"):
        (found,) = OnnxRuntimeRunner(path, optimization).run(np.full((4, DEPTH), 255, np.float32))
        np.testing.assert_array_equal(found, 255 * step)
