"""The forms that ONNX Runtime has fast int8 kernels for: the same outputs, and nothing changed that should not be."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from mobilevit_deploy.targets.onnx.int8_kernels import suit_int8

SHAPE = (2, 3, 4, 6)


def model(nodes: list[onnx.NodeProto], shape: list[int], **constants: list[float] | list[int]) -> onnx.ModelProto:
    values = [np.array(value, np.int64 if isinstance(value[0], int) else np.float32) for value in constants.values()]
    weights = [numpy_helper.from_array(value, name) for name, value in zip(constants, values, strict=True)]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "g", [x], [y], weights)
    made: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return made


def run(graph: onnx.ModelProto) -> np.ndarray:
    x = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    (y,) = onnxruntime.InferenceSession(graph.SerializeToString()).run(None, {"x": x})
    return np.asarray(y)


def suited(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the changed model, after a comparison of what it computes."""
    changed: onnx.ModelProto = onnx.ModelProto.FromString(graph.SerializeToString())
    suit_int8(changed)
    onnx.checker.check_model(changed, full_check=True)
    assert np.allclose(run(graph), run(changed), rtol=1e-5, atol=1e-6)
    return changed


def ops(graph: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in graph.graph.node)


@pytest.mark.parametrize(
    ("axes", "keepdims", "shape", "op"),
    [
        ([2, 3], 1, [2, 3, 1, 1], "GlobalAveragePool"),
        ([-2, -1], 1, [2, 3, 1, 1], "GlobalAveragePool"),
        ([2, 3], 0, [2, 3], "ReduceMean"),
        ([1, 2], 1, [2, 1, 1, 6], "ReduceMean"),
    ],
)
def test_means_over_an_image(axes: list[int], keepdims: int, shape: list[int], op: str) -> None:
    node = helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=keepdims)
    assert ops(suited(model([node], shape, axes=axes))) == {op: 1}


def test_average_pools_become_convolutions() -> None:
    node = helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 3], strides=[2, 3])
    changed = suited(model([node], [2, 3, 2, 2]))
    assert ops(changed) == {"Conv": 1}
    padded = helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2], pads=[0, 1, 0, 1])
    assert ops(suited(model([padded], [2, 3, 2, 4]))) == {"AveragePool": 1}
    ceiling = helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[3, 3], strides=[3, 3], ceil_mode=1)
    assert ops(suited(model([ceiling], [2, 3, 2, 2]))) == {"AveragePool": 1}
    # A weight that is off by a hundredth shows.
    item = changed.graph.initializer[0]
    item.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(item) * np.float32(1.01), item.name))
    assert not np.allclose(run(changed), run(model([node], [2, 3, 2, 2])), rtol=1e-5, atol=1e-6)


def norm(flat: list[int]) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Reshape", ["x", "flat"], ["a"]),
        helper.make_node("InstanceNormalization", ["a", "scale", "bias"], ["b"]),
        helper.make_node("Reshape", ["b", "back"], ["y"]),
    ]
    factors = [1.5] * flat[1]
    return model(nodes, list(SHAPE), flat=flat, scale=factors, bias=[0.5] * flat[1], back=list(SHAPE))


def test_norms_of_whole_images_are_flattened_with_the_channels_last() -> None:
    changed = suited(norm([2, 1, -1]))
    assert ops(changed) == {"Transpose": 2, "Reshape": 2, "InstanceNormalization": 1}
    # Values in another order have other names: whoever looks for the program's finds none, and not wrong ones.
    assert {"a", "b"}.isdisjoint(name for node in changed.graph.node for name in node.output)


def test_norms_of_groups_are_left() -> None:
    assert "Transpose" not in ops(suited(norm([2, 3, -1])))
