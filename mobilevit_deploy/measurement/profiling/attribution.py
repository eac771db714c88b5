"""Which part of a model a node of ONNX Runtime's optimised graph computes.

ONNX Runtime fuses nodes, renames them, and puts others in for a blocked memory layout. What it keeps are the names of
most tensors, and of most nodes in one form or another. Each such name is a border; a node of the optimised graph
computes whatever lies in the source graph between the borders that it reads and the one that it writes.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import onnx

from mobilevit_deploy.targets.onnx.module_paths import fill_from_neighbours, path_from_name, read_path

# They change the memory layout and compute nothing: one belongs to what reads it, the other to what it reads.
BEFORE, AFTER = "ReorderInput", "ReorderOutput"
SUMMING = ("Conv", "FusedConv")
CAST = "InsertedPrecisionFreeCast_"  # in front of what it computes in float32 where the file has float16
# What optimisers append, the last first: relu_nchwc, relu_bn_nchwc, node_token_7, node/MatMulAddFusion.
SUFFIXES = tuple(re.compile(text) for text in (r"(_bn)?_nchwc$", r"_token_\d+$", r"/[^/]*$"))


@dataclass(frozen=True)
class Origin:
    """What one node of the optimised graph computes.

    Attributes:
        path: the module, empty for the model itself, None where it is not known.
        exact: the path is that of source nodes; else it is taken from neighbours.
        sources: the op types of the source nodes, in their order.
        macs: multiplications.
    """

    path: str | None
    exact: bool
    sources: tuple[str, ...] = ()
    macs: int = 0


class Source:
    """The graph of the file: what computes each tensor, with module paths and multiplications."""

    def __init__(self, model: onnx.ModelProto, macs: Sequence[int | None]) -> None:
        self.nodes: Sequence[onnx.NodeProto] = model.graph.node
        self.paths = source_paths(self.nodes)
        self.macs = macs
        self.producers = {name: i for i, node in enumerate(self.nodes) for name in node.output if name}
        self.tensors = {*self.producers, *(item.name for item in model.graph.input)}
        self.readers = Counter(name for node in self.nodes for name in node.input)
        self.sums = {name: node.output[0] for node in self.nodes if node.op_type == "Add" for name in node.input}
        self.results = {node.name: tuple(node.output) for node in self.nodes if node.name}

    def tensor_called(self, name: str) -> str | None:
        """Returns the tensor of that name, or the one result of the node of that name."""
        if name not in self.tensors:
            name = name.removeprefix(CAST)
        if name in self.tensors:
            return name
        results = self.results.get(name, ())
        return results[0] if len(results) == 1 else None

    def with_sum(self, node: onnx.NodeProto, tensor: str) -> str:
        """Returns what a convolution writes that adds its fourth input: the sum, though it is called as before."""
        added = node.op_type in SUMMING and len(node.input) > 3 and node.input[3]
        return self.sums.get(tensor, tensor) if added and self.readers[tensor] == 1 else tensor

    def between(self, tensor: str, borders: set[str], claimed: set[int]) -> set[int]:
        """Returns the nodes that compute a tensor from borders, or from what others have computed."""
        found: set[int] = set()
        waiting = [tensor]
        while waiting:
            i = self.producers.get(waiting.pop())
            if i is not None and i not in found | claimed:
                found.add(i)
                waiting += [name for name in self.nodes[i].input if name not in borders]
        return found


def source_paths(nodes: Sequence[onnx.NodeProto]) -> list[str | None]:
    """Returns the paths of a file's nodes: as noted by the exporter, else from their names, else from neighbours."""
    paths = [read_path(node) for node in nodes]
    if not any(path is not None for path in paths):
        paths = [path_from_name(node.name) for node in nodes]
    return fill_from_neighbours(nodes, paths)


def attribute(source: Source, optimised: Sequence[onnx.NodeProto]) -> dict[str, Origin]:
    """Returns what each node of the optimised graph computes, by its name.

    Args:
        source: the graph of the file.
        optimised: the nodes that ONNX Runtime made of it, in an order in which they can run.
    """
    known = _known_tensors(source, optimised)
    borders = set(known.values())
    claimed: set[int] = set()
    origins = []
    for node in optimised:
        covered: set[int] = set()
        if node.op_type not in (BEFORE, AFTER):
            for name in node.output:
                if name in known:
                    covered |= source.between(known[name], borders, claimed)
        origins.append(_origin(source, sorted(covered)))
        claimed |= covered
    return _with_neighbours(optimised, origins)


def _known_tensors(source: Source, optimised: Sequence[onnx.NodeProto]) -> dict[str, str]:
    """Returns the source tensor that each tensor of the optimised graph holds, in whatever layout."""
    known = {}
    for node in optimised:
        if node.op_type == AFTER:  # its result keeps the name, so it tells what a fused node writes
            for result, given in zip(node.output, node.input, strict=False):
                if tensor := source.tensor_called(result):
                    known[result] = known[given] = tensor
    for node in optimised:
        results = next((source.results[name] for name in _names(node.name) if name in source.results), ())
        for i, name in enumerate(node.output):
            if not name or name in known:
                continue
            if node.op_type == BEFORE:
                tensor = known.get(node.input[0]) or source.tensor_called(node.input[0])
            else:
                tensor = source.tensor_called(name)
                if tensor is None and len(results) == len(node.output):
                    tensor = results[i]
                if tensor is None and len(node.output) == 1:
                    tensor = next(filter(None, map(source.tensor_called, _names(node.name))), None)
                    tensor = tensor and source.with_sum(node, tensor)
            if tensor:
                known[name] = tensor
    return known


def _names(name: str) -> Iterator[str]:
    """Yields a node's name, then what is left of it without what optimisers put around it."""
    name = name.removeprefix(CAST)
    while name:
        yield name
        name = next((shorter for suffix in SUFFIXES if (shorter := suffix.sub("", name)) != name), "")


def _origin(source: Source, covered: Sequence[int]) -> Origin:
    """Takes the module of the source node with most multiplications, else of the last."""
    if not covered:
        return Origin(None, False)
    macs = sum(source.macs[i] or 0 for i in covered)
    main = max(covered, key=lambda i: (source.macs[i] or 0, i))
    path = source.paths[main]
    return Origin(path, path is not None, tuple(source.nodes[i].op_type for i in covered), macs)


def _with_neighbours(optimised: Sequence[onnx.NodeProto], origins: Sequence[Origin]) -> dict[str, Origin]:
    paths = [origin.path for origin in origins]
    writers = {name: i for i, node in enumerate(optimised) for name in node.output}
    for i, node in enumerate(optimised):
        if node.op_type == AFTER and node.input[0] in writers:
            paths[i] = paths[writers[node.input[0]]]
    filled = fill_from_neighbours(optimised, paths)
    return {
        node.name: Origin(path, origin.exact, origin.sources, origin.macs)
        for node, origin, path in zip(optimised, origins, filled, strict=True)
    }
