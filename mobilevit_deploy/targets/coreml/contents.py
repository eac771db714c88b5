"""What a package holds, by digests: each weight with the module that reads it, and the program without its numbers."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mobilevit_deploy.graph.module_notes import common_path, module_paths, owner, read_notes
from mobilevit_deploy.targets.contents import Contents, StoredTensor, digest, note
from mobilevit_deploy.targets.coreml.mil.blobs import WeightFileError
from mobilevit_deploy.targets.coreml.mil.listing import is_stored
from mobilevit_deploy.targets.coreml.mil.package import Package
from mobilevit_deploy.targets.coreml.mil.pipeline import split_pipeline
from mobilevit_deploy.targets.coreml.mil.program import TensorType, decode_type

# Where a value in the program keeps what may be weights: small ones, scales and epsilons. Whole numbers are sizes, axes
# and strides, which belong to the graph, and so do texts.
NUMBERS = {"floats": np.float32, "doubles": np.float64, "bytes": np.uint8}


def read_contents(path: Path) -> Contents:
    """Reads a package; raises ArtifactError when it is damaged."""
    return contents_of(Package(path))


def note_contents(path: Path) -> None:
    """Notes in a package's metadata what it holds."""
    package = Package(path)
    package.model.description.metadata.userDefined.update(note(contents_of(package)))
    package.model_file.write_bytes(package.model.SerializeToString(deterministic=True))


def contents_of(package: Package) -> Contents:
    """Returns what an opened package holds."""
    graph = type(package.model)()
    graph.CopyFrom(package.model)
    metadata = dict(graph.description.metadata.userDefined)
    network = graph
    if package.suppression:
        network, suppression = split_pipeline(graph, package.path.name)
        _clear_notes(network.description)
        _clear_notes(suppression.description)
    _clear_notes(graph.description)
    found = []
    functions = network.mlProgram.functions
    for function in sorted(functions):
        for _, block in sorted(functions[function].block_specializations.items()):
            modules = _modules(block.operations, metadata)
            for operation in block.operations:
                for parameter, value in _values(operation):
                    sha256 = _take(package, value)
                    if sha256:
                        name = _name(operation, parameter) + (f" ({function})" if len(functions) > 1 else "")
                        found.append(StoredTensor(name, _module(operation, modules), sha256))
    return Contents(metadata, tuple(found), hashlib.sha256(_canonical(graph, {})).hexdigest())


def _canonical(message: Any, known: dict[tuple[str, bytes], bytes]) -> bytes:
    """Returns bytes that are the same for the same message, whichever implementation of protobuf reads it.

    What these write differs: each has an order of its own for the entries of maps, also of the deterministic kind.

    Args:
        message: any.
        known: what it is for messages so far, by what protobuf writes: most types of values occur again and again.
    """
    key = (message.DESCRIPTOR.full_name, message.SerializeToString())
    if key not in known:
        known[key] = b"".join(_parts(message, known))
    return known[key]


def _parts(message: Any, known: dict[tuple[str, bytes], bytes]) -> Iterator[bytes]:
    for field, value in message.ListFields():
        if field.message_type is None:
            items = [repr(value if isinstance(value, str | bytes | float | int) else list(value)).encode()]
        elif _is_map(field.message_type):
            items = [part for key in sorted(value) for part in (key.encode(), _entry(value[key], known))]
        else:
            items = [_canonical(item, known) for item in ([value] if hasattr(value, "ListFields") else value)]
        yield f"{field.number} {' '.join(str(len(item)) for item in items)}\n".encode()
        yield from items


@cache
def _is_map(kind: Any) -> bool:
    return bool(kind.GetOptions().map_entry)


def _entry(value: Any, known: dict[tuple[str, bytes], bytes]) -> bytes:
    return _canonical(value, known) if hasattr(value, "ListFields") else repr(value).encode()


def _clear_notes(description: Any) -> None:
    """Removes what Xcode lets people edit: the metadata, and descriptions of inputs and outputs."""
    description.ClearField("metadata")
    for part in (description, *description.functions):
        for feature in (*part.input, *part.output, *part.state):
            feature.ClearField("shortDescription")


def _values(operation: Any) -> Iterator[tuple[str, Any]]:
    """Yields the values that stand in an operation, by parameter."""
    yield from sorted((key, value) for key, value in operation.attributes.items() if key != "name")
    for parameter, argument in sorted(operation.inputs.items()):
        for binding in argument.arguments:
            if binding.WhichOneof("binding") == "value":
                yield parameter, binding.value


def _take(package: Package, value: Any) -> str | None:
    """Takes the numbers out of a value and returns their digest; None for what belongs to the graph."""
    blob = value.WhichOneof("value") == "blobFileValue"
    tensor = value.immediateValue.tensor
    field = tensor.WhichOneof("value")
    if not blob and field not in NUMBERS:
        return None
    kind = decode_type(value.type)
    if not isinstance(kind, TensorType) or kind.shape is None:
        return None
    shape = tuple(size or 0 for size in kind.shape)
    if blob:
        content = _stored(package, value.blobFileValue, kind, shape)
        value.ClearField("blobFileValue")
    else:
        values = getattr(tensor, field).values
        content = bytes(values) if field == "bytes" else np.asarray(values, NUMBERS[field]).tobytes()
        tensor.ClearField(field)
    return digest(kind.data_type.name, shape, content)


def _stored(package: Package, blob: Any, kind: TensorType, shape: Sequence[int]) -> bytes:
    try:
        return package.blob_file(blob.fileName).content(blob.offset, kind.data_type, tuple(shape))
    except WeightFileError:  # which may be cut short: what cannot be read is not what was exported
        return b"no weight"  # which is another digest than that of any


def _name(operation: Any, parameter: str) -> str:
    name = operation.outputs[0].name if operation.outputs else operation.type
    return name if parameter == "val" else f"{name}, {parameter}"


def _module(operation: Any, modules: dict[str, str | None]) -> str | None:
    return modules.get(operation.outputs[0].name) if operation.outputs else None


def _modules(operations: Sequence[Any], metadata: dict[str, str]) -> dict[str, str | None]:
    """Returns the module of each value: of a constant, that of what reads it, also through its decompression."""
    found, noted = module_paths(operations, metadata), read_notes(metadata)
    readers: dict[str, list[str]] = defaultdict(list)
    for operation in reversed(operations):
        names = [item.name for item in operation.outputs]
        if is_stored(operation):
            for name in names:
                found[name] = owner(name, noted) or (common_path(readers[name]) if readers[name] else None)
        paths = [path for name in names if (path := found.get(name)) is not None]
        for argument in operation.inputs.values():
            for binding in argument.arguments:
                readers[binding.name] += paths
    return found
