"""What nodes of an optimised graph compute; names are as ONNX Runtime 1.31 writes them."""

import onnx
import pytest
from onnx import helper

from mobilevit_deploy.measurement.profiling.attribution import Origin, Source, attribute, source_paths
from mobilevit_deploy.measurement.profiling.macs import graph_macs
from mobilevit_deploy.targets.onnx.module_paths import write_path
from tests.measurement.profiling.graphs import BLOCK_MACS, HEAD_MACS, STEM_MACS, small_net


def source_of(model: onnx.ModelProto) -> Source:
    return Source(model, graph_macs(model))


OPTIMISED = [
    helper.make_node("ReorderInput", ["x"], ["reorder_token_0"], name="ReorderInput"),
    helper.make_node("Conv", ["reorder_token_0", "w"], ["reorder_token_1"], name="relu_nchwc"),
    helper.make_node("Conv", ["reorder_token_1", "w", "reorder_token_1"], ["reorder_token_2"], name="conv_1_nchwc"),
    helper.make_node("ReorderOutput", ["reorder_token_2"], ["add"], name="ReorderOutput_token_3"),
    helper.make_node("Transpose", ["add"], ["Transpose_token_4_out"], name="Transpose_token_4"),
    helper.make_node("LayerNormalization", ["Transpose_token_4_out", "one"], ["norm"], name="node_norm"),
    helper.make_node("Reshape", ["norm", "shape"], ["flat"], name="Reshape_token_5"),
    helper.make_node("Gemm", ["flat", "w", "b"], ["gemm"], name="node_matmul/MatMulAddFusion"),
    helper.make_node("Reshape", ["gemm", "shape"], ["y"], name="Reshape_token_6"),
]


def test_fused_renamed_and_new_nodes() -> None:
    assert attribute(source_of(small_net()), OPTIMISED) == {
        "ReorderInput": Origin("stem.conv", False),  # belongs to what reads it
        "relu_nchwc": Origin("stem.conv", True, ("Conv", "Relu"), STEM_MACS),  # where the work is, not where it ends
        "conv_1_nchwc": Origin("block.conv", True, ("Conv", "Add"), BLOCK_MACS),  # the Add is seen by its name behind
        "ReorderOutput_token_3": Origin("block.conv", False),  # belongs to what it reads
        # It has neither a known name nor a known result: the norm that reads it covers the source's Transpose.
        "Transpose_token_4": Origin("head.norm", False),
        "node_norm": Origin("head.norm", True, ("Transpose", "LayerNormalization"), 0),
        "Reshape_token_5": Origin("head.fc", False),
        "node_matmul/MatMulAddFusion": Origin("head.fc", True, ("MatMul",), HEAD_MACS),
        "Reshape_token_6": Origin("head.fc", True, ("Add",), 0),
    }


def test_a_node_that_two_read_counts_once() -> None:
    """The optimiser dropped the border ``conv``: both readers would compute it."""
    source = small_net()
    source.graph.node.insert(2, helper.make_node("Sigmoid", ["conv"], ["sigmoid"], name="node_sigmoid"))
    optimised = [
        helper.make_node("Fused", ["x"], ["relu"], name="a"),
        helper.make_node("Fused", ["x"], ["sigmoid"], name="b"),
    ]
    found = attribute(source_of(source), optimised)
    assert [found[name].macs for name in "ab"] == [STEM_MACS, 0]


def test_a_sum_in_a_convolution_that_nothing_names() -> None:
    """Where the next reader takes the blocked layout there is no ReorderOutput to name the sum."""
    source = small_net()
    source.graph.node[4].CopyFrom(helper.make_node("Conv", ["add", "w1"], ["last"], name="node_conv_2"))
    optimised = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["reorder_token_1"], name="relu_nchwc"),
        helper.make_node("Conv", ["reorder_token_1", "w1", "b1", "reorder_token_1"], ["token_2"], name="conv_1_nchwc"),
        helper.make_node("Conv", ["token_2", "w1"], ["last"], name="last_nchwc"),
    ]
    found = attribute(source_of(source), optimised)
    assert found["conv_1_nchwc"].sources == ("Conv", "Add")
    assert found["last_nchwc"].sources == ("Conv",)


def test_split_of_gathers() -> None:
    """GatherSliceToSplitFusion calls its results as the nodes whose results they are."""
    source = small_net()
    for i in range(2):
        node = helper.make_node("Slice", ["add", "s", "e"], [f"val_{i}"], name=f"node_Slice_{i}")
        write_path(node, "block.cut")
        source.graph.node.insert(4 + i, node)
    name = "node_Slice_1/GatherSliceToSplitFusion"
    optimised = [
        helper.make_node("Conv", ["x"], ["add"], name="conv_1_nchwc"),
        helper.make_node("Split", ["add"], ["node_Slice_0", "node_Slice_1"], name=name),
    ]
    assert attribute(source_of(source), optimised)[name] == Origin("block.cut", True, ("Slice", "Slice"), 0)


@pytest.mark.parametrize(
    ("names", "paths"),
    [
        (["/stem/conv/Conv", "/stem/Relu", "Reshape_1"], ["stem.conv", "stem", "stem"]),
        (["Conv_0", "Relu_1", ""], [None, None, None]),
    ],
)
def test_paths_of_foreign_files(names: list[str], paths: list[str | None]) -> None:
    nodes = [helper.make_node("Op", [str(i)], [str(i + 1)], name=name) for i, name in enumerate(names)]
    assert source_paths(nodes) == paths


def test_names_do_not_speak_where_the_exporter_did() -> None:
    nodes = [helper.make_node("Op", ["0"], ["1"], name="a"), helper.make_node("Op", ["1"], ["2"], name="wrong/b")]
    write_path(nodes[0], "right")
    assert source_paths(nodes) == ["right", "right"]
