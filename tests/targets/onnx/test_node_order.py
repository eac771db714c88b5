"""The order of ONNX nodes."""

import onnx
from onnx import helper

from mobilevit_deploy.targets.onnx.node_order import sort_nodes


def test_every_node_comes_behind_what_it_reads() -> None:
    nodes = [
        helper.make_node("Add", ["b", "w"], ["c"]),
        helper.make_node("Clip", ["a", "", "w"], ["b"]),  # an input that is left out has an empty name
        helper.make_node("Relu", ["x"], ["a"]),
    ]
    graph: onnx.GraphProto = helper.make_graph(nodes, "g", [], [])
    sort_nodes(graph)
    assert [node.op_type for node in graph.node] == ["Relu", "Clip", "Add"]
