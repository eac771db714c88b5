"""What an ONNX file holds, by digests: each tensor with the module that reads it, and the graph without its numbers."""

import hashlib
from collections import defaultdict
from pathlib import Path

import onnx

from mobilevit_deploy.graph.module_notes import common_path
from mobilevit_deploy.targets.contents import Contents, StoredTensor, digest
from mobilevit_deploy.targets.onnx.files import load_onnx, nodes_of, tensors_of
from mobilevit_deploy.targets.onnx.module_paths import read_path

# Where a tensor keeps its numbers: any of these, or a file beside the model. The same numbers have the same digest.
NUMBERS = (
    "raw_data", "float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data",
    "external_data", "data_location",
)  # fmt: skip


def read_contents(path: Path) -> Contents:
    """Reads a file, and the weights beside it; raises ArtifactError when it is damaged."""
    return contents_of(load_onnx(path, weights=True))


def contents_of(model: onnx.ModelProto) -> Contents:
    """Returns what a model holds, with all its weights in memory."""
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    graph = onnx.ModelProto()
    graph.CopyFrom(model)
    del graph.metadata_props[:]
    readers = _readers(graph)
    found = []
    for name, tensor in list(tensors_of(graph)):
        kind = onnx.TensorProto.DataType.Name(tensor.data_type)
        paths = readers[name]
        module = common_path(paths) if paths else None
        found.append(StoredTensor(name, module, digest(kind, tensor.dims, _bytes(tensor))))
        for field in NUMBERS:
            tensor.ClearField(field)
    content = graph.SerializeToString(deterministic=True)
    return Contents(metadata, tuple(found), hashlib.sha256(content).hexdigest())


def _bytes(tensor: onnx.TensorProto) -> bytes:
    if tensor.HasField("raw_data"):
        return bytes(tensor.raw_data)
    if tensor.data_type == onnx.TensorProto.STRING:
        return b"\0".join(tensor.string_data)
    return bytes(onnx.numpy_helper.to_array(tensor).tobytes())


def _readers(model: onnx.ModelProto) -> dict[str, list[str]]:
    """Returns the paths of the modules that read a tensor, by its name."""
    found: dict[str, list[str]] = defaultdict(list)
    for node in nodes_of(model):
        path = read_path(node)
        if path is not None:
            for name in node.input:
                found[name].append(path)
    return found
