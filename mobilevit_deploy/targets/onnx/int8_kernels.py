"""The same ONNX graph in the forms for which ONNX Runtime has fast int8 kernels; nothing changes in meaning.

Its int8 convolutions keep channels last, and what lies between them is transposed, or not, by what follows.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from mobilevit_deploy.targets.onnx.node_order import sort_nodes

Shapes = Mapping[str, Sequence[int]]

IMAGE_AXES = ([2, 3], [-2, -1])
TO_LAST, TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


def suit_int8(model: onnx.ModelProto) -> None:
    """Changes a float32 model in place.

    - A mean over height and width becomes GlobalAveragePool, of which there is an int8 kernel: cas_vit_m took 0.93 of
      its time.
    - AveragePool becomes a depthwise convolution: the int8 kernel of the former takes ten times as long as float32's.
    - A norm over a whole image, flattened, flattens it with the channels last: two transpositions less.
      Together these two take cloformer_s to 0.91 of its time.

    Source: times of ONNX Runtime 1.31 on one core of an x86 with VNNI, in turns with the graph as it was.
    """
    shapes = _shapes(model)
    _pool_means(model.graph)
    _convolve_pools(model.graph, shapes)
    _flatten_channels_last(model.graph, shapes)
    del model.graph.value_info[:]
    sort_nodes(model.graph)


def _shapes(model: onnx.ModelProto) -> Shapes:
    graph = onnx.shape_inference.infer_shapes(model).graph
    values = [*graph.value_info, *graph.input, *graph.output]
    return {value.name: [size.dim_value for size in value.type.tensor_type.shape.dim] for value in values}


def _pool_means(graph: onnx.GraphProto) -> None:
    constants = {item.name: item for item in graph.initializer}
    for node in graph.node:
        axes = constants.get(node.input[1]) if node.op_type == "ReduceMean" and len(node.input) > 1 else None
        if axes is not None and numpy_helper.to_array(axes).tolist() in IMAGE_AXES and _attribute(node, "keepdims", 1):
            node.op_type = "GlobalAveragePool"
            del node.attribute[:]
            del node.input[1:]


def _convolve_pools(graph: onnx.GraphProto, shapes: Shapes) -> None:
    for node in graph.node:
        shape = shapes.get(node.input[0], ()) if node.op_type == "AveragePool" else ()
        moved = [_attribute(node, name, default) for name, default in (("auto_pad", b"NOTSET"), ("ceil_mode", 0))]
        if len(shape) != 4 or moved != [b"NOTSET", 0] or any(_attribute(node, "pads", ())):
            continue
        kernel = list(_attribute(node, "kernel_shape", ()))
        weight = np.full((shape[1], 1, *kernel), 1 / prod(kernel), dtype=np.float32)
        graph.initializer.append(numpy_helper.from_array(weight, f"{node.output[0]}_weight"))
        node.op_type = "Conv"
        node.input.append(f"{node.output[0]}_weight")
        for item in [item for item in node.attribute if item.name in ("ceil_mode", "auto_pad", "count_include_pad")]:
            node.attribute.remove(item)
        node.attribute.append(helper.make_attribute("group", shape[1]))


def _flatten_channels_last(graph: onnx.GraphProto, shapes: Shapes) -> None:
    made = {name: node for node in graph.node for name in node.output}
    readers = [name for node in graph.node for name in node.input]
    added = []
    for norm in [node for node in graph.node if node.op_type == "InstanceNormalization"]:
        flatten = made.get(norm.input[0])
        unflatten = next((node for node in graph.node if norm.output[0] in node.input), None)
        if flatten is None or unflatten is None or {flatten.op_type, unflatten.op_type} != {"Reshape"}:
            continue
        shape, whole = shapes.get(flatten.input[0], ()), shapes.get(flatten.output[0], ())
        same = list(shapes.get(unflatten.output[0], ())) == list(shape)
        if len(shape) != 4 or len(whole) < 3 or whole[1] != 1 or whole[0] != shape[0] or not same:
            continue
        if readers.count(flatten.output[0]) > 1 or readers.count(norm.output[0]) > 1:
            continue
        batch, channels, height, width = shape
        name, result = norm.output[0], unflatten.output[0]  # values in another order get names of their own
        sizes = np.array([batch, height, width, channels], dtype=np.int64)
        graph.initializer.append(numpy_helper.from_array(sizes, f"{name}_last_shape"))
        added.append(helper.make_node("Transpose", [flatten.input[0]], [f"{name}_last"], f"{name}_last", perm=TO_LAST))
        added.append(helper.make_node("Transpose", [f"{name}_normed"], [result], f"{name}_first", perm=TO_FIRST))
        flatten.input[0] = f"{name}_last"
        flatten.output[0] = norm.input[0] = f"{name}_flat"
        norm.output[0] = unflatten.input[0] = f"{name}_flat_normed"
        unflatten.input[1] = f"{name}_last_shape"
        unflatten.output[0] = f"{name}_normed"
    graph.node.extend(added)


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    found = next((item for item in node.attribute if item.name == name), None)
    return default if found is None else helper.get_attribute_value(found)
