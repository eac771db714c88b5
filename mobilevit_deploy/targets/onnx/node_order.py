"""The order of nodes in an ONNX graph."""

import onnx


def sort_nodes(graph: onnx.GraphProto) -> None:
    """Puts every node behind those that it reads: the converter adds the casts of inputs at the end."""
    waiting = [onnx.NodeProto.FromString(node.SerializeToString()) for node in graph.node]
    missing = {name for node in waiting for name in node.output}
    del graph.node[:]
    while waiting:
        ready = [node for node in waiting if missing.isdisjoint(node.input)]
        assert ready, "a graph with a cycle"
        done = {id(node) for node in ready}
        graph.node.extend(ready)
        missing.difference_update(name for node in ready for name in node.output)
        waiting = [node for node in waiting if id(node) not in done]
