"""PyTorch module paths on the nodes of ONNX graphs: read, written, and taken from neighbours where there is none.

A path is dotted, as in ``named_modules()``; the empty path is the model itself, and None says that it is not known.
"""

import ast
from collections import defaultdict
from collections.abc import Iterable, Sequence

import onnx

from mobilevit_deploy.graph.module_notes import common_path

LONGEST_NOTE = 10_000  # characters; a module 50 deep has a tenth of it
MODULE_PATH_KEY = "pkg.torch.onnx.name_scopes"  # where the dynamo exporter notes it on a node


def read_path(node: onnx.NodeProto) -> str | None:
    """Returns the path that the exporter noted: a list of scopes, of which the last is the operation itself."""
    for entry in node.metadata_props:
        if entry.key == MODULE_PATH_KEY:
            try:
                scopes = ast.literal_eval(entry.value) if len(entry.value) <= LONGEST_NOTE else None
            except (ValueError, SyntaxError, RecursionError, MemoryError):  # the last two for many brackets
                return None
            return str(scopes[-2]) if isinstance(scopes, list) and len(scopes) > 1 else None
    return None


def write_path(node: onnx.NodeProto, path: str) -> None:
    """Notes a path as the exporter does, in place of the node's other notes."""
    parts = path.split(".") if path else []
    scopes = ["", *(".".join(parts[: i + 1]) for i in range(len(parts))), node.name]
    del node.metadata_props[:]
    node.metadata_props.add(key=MODULE_PATH_KEY, value=repr(scopes))


def path_from_name(name: str) -> str | None:
    """Returns the path that a node's own name holds.

    The TorchScript exporter writes ``/features/features.0/features.0.0/Conv`` for the module ``features.0.0``: each
    container repeats the name before it. Names of other exporters are scopes with slashes as well.
    """
    *scopes, _ = name.strip("/").split("/")
    if not scopes:
        return "" if name.startswith("/") else None
    parts: list[str] = []
    for before, scope in zip(["", *scopes], scopes, strict=False):
        repeated = before and scope.startswith(f"{before}.")
        parts.append(scope.removeprefix(f"{before}.") if repeated else scope)
    return ".".join(parts)


def fill_from_neighbours(nodes: Sequence[onnx.NodeProto], paths: Sequence[str | None]) -> list[str | None]:
    """Gives nodes without a path the innermost module of all their readers, else of all that they read.

    Readers come first: an optimiser that replaces operations keeps the name of the last result, so what it adds
    stands in front of a node that is known.

    Args:
        nodes: in an order in which they can run.
        paths: of the nodes, None where unknown.
    """
    readers, producers = defaultdict(list), {}
    for i, node in enumerate(nodes):
        for name in filter(None, node.input):
            readers[name].append(i)
        for name in filter(None, node.output):
            producers[name] = i
    filled = list(paths)

    def take(i: int, neighbours: Iterable[int]) -> None:
        known = [path for j in neighbours if (path := filled[j]) is not None]
        if filled[i] is None and known:
            filled[i] = common_path(known)

    for i in reversed(range(len(nodes))):
        take(i, [j for name in nodes[i].output for j in readers[name]])
    for i, node in enumerate(nodes):
        take(i, [producers[name] for name in node.input if name in producers])
    return filled
