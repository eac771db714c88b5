"""Profiling real files in ONNX Runtime."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import Result

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.errors import MvdError, OutputError
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.loading.model import ModelRequest, load_model
from mobilevit_deploy.measurement.profiling import ProfileReport, ProfileRequest, profile_artifact
from mobilevit_deploy.measurement.profiling.trace import write_trace
from mobilevit_deploy.measurement.profiling.tree import build_tree, rows
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.targets.onnx.half_precision import convert_to_half
from tests.measurement.profiling.graphs import BLOCK_MACS, HEAD_MACS, SIZE, STEM_MACS, model, small_net, weight
from tests.support.schemas import check as check_document

PATHS = ("stem/conv", "stem/act", "block/conv", "block", "head", "head/norm", "head/fc", "head/fc")


def profile(made: onnx.ModelProto, folder: Path) -> ProfileReport:
    onnx.save(made, str(folder / "net.onnx"))
    return profile_artifact(ProfileRequest(folder / "net.onnx", threads=1, seconds=0.1))


def macs_by_module(report: ProfileReport, depth: int = 9) -> dict[str, int]:
    return {row.label: row.macs for row in rows(build_tree(report.nodes), depth) if row.macs}


def test_a_known_graph(tmp_path: Path) -> None:
    report = profile(small_net(), tmp_path)
    assert report.share(exact=False) == 1
    assert macs_by_module(report) == {
        "the whole model": STEM_MACS + BLOCK_MACS + HEAD_MACS,
        **{"stem.conv": STEM_MACS, "block.conv": BLOCK_MACS},
        **{"head": HEAD_MACS, "head.fc": HEAD_MACS},
    }
    by_module = {node.path: node for node in report.nodes if node.op == "Conv"}
    assert by_module["stem.conv"].sources == ("Conv", "Relu"), "ONNX Runtime fused the two"
    assert report.runs >= 10
    assert report.input_shape == (1, 16, SIZE, SIZE)
    assert report.nodes_ms > 0
    assert report.profiled_run_ms > 0
    assert report.peak_macs_per_s > 0


def test_half_precision(tmp_path: Path) -> None:
    """ONNX Runtime computes it in float32 on a CPU, between casts of its own, and names what it does after them."""
    report = profile(convert_to_half(small_net()), tmp_path)
    assert macs_by_module(report)["stem.conv"] == STEM_MACS
    assert macs_by_module(report)["block.conv"] == BLOCK_MACS
    assert {node.op for node in report.nodes if node.path in ("stem.conv", "block.conv") and node.macs} == {"Conv"}


def test_without_module_paths(tmp_path: Path) -> None:
    report = profile(small_net(paths=False), tmp_path)
    assert report.share(exact=False) == 0
    assert macs_by_module(report) == {
        "the whole model": STEM_MACS + BLOCK_MACS + HEAD_MACS,
        "no module known": STEM_MACS + BLOCK_MACS + HEAD_MACS,
    }


def test_paths_in_names(tmp_path: Path) -> None:
    """The TorchScript exporter writes scopes into the names of nodes and of their results."""
    made = small_net()
    names = {
        node.output[0]: f"/{path}/{node.op_type}_output_0" for node, path in zip(made.graph.node, PATHS, strict=True)
    }
    names |= {"x": "x", "y": "y"}
    for node, path in zip(made.graph.node, PATHS, strict=True):
        del node.metadata_props[:]
        node.name = f"/{path}/{node.op_type}"
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    report = profile(made, tmp_path)
    convolutions = {node.path: node for node in report.nodes if node.op == "Conv"}
    assert set(convolutions) == {"stem.conv", "block.conv"}
    assert all(node.exact for node in convolutions.values())
    assert macs_by_module(report)["head.fc"] == HEAD_MACS


def test_names_that_are_missing_or_used_twice(tmp_path: Path) -> None:
    made = small_net()
    for node in made.graph.node:
        node.name = "same" if node.op_type == "Conv" else ""
    report = profile(made, tmp_path)
    assert macs_by_module(report)["stem.conv"] == STEM_MACS
    assert macs_by_module(report)["block.conv"] == BLOCK_MACS
    assert report.share(exact=False) == 1


def test_a_node_that_only_the_runtime_knows(tmp_path: Path) -> None:
    """A file that was saved optimised: shape inference ends at such a node, and a run tells the shapes."""
    nodes = [
        helper.make_node("FusedConv", ["x", "w"], ["a"], domain="com.microsoft", activation="Relu"),
        helper.make_node("Conv", ["a", "v"], ["y"]),
    ]
    made = model(nodes, [weight("w", 8, 16, 3, 3), weight("v", 24, 8, 1, 1)])
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    inner = (SIZE - 2) ** 2
    assert sum(node.macs for node in profile(made, tmp_path).nodes) == inner * (8 * 16 * 9 + 24 * 8)


def test_branches_are_not_counted_twice(tmp_path: Path) -> None:
    def branch(name: str) -> onnx.GraphProto:
        nodes = [helper.make_node("Conv", ["x", "w"], [f"{name}_y"], name=f"{name}_conv")]
        return helper.make_graph(nodes, name, [], [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, None)])

    nodes = [
        helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=0),
        helper.make_node("Greater", ["largest", "zero"], ["condition"]),
        helper.make_node("If", ["condition"], ["y"], then_branch=branch("then"), else_branch=branch("else")),
    ]
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0])
    report = profile(model(nodes, [weight("w", 64, 16, 3, 3), zero]), tmp_path)
    assert "If" in {node.op for node in report.nodes}
    assert "Conv" not in {node.op for node in report.nodes}


def test_weights_in_another_file_and_a_free_batch(tmp_path: Path) -> None:
    made = model([helper.make_node("Conv", ["x", "w"], ["y"])], [weight("w", 8, 16, 3, 3)], ("batch", 16, SIZE, SIZE))
    onnx.save(made, str(tmp_path / "net.onnx"), save_as_external_data=True, size_threshold=0)
    report = profile_artifact(ProfileRequest(tmp_path / "net.onnx", threads=1, seconds=0.1))
    assert report.input_shape == (1, 16, SIZE, SIZE)
    assert sum(node.macs for node in report.nodes) == 8 * 16 * 9 * (SIZE - 2) ** 2


def test_what_cannot_be_profiled(tmp_path: Path) -> None:
    def refused(name: str, match: str) -> None:
        with pytest.raises(MvdError, match=match):
            profile_artifact(ProfileRequest(tmp_path / name, threads=1, seconds=0.1))

    onnx.save(small_net(), str(tmp_path / "net.onnx"))
    (tmp_path / "cut.onnx").write_bytes((tmp_path / "net.onnx").read_bytes()[:5000])
    refused("cut.onnx", r"cut\.onnx is no ONNX file")
    (tmp_path / "empty.onnx").touch()
    refused("empty.onnx", "holds no graph")
    refused("none.onnx", "does not exist")
    (tmp_path / "net.txt").touch()
    refused("net.txt", r"is no \.onnx file")
    (tmp_path / "net.mlpackage").mkdir()
    refused("net.mlpackage", "Core ML package, and profiling one needs a device")
    conv = helper.make_node("Conv", ["x", "w"], ["y"])
    onnx.save(model([conv], [weight("w", 8, 16, 3, 3)], (1, 16, "height", SIZE)), str(tmp_path / "free.onnx"))
    refused("free.onnx", r"dimension 2 of the input x is not fixed \(height\)")
    onnx.save(model([helper.make_node("Conv", ["x", "none"], ["y"])], []), str(tmp_path / "wrong.onnx"))
    refused("wrong.onnx", r"wrong\.onnx cannot be profiled: .*none")


def test_trace(tmp_path: Path) -> None:
    report = profile(small_net(), tmp_path)
    write_trace(report.trace, tmp_path / "trace.json")
    text = (tmp_path / "trace.json").read_text()
    events = json.loads(text)["traceEvents"]
    slices = [event for event in events if event["ph"] == "X"]
    assert len(slices) == report.runs * len(report.nodes)
    assert {"name", "ph", "ts", "dur", "pid", "tid", "args"} <= set(slices[0])
    assert all(a["ts"] + a["dur"] <= b["ts"] + 1 for a, b in pairwise(slices)), "one after another"
    assert {event["args"]["module"] for event in slices} >= {"stem.conv", "block.conv", "head.fc"}
    assert str(tmp_path) not in text
    assert "mvd-profile-" not in text
    with pytest.raises(OutputError, match="cannot write"):
        write_trace(report.trace, tmp_path / "none" / "trace.json")


def test_the_command(mvd: Callable[..., Result]) -> None:
    onnx.save(small_net(), "net.onnx")
    arguments = ("profile", "net.onnx", "--threads", 1, "--seconds", 0.1)
    result = mvd(*arguments, "--depth", 1, "--trace", "t.json")
    assert result.exit_code == 0, result.stderr
    for text in ("the whole model", "stem.conv", "head", "Conv", "GMAC/s", "peak:", "module known for 100.0%"):
        assert text in result.stdout
    assert "head.fc" not in result.stdout
    assert Path("t.json").is_file()
    document = check_document("profile", mvd(*arguments, "--json").stdout)
    assert document["macs"] == STEM_MACS + BLOCK_MACS + HEAD_MACS
    assert document["modules"][0]["share"] == 1
    assert sum(row["ms"] for row in document["ops"]) == pytest.approx(document["nodes_ms"])
    assert sum(node["ms"] for node in document["nodes"]) == pytest.approx(document["nodes_ms"])
    assert mvd("profile", "none.onnx").exit_code == 1
    before = Path("net.onnx").read_bytes()
    for name in ("net.onnx", "other.onnx", "."):
        assert mvd(*arguments, "--trace", name).exit_code == 2
    assert Path("net.onnx").read_bytes() == before


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("name", ["cas_vit_xs", "lightvit_tiny"])
def test_two_blocks_of_the_catalog(name: str, tmp_path: Path) -> None:
    request = ModelRequest(name)
    (exported,) = export_model(ExportRequest(request, ("onnx",), folder=tmp_path, rewrite=False))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        load_model(request).module(torch.zeros(1, 3, 224, 224))
    check_attribution(exported.artifact.path, counter.get_total_flops() // 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cas_vit_xs", "lightvit_tiny"])
def test_a_model_of_the_catalog(name: str, tmp_path: Path) -> None:
    (exported,) = export_model(ExportRequest(ModelRequest(name), ("onnx",), folder=tmp_path, rewrite=False))
    check_attribution(exported.artifact.path, catalog.model(name).variant.macs)


def check_attribution(path: Path, macs: int) -> None:
    """Checks that every node of a profile has its module; what a layout change belongs to is told by neighbours."""
    report = profile_artifact(ProfileRequest(path, threads=1, seconds=0.1))
    assert sum(node.macs for node in report.nodes) == macs
    assert all(node.path is not None for node in report.nodes)
    assert all(node.exact for node in report.nodes if node.macs)
    assert {node.op for node in report.nodes if not node.exact} <= {"ReorderInput", "ReorderOutput", "Transpose"}
