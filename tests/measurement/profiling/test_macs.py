"""Multiplications against numbers worked out by hand."""

from typing import Any

import pytest
from onnx import helper

from mobilevit_deploy.measurement.profiling.macs import Shape, graph_macs, node_macs
from tests.measurement.profiling.graphs import BLOCK_MACS, HEAD_MACS, STEM_MACS, model, small_net, weight


@pytest.mark.parametrize(
    ("op", "inputs", "output", "attributes", "macs"),
    [
        ("Conv", [(1, 8, 4, 4), (6, 8, 3, 3)], (1, 6, 2, 2), {}, 6 * 8 * 9 * 4),
        ("FusedConv", [(2, 8, 4, 4), (8, 1, 3, 3), (8,)], (2, 8, 4, 4), {"group": 8}, 2 * 8 * 9 * 16),
        ("QLinearConv", [(1, 8, 4, 4), (), (), (6, 8, 1, 1), (), ()], (1, 6, 4, 4), {}, 6 * 8 * 16),
        ("ConvTranspose", [(1, 8, 4, 4), (8, 5, 2, 2)], (1, 5, 8, 8), {}, 8 * 5 * 4 * 16),
        ("MatMul", [(2, 3, 4, 5), (5, 6)], (2, 3, 4, 6), {}, 2 * 3 * 4 * 5 * 6),
        ("FusedMatMul", [(2, 5, 4), (2, 5, 6)], (2, 4, 6), {"transA": 1}, 2 * 4 * 5 * 6),
        ("Gemm", [(4, 5), (6, 5), (6,)], (4, 6), {"transB": 1}, 4 * 5 * 6),
        ("Gemm", [(5, 4), (5, 6)], (4, 6), {"transA": 1}, 4 * 5 * 6),
        ("QLinearMatMul", [(4, 5), (), (), (5, 6), (), (), (), ()], (4, 6), {}, 4 * 5 * 6),
        ("Add", [(4, 5), (4, 5)], (4, 5), {}, 0),
        ("MatMul", [None, (5, 6)], (4, 6), {}, None),
        ("MatMul", [(4, 5), (5, 6)], None, {}, None),
        ("Conv", [(1, 8, 4, 4), None], (1, 6, 2, 2), {}, None),
    ],
)
def test_one_node(
    op: str, inputs: list[Shape | None], output: Shape | None, attributes: dict[str, Any], macs: int | None
) -> None:
    assert node_macs(op, inputs, output, attributes) == macs


def test_a_graph() -> None:
    assert graph_macs(small_net()) == [STEM_MACS, 0, BLOCK_MACS, 0, 0, 0, HEAD_MACS, 0]


def test_what_shape_inference_does_not_know_is_not_guessed() -> None:
    nodes = [
        helper.make_node("FusedConv", ["x", "w"], ["a"], domain="com.microsoft"),
        helper.make_node("MatMul", ["a", "v"], ["y"]),
    ]
    made = model(nodes, [weight("w", 4, 16, 1, 1), weight("v", 16, 3)])
    assert graph_macs(made) == [None, None], "its domain is not imported, which stops shape inference"
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    assert graph_macs(made) == [None, None]
