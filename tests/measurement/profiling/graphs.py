"""Small ONNX models with known modules."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mobilevit_deploy.targets.onnx.module_paths import write_path

SIZE = 16


def weight(name: str, *shape: int) -> onnx.TensorProto:
    values = np.random.default_rng(len(name)).standard_normal(shape, dtype=np.float32)
    return numpy_helper.from_array(values, name)


def model(
    nodes: Sequence[onnx.NodeProto],
    weights: Sequence[onnx.TensorProto],
    shape: Sequence[int | str] = (1, 16, SIZE, SIZE),
    output: Sequence[int | str] | None = None,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def small_net(paths: bool = True) -> onnx.ModelProto:
    """Returns convolutions, one with an activation in a module of its own, then a linear layer on the channels.

    ONNX Runtime fuses Conv and Relu, Conv and Add, MatMul and Add, runs the convolutions in a blocked layout, and
    puts the nodes in that change it.
    """
    made = [
        ("stem.conv", helper.make_node("Conv", ["x", "w0", "b0"], ["conv"], name="node_conv", pads=[1, 1, 1, 1])),
        ("stem.act", helper.make_node("Relu", ["conv"], ["relu"], name="node_relu")),
        ("block.conv", helper.make_node("Conv", ["relu", "w1", "b1"], ["conv_1"], name="node_conv_1")),
        ("block", helper.make_node("Add", ["conv_1", "relu"], ["add"], name="node_add")),
        ("head", helper.make_node("Transpose", ["add"], ["last"], name="node_permute", perm=[0, 2, 3, 1])),
        ("head.norm", helper.make_node("LayerNormalization", ["last", "one"], ["norm"], name="node_norm")),
        ("head.fc", helper.make_node("MatMul", ["norm", "w2"], ["product"], name="node_matmul")),
        ("head.fc", helper.make_node("Add", ["product", "b2"], ["y"], name="node_linear")),
    ]
    if paths:
        for path, node in made:
            write_path(node, path)
    weights = [
        *(weight("w0", 32, 16, 3, 3), weight("b0", 32), weight("w1", 32, 32, 1, 1), weight("b1", 32)),
        *(weight("one", 32), weight("w2", 32, 10), weight("b2", 10)),
    ]
    return model([node for _, node in made], weights)


STEM_MACS = 32 * 16 * 9 * SIZE * SIZE
BLOCK_MACS = 32 * 32 * SIZE * SIZE
HEAD_MACS = 32 * 10 * SIZE * SIZE
