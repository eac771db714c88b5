"""Reading an ONNX file as untrusted input: before anything runs it, and before anything in it is believed.

A model may say that its weights stand in other files; only regular files in its own folder are taken. It may also say
that a tensor has terabytes, or loop without end: no vision model needs either, so such a file is refused.
"""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import onnx
from onnx import external_data_helper

from mobilevit_deploy.errors import ArtifactError

LARGEST_INPUT = 2**28  # bytes; a batch of 400 at 224 px
LARGEST_TENSOR = 2**31  # bytes; the largest of a ViT-L at 384 px, its attention, has 22 MB
MOST_LOOPS = 1_000_000
SMALL = 2**16  # bytes of a constant that shapes may follow from
COPY_AGAIN = "export or copy the file again"
DAMAGE = "it is damaged, or was made to do harm: do not use it"


def load_onnx(path: Path, *, weights: bool = False) -> onnx.ModelProto:
    """Reads and checks a file.

    Args:
        path: the file.
        weights: read those that stand in other files, too.

    Raises:
        ArtifactError: it is missing, damaged, or asks for files, memory or time that a model does not need.
    """
    if not path.is_file():  # a pipe would be waited for
        raise ArtifactError(f"{path} is no file", COPY_AGAIN)
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf raises many kinds for a damaged file
        raise ArtifactError(f"{path.name} is no ONNX file, or damaged{_because(error)}", COPY_AGAIN) from error
    if not model.HasField("graph"):
        raise ArtifactError(f"{path.name} is no ONNX file: it holds no graph", COPY_AGAIN)
    check_onnx(model, path)
    if weights:
        try:
            external_data_helper.load_external_data_for_model(model, str(path.parent))
        except Exception as error:
            raise ArtifactError(f"the weights of {path.name} cannot be read{_because(error)}", COPY_AGAIN) from error
    return model


def check_onnx(model: onnx.ModelProto, path: Path) -> None:
    """Raises ArtifactError for files outside the model's folder, and for what takes memory or time without end."""
    if any(isinstance(text, bytes) for text in _texts(model)):  # which protobuf leaves as they are
        raise ArtifactError(f"{path.name} is damaged: a name in it is no UTF-8", COPY_AGAIN)
    for _, tensor in tensors_of(model):
        if external_data_helper.uses_external_data(tensor):
            _check_external(tensor, path)
        elif tensor.HasField("raw_data") and len(tensor.raw_data) < _bytes(tensor.dims, tensor.data_type, path):
            raise ArtifactError(f"the weight {tensor.name} of {path.name} is larger than what the file holds", DAMAGE)
    _check_loops(model, path)
    _check_sizes(model, path)


def has_external_weights(path: Path) -> bool:
    """Tells whether weights of a file stand in other files; raises ArtifactError for a damaged one."""
    return any(external_data_helper.uses_external_data(tensor) for _, tensor in tensors_of(load_onnx(path)))


def has_shapes_elsewhere(path: Path) -> bool:
    """Tells whether a file that was read before keeps whole numbers, such as axes, in another file."""
    tensors = (tensor for _, tensor in tensors_of(load_onnx(path)))
    whole = (onnx.TensorProto.INT64, onnx.TensorProto.INT32)
    return any(external_data_helper.uses_external_data(tensor) and tensor.data_type in whole for tensor in tensors)


def first_line(error: BaseException) -> str:
    """Returns the first line of what an error says, or its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _because(error: BaseException) -> str:
    return f": {first_line(error)}"


def _check_external(tensor: onnx.TensorProto, path: Path) -> None:
    """Raises ArtifactError unless a weight's values stand in a regular file of the model's own folder."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location, folder = entries.get("location", ""), path.parent.resolve()
    what = f"the weight {tensor.name} of {path.name} stands in {location!r}"
    try:
        file = (folder / location).resolve()
        inside = file.is_relative_to(folder) and not Path(location).is_absolute()
        size = file.stat().st_size if file.is_file() else None
    except (OSError, ValueError, RuntimeError) as error:  # a null byte, a name that is too long, a loop of links
        raise ArtifactError(f"{what}, which is no path", DAMAGE) from error
    if not inside:
        raise ArtifactError(f"{what}, which lies outside its folder", DAMAGE)
    if size is None:
        raise ArtifactError(f"{what}, which is not there", "copy that file, too, into the same folder")
    expected = _bytes(tensor.dims, tensor.data_type, path)
    offset, length = (_whole(entries.get(key, default), path) for key, default in (("offset", 0), ("length", expected)))
    if length != expected or offset + length > size:
        raise ArtifactError(f"{what}, which does not hold its {expected:,} bytes at {offset:,}", COPY_AGAIN)


def _whole(value: object, path: Path) -> int:
    text = str(value)
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise ArtifactError(f"{path.name} gives {text[:40]!r} as a place in a file", DAMAGE)
    return int(text)


def _check_loops(model: onnx.ModelProto, path: Path) -> None:
    counts = {item.name: item for item in model.graph.initializer}
    for node in nodes_of(model):
        if node.op_type != "Loop":
            continue
        name = node.input[0] if node.input else ""
        if not name:
            raise ArtifactError(f"{path.name} has a loop without a number of turns", "export it without the loop")
        if name in counts and (turns := _number(counts[name])) is not None and turns > MOST_LOOPS:
            raise ArtifactError(f"{path.name} has a loop of {turns:,} turns", DAMAGE)


def _number(tensor: onnx.TensorProto) -> int | None:
    try:
        return int(onnx.numpy_helper.to_array(tensor).reshape(-1)[0])
    except Exception:  # it is no number that can be read, which is for the runtime to say
        return None


def _check_sizes(model: onnx.ModelProto, path: Path) -> None:
    """Raises ArtifactError when a tensor would not fit into a telephone, as far as sizes are known beforehand."""
    graph = model.graph
    for value in graph.input:
        shape = value.type.tensor_type.shape.dim
        if math.prod(size.dim_value or 1 for size in shape) * 4 > LARGEST_INPUT:
            shown = "x".join(str(size.dim_value) for size in shape[:8])
            raise ArtifactError(f"{path.name} takes an input {value.name} of {shown}, which is no image", DAMAGE)
    for value in (*graph.input, *graph.output, *graph.value_info, *_inferred(model)):
        tensor = value.type.tensor_type
        sizes = [size.dim_value for size in tensor.shape.dim if size.HasField("dim_value")]
        if _bytes(sizes, tensor.elem_type, path) > LARGEST_TENSOR:
            shown = "x".join(map(str, sizes[:8]))
            raise ArtifactError(f"{path.name} has a tensor {value.name} of {shown}, more than 2 GB", DAMAGE)


def _inferred(model: onnx.ModelProto) -> Iterable[Any]:
    """Returns the values whose sizes follow from the inputs' and from small constants."""
    light = onnx.ModelProto()
    light.CopyFrom(model)
    for tensor in light.graph.initializer:
        if len(tensor.raw_data) > SMALL:
            tensor.ClearField("raw_data")
    try:
        values: Iterable[Any] = onnx.shape_inference.infer_shapes(light, data_prop=True).graph.value_info
    except Exception:  # it raises many kinds for what it does not know: the runtime will say what is wrong
        return ()
    return values


def _bytes(sizes: Iterable[int], kind: int, path: Path) -> int:
    """Returns how much memory a tensor takes."""
    known = list(sizes)
    if any(size < 0 for size in known):
        raise ArtifactError(f"{path.name} has a tensor with the size {min(known)}", DAMAGE)
    bits = {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2}
    try:
        name = onnx.TensorProto.DataType.Name(kind)
        width = bits.get(name) or 8 * onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize
    except (ValueError, KeyError, TypeError):  # no type, or one of another version: the runtime will refuse it
        width = 8
    return -(-math.prod(known) * width // 8)


def _texts(model: onnx.ModelProto) -> Iterator[object]:
    """Yields the names and notes that mvd reads."""
    graph = model.graph
    yield from (graph.name, model.producer_name)
    for entry in (*model.metadata_props, *(entry for node in graph.node for entry in node.metadata_props)):
        yield from (entry.key, entry.value)
    for node in nodes_of(model):
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
    for value in (*graph.input, *graph.output, *graph.value_info):
        yield from (value.name, *(size.dim_param for size in value.type.tensor_type.shape.dim))
    for _, tensor in tensors_of(model):
        yield from (tensor.name, *(part for entry in tensor.external_data for part in (entry.key, entry.value)))
    yield from (item.domain for item in model.opset_import)


def nodes_of(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Yields every node, those of functions, branches and loop bodies among them."""
    for function in model.functions:
        yield from _inside(function.node)
    yield from _inside(model.graph.node)


def _inside(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (*attribute.graphs, attribute.g):
                yield from _inside(graph.node)


def tensors_of(model: onnx.ModelProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Yields every tensor that holds values, wherever it stands, with the name by which it is read.

    That is the name of a node's result for a tensor that stands in the node.
    """
    parts = (part for node in nodes_of(model) for item in node.attribute for part in (item.g, *item.graphs))
    for graph in (model.graph, *parts):
        yield from ((tensor.name, tensor) for tensor in graph.initializer)
        for sparse in graph.sparse_initializer:
            yield from ((sparse.values.name, part) for part in (sparse.values, sparse.indices))
    for node in nodes_of(model):
        name = node.output[0] if node.output else node.name
        for attribute in node.attribute:
            for tensor in (*attribute.tensors, *([attribute.t] if attribute.HasField("t") else [])):
                yield name, tensor
            single = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
            for sparse in (*attribute.sparse_tensors, *single):
                yield from ((name, part) for part in (sparse.values, sparse.indices))
