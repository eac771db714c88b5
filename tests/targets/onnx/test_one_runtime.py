"""Files for ONNX Runtime's CPU provider alone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from typer.testing import Result

from mobilevit_deploy.errors import ConversionError
from mobilevit_deploy.export.export import ParityFailedError, export_model
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.targets.app_options import AppOptions
from mobilevit_deploy.targets.onnx import convert as onnx_target
from mobilevit_deploy.targets.onnx.module_paths import read_path
from mobilevit_deploy.targets.onnx.one_runtime import CPU, optimize_for_cpu
from tests.conftest import RESEARCH

NET = f"{RESEARCH / 'window_net.py'}:build"
REQUEST = ExportRequest(ModelRequest(NET), ("onnx",), app=AppOptions(runtime=CPU))


def exported(folder: Path, request: ExportRequest = REQUEST) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    (report,) = export_model(replace(request, folder=folder))
    assert report.parity.status == "passed"
    return onnx.load(str(report.artifact.path)), report.warnings


def test_it_has_the_operators_of_the_runtime(tmp_path: Path) -> None:
    model, warnings = exported(tmp_path)
    own = {node.op_type for node in model.graph.node if node.domain == "com.microsoft"}
    assert "FusedMatMul" in own
    assert warnings == (f"for ONNX Runtime's CPU provider: no other runtime reads {', '.join(sorted(own))}",)
    assert {item.domain for item in model.opset_import} == {"", "com.microsoft"}
    assert not any("nchwc" in node.domain for node in model.graph.node), "that is of one processor"


def test_it_says_of_each_operation_which_module_it_is_of(tmp_path: Path) -> None:
    model, _ = exported(tmp_path)
    plain, _ = exported(tmp_path / "plain", ExportRequest(ModelRequest(NET), ("onnx",)))
    known = {read_path(node) for node in plain.graph.node}
    assert None not in {read_path(node) for node in model.graph.node}
    assert {read_path(node) for node in model.graph.node} <= known


def test_a_fusion_that_is_wrong_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoiled(model: onnx.ModelProto) -> onnx.ModelProto:
        found = optimize_for_cpu(model)
        product = next(node for node in found.graph.node if node.op_type == "FusedMatMul")
        next(entry for entry in product.attribute if entry.name == "alpha").f *= 1.01
        return found

    monkeypatch.setattr(onnx_target, "optimize_for_cpu", spoiled)
    with pytest.raises(ParityFailedError):
        exported(tmp_path)


def test_a_graph_that_the_runtime_refuses() -> None:
    node = onnx.helper.make_node("Nothing", ["x"], ["y"], domain="nobody")
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    opsets = [onnx.helper.make_opsetid("", 20), onnx.helper.make_opsetid("nobody", 1)]
    graph = onnx.helper.make_graph([node], "g", values[:1], values[1:])
    with pytest.raises(ConversionError, match="ONNX Runtime refuses the graph"):
        optimize_for_cpu(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--to", "onnx", "--for", "tensorrt"], "give --for onnxruntime-cpu"),
        (["--to", "onnx", "--for", CPU, "--precision", "fp16"], "--precision fp16"),
        (["--to", "coreml", "--for", CPU], "add --to onnx"),
        (["--to", "onnx", "--for", CPU, "--image-input"], "--image-input cannot be written to onnx"),
    ],
)
def test_what_does_not_go_with_it(mvd: Callable[..., Result], options: list[str], words: str) -> None:
    done = mvd("export", NET, *options)
    assert done.exit_code == 2
    assert words in done.stderr


def test_the_file_has_a_name_of_its_own(mvd: Callable[..., Result], tmp_path: Path) -> None:
    done = mvd("export", NET, "--to", "onnx", "--for", CPU, "-o", str(tmp_path), "-q")
    (path,) = done.stdout.splitlines()
    assert path.endswith(f"-fp32-{CPU}.untrained.onnx")
    assert mvd("verify", path, "--model", NET).exit_code == 0
