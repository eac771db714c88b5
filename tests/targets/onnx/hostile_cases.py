"""Hostile and broken ONNX files: each is an edit of a good one, by what is wrong with it."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Edit = Callable[[onnx.ModelProto, Path], object]

HUGE = 2**40
DEEP = 25  # subgraphs in one another, four messages each: protobuf itself stops at a hundred


def first_weight(model: onnx.ModelProto) -> TensorProto:
    found: TensorProto = next(item for item in model.graph.initializer if len(item.dims) == 4)
    return found


def move_out(tensor: TensorProto, location: str, **entries: object) -> None:
    """Makes a tensor say that its values stand in another file."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in {"location": location, "offset": 0, "length": 8 * 27 * 4, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))


def elsewhere(location: str, **entries: object) -> Edit:
    return lambda model, _: move_out(first_weight(model), location, **entries)


def beside(prepare: Callable[[Path], object], location: str = "weights.bin", **entries: object) -> Edit:
    """Returns an edit with a file that is prepared beside the model."""

    def edit(model: onnx.ModelProto, folder: Path) -> None:
        prepare(folder / "weights.bin")
        move_out(first_weight(model), location, **entries)

    return edit


def feeding(op: str, **values: object) -> Edit:
    """Returns an edit that puts a node with constant inputs between the model and its output."""

    def edit(model: onnx.ModelProto, _: Path) -> None:
        graph, inputs = model.graph, []
        for name, value in values.items():
            if name == "x":
                inputs.append(graph.node[0].output[0])
            else:
                graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
                inputs.append(name)
        graph.node.insert(1, helper.make_node(op, inputs, ["planted"]))
        graph.node.append(helper.make_node("ReduceMax", ["planted"], ["largest"], keepdims=0))
        last = graph.output[0].name
        for item in graph.node:
            item.output[:] = ["before" if name == last else name for name in item.output]
        graph.node.append(helper.make_node("Add", ["before", "largest"], [last]))

    return edit


def set_input(*dims: int | str, kind: int = TensorProto.FLOAT) -> Edit:
    def edit(model: onnx.ModelProto, _: Path) -> None:
        model.graph.input[0].CopyFrom(helper.make_tensor_value_info(model.graph.input[0].name, kind, dims))

    return edit


def loop(model: onnx.ModelProto, _: Path) -> None:
    """Puts a loop without end in front of the output."""
    inner = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["state"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, []),
        ],
    )
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.array(True), "true"))
    graph.initializer.append(numpy_helper.from_array(np.array(0, np.float32), "zero"))
    last = graph.output[0].name
    for item in graph.node:
        item.output[:] = ["before" if name == last else name for name in item.output]
    graph.node.append(helper.make_node("Loop", ["", "true", "zero"], ["looped"], body=inner))
    graph.node.append(helper.make_node("Add", ["before", "looped"], [last]))


def nest(model: onnx.ModelProto, _: Path) -> None:
    graph = helper.make_graph([], "deepest", [], [])
    for i in range(DEEP):
        graph = helper.make_graph([helper.make_node("If", ["c"], [f"o{i}"], then_branch=graph)], "g", [], [])
    model.graph.node.extend(graph.node)


def cycle(model: onnx.ModelProto, _: Path) -> None:
    first, last = model.graph.node[0], model.graph.node[-1]
    first.input[0] = last.output[0]


def own_output(model: onnx.ModelProto, _: Path) -> None:
    model.graph.node[0].input[0] = model.graph.node[0].output[0]


def recurse(model: onnx.ModelProto, _: Path) -> None:
    """Adds a function that calls itself."""
    inner = helper.make_node("Planted", ["x"], ["y"], domain="planted")
    imports = [helper.make_opsetid("", 20), helper.make_opsetid("planted", 1)]
    model.functions.append(helper.make_function("planted", "Planted", ["x"], ["y"], [inner], imports))
    model.opset_import.append(helper.make_opsetid("planted", 1))
    last = model.graph.output[0].name
    for item in model.graph.node:
        item.output[:] = ["before" if name == last else name for name in item.output]
    model.graph.node.append(helper.make_node("Planted", ["before"], [last], domain="planted"))


def in_attribute(model: onnx.ModelProto, _: Path) -> None:
    tensor = TensorProto(dims=[8], data_type=TensorProto.FLOAT, name="t")
    move_out(tensor, "../secret", length=32)
    model.graph.node.insert(0, helper.make_node("Constant", [], ["stolen"], value=tensor))
    model.graph.output.append(helper.make_tensor_value_info("stolen", TensorProto.FLOAT, [8]))


def in_subgraph(model: onnx.ModelProto, _: Path) -> None:
    tensor = TensorProto(dims=[8], data_type=TensorProto.FLOAT, name="stolen")
    move_out(tensor, "../secret", length=32)
    out = [helper.make_tensor_value_info("stolen", TensorProto.FLOAT, [8])]
    branch = helper.make_graph([], "branch", [], out, [tensor])
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "true"))
    model.graph.node.append(helper.make_node("If", ["true"], ["got"], then_branch=branch, else_branch=branch))
    model.graph.output.append(helper.make_tensor_value_info("got", TensorProto.FLOAT, [8]))


def in_sparse(model: onnx.ModelProto, _: Path) -> None:
    values = TensorProto(dims=[1], data_type=TensorProto.FLOAT, name="sparse")
    move_out(values, "../secret", length=4)
    indices = helper.make_tensor("indices", TensorProto.INT64, [1], [0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [8]))


def set_dims(*dims: int) -> Edit:
    def edit(model: onnx.ModelProto, _: Path) -> None:
        first_weight(model).dims[:] = dims

    return edit


EXTERNAL: dict[str, Edit] = {
    "above the folder": elsewhere("../secret"),
    "above the folder, by a way round": elsewhere("a/../../secret"),
    "an absolute path": elsewhere("/etc/passwd", length=4),
    "endless zeros": elsewhere("/dev/zero"),
    "the process's own memory": elsewhere("/proc/self/mem", length=64),
    "a file that is not there": elsewhere("nothing.bin"),
    "no location": elsewhere(""),
    "the folder": elsewhere("."),
    "a null byte": elsewhere("a\0b"),
    "a name of a megabyte": elsewhere("a" * 10**6),
    "a path of Windows": elsewhere("..\\secret"),
    "a drive of Windows": elsewhere("C:\\secret"),
    "an address": elsewhere("http://127.0.0.1:9/weights"),
    "a link out of the folder": beside(lambda path: path.symlink_to("../secret")),
    "a link to a system file": beside(lambda path: path.symlink_to("/etc/passwd"), length=4),
    "a folder that is a link": beside(lambda path: path.symlink_to(".."), "weights.bin/secret"),
    "a link to endless zeros": beside(lambda path: path.symlink_to("/dev/zero")),
    "a link to itself": beside(lambda path: path.symlink_to(path)),
    "a pipe": beside(os.mkfifo),
    "a folder of that name": beside(lambda path: path.mkdir()),
    "a file that is too short": beside(lambda path: path.write_bytes(bytes(10))),
    "an offset beyond the end": beside(lambda path: path.write_bytes(bytes(1000)), offset=2**40),
    "a negative offset": beside(lambda path: path.write_bytes(bytes(1000)), offset=-4),
    "an offset that is no number": beside(lambda path: path.write_bytes(bytes(1000)), offset="planted"),
    "a length beyond the end": beside(lambda path: path.write_bytes(bytes(1000)), length=2**40),
    "a negative length": beside(lambda path: path.write_bytes(bytes(1000)), length=-1),
    "a length that wraps around": beside(lambda path: path.write_bytes(bytes(1000)), offset=8, length=2**64 - 8),
    "another length than the shape's": beside(lambda path: path.write_bytes(bytes(1000)), length=4),
    "in an attribute": in_attribute,
    "in a subgraph": in_subgraph,
    "in a sparse weight": in_sparse,
}

SIZES: dict[str, Edit] = {
    "an image of a terapixel": set_input(1, 3, 2**20, 2**20),
    "an image of 50 000 pixels a side": set_input(1, 3, 50_000, 50_000),
    "a terabyte of batch": set_input(HUGE, 3, 8, 8),
    "a size that wraps around": set_input(1, 3, 2**62, 8),
    "the largest size": set_input(1, 3, 2**63 - 1, 2**63 - 1),
    "a negative size": set_input(1, 3, -8, 8),
    "no pixels": set_input(1, 3, 0, 8),
    "a thousand dimensions": set_input(*[1] * 1000),
    "three dimensions": set_input(3, 8, 8),
    "no dimensions": set_input(),
    "free sides": set_input("n", 3, "h", "w"),
    "a name of a megabyte for a size": set_input(1, 3, "h" * 10**6, 8),
    "text as input": set_input(1, 3, 8, 8, kind=TensorProto.STRING),
    "complex numbers as input": set_input(1, 3, 8, 8, kind=TensorProto.COMPLEX64),
    "no type of input": set_input(1, 3, 8, 8, kind=0),
    "a type that is not there": set_input(1, 3, 8, 8, kind=99),
    "a weight of terabytes": set_dims(HUGE, 3, 3, 3),
    "a weight that wraps around": set_dims(2**62, 4, 2**62, 4),
    "a negative weight": set_dims(-8, 3, 3, 3),
    "a weight of another size": set_dims(8, 3, 3, 4),
    "a weight without sizes": set_dims(),
    "a tensor of terabytes": feeding("ConstantOfShape", shape=[HUGE]),
    "a tensor of 16 GB": feeding("ConstantOfShape", shape=[2**32]),
    "a negative tensor": feeding("ConstantOfShape", shape=[-4]),
    "expanded to terabytes": feeding("Expand", x=0, shape=[HUGE, 1, 1, 1, 1]),
    "expanded to 16 GB": feeding("Expand", x=0, shape=[2**25, 1, 1, 1, 1]),
    "tiled to terabytes": feeding("Tile", x=0, repeats=[HUGE, 1, 1, 1]),
    "padded to terabytes": feeding("Pad", x=0, pads=[0, 0, 0, 0, HUGE, 0, 0, 0]),
    "padded to 16 GB": feeding("Pad", x=0, pads=[0, 0, 0, 0, 0, 0, 2**13, 2**13]),
    "enlarged to terabytes": feeding(
        "Resize", x=0, roi=np.zeros(0, np.float32), scales=np.array([1, 1, 1e6, 1e6], np.float32)
    ),
    "reshaped to what it is not": feeding("Reshape", x=0, shape=[HUGE, HUGE]),
    "a range of terabytes": feeding("Range", start=0, limit=HUGE, delta=1),
    "gathered from outside": feeding("Gather", x=0, indices=[2**40]),
}


def clear(field: str) -> Edit:
    return lambda model, _: model.graph.ClearField(field)


def set_metadata(**entries: str) -> Edit:
    def edit(model: onnx.ModelProto, _: Path) -> None:
        for item in list(model.metadata_props):
            if item.key.removeprefix("mvd.") in entries:
                model.metadata_props.remove(item)
        for key, value in entries.items():
            model.metadata_props.add(key=f"mvd.{key}", value=value)

    return edit


def rename_op(name: str, domain: str = "") -> Edit:
    def edit(model: onnx.ModelProto, _: Path) -> None:
        model.graph.node[0].op_type, model.graph.node[0].domain = name, domain

    return edit


def set_opset(version: int) -> Edit:
    def edit(model: onnx.ModelProto, _: Path) -> None:
        model.opset_import[0].version = version

    return edit


def set_ir(version: int) -> Edit:
    def edit(model: onnx.ModelProto, _: Path) -> None:
        model.ir_version = version

    return edit


def twice(model: onnx.ModelProto, _: Path) -> None:
    model.graph.node.append(model.graph.node[0])


def two_inputs(model: onnx.ModelProto, _: Path) -> None:
    model.graph.input.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, [1, 3, 8, 8]))


def read_nothing(model: onnx.ModelProto, _: Path) -> None:
    model.graph.node[0].input[0] = "nothing"


def return_nothing(model: onnx.ModelProto, _: Path) -> None:
    model.graph.output[0].name = "nothing"


def note(text: str) -> Edit:
    """Returns an edit of the module path on a node, which is the text of a Python list."""

    def edit(model: onnx.ModelProto, _: Path) -> None:
        for item in model.graph.node:
            del item.metadata_props[:]
            item.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=text)
        model.graph.node[0].op_type = "Planted"

    return edit


GRAPHS: dict[str, Edit] = {
    "a cycle": cycle,
    "a node that reads itself": own_output,
    "a node that reads nothing": read_nothing,
    "an output that nothing makes": return_nothing,
    "two nodes of one result": twice,
    "two inputs": two_inputs,
    "no nodes": clear("node"),
    "no inputs": clear("input"),
    "no outputs": clear("output"),
    "no weights": clear("initializer"),
    "no graph": lambda model, _: model.ClearField("graph"),
    "no operation sets": lambda model, _: model.ClearField("opset_import"),
    "an operation set of the future": set_opset(9999),
    "a negative operation set": set_opset(-1),
    "a format of the future": set_ir(9999),
    "an unknown operation": rename_op("Planted"),
    "an operation without a name": rename_op(""),
    "an operation of the user's": rename_op("build", "planted"),
    "a cache of another runtime": rename_op("EPContext", "com.microsoft"),
    "Python in an operation": rename_op("PythonOp", "com.microsoft"),
    "a name with control characters": rename_op("\x1b[2J\x1b]0;owned\x07"),
    "a function that calls itself": recurse,
    "subgraphs in subgraphs": nest,
    "a loop without end": loop,
    "a module path of brackets": note("[" * 100_000),
    "a module path that is code": note("__import__('planted')"),
    "a module path of numbers": note("[" + "1+" * 50_000 + "1]"),
}

CLAIMS: dict[str, Edit] = {
    "own code": set_metadata(model="planted.py:build", own_code="true"),
    "a module": set_metadata(model="planted:build", own_code="false"),
    "a path as model": set_metadata(model="/etc/passwd", own_code="false"),
    "a recipe of its own": set_metadata(model="cas_vit_xs", own_code="false", recipe="loose.toml"),
    "a recipe that is not there": set_metadata(model="cas_vit_xs", own_code="false", recipe="planted"),
    "a checkpoint anywhere": set_metadata(
        model="cas_vit_xs", own_code="false", trained="true", weights="../../secret", weights_sha256="0" * 64
    ),
    "a checkpoint of a long name": set_metadata(
        model="cas_vit_xs", own_code="false", trained="true", weights="a" * 1000, weights_sha256="0" * 64
    ),
    "a checkpoint with a null byte": set_metadata(
        model="cas_vit_xs", own_code="false", trained="true", weights="a\0b", weights_sha256="0" * 64
    ),
    "another task": set_metadata(task="planted"),
    "brackets": set_metadata(keep_fp32="[" * 100_000),
    "no JSON": set_metadata(trained="yes"),
    "a number of a megabyte": set_metadata(prune="1" * 10**6),
    "an unknown precision": set_metadata(precision="w99"),
    "control characters": set_metadata(model="\x1b[2J", own_code="true"),
}
