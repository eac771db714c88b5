"""A graph that counts the turns of its own loop cannot be seen through beforehand: it is stopped."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.onnx import runner as runner
from mobilevit_deploy.targets.onnx.files import load_onnx


def test_a_loop_that_is_counted_in_the_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["state"], ["next"])],
        "body",
        [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("state", TensorProto.FLOAT, [])],
        [value("on", TensorProto.BOOL, []), value("next", TensorProto.FLOAT, [])],
    )
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=0),
        helper.make_node("Mul", ["largest", "many"], ["product"]),
        helper.make_node("Cast", ["product"], ["turns"], to=TensorProto.INT64),
        helper.make_node("Loop", ["turns", "true", "largest"], ["y"], body=body),
    ]
    constants = {"many": np.array(1e12, np.float32), "true": np.array(True)}
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, [1, 3, 8, 8])], [value("y", TensorProto.FLOAT, [])], weights
    )
    path = tmp_path / "a.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    load_onnx(path)
    monkeypatch.setattr(runner, "LONGEST_RUN_S", 1)
    with pytest.raises(ArtifactError, match="ONNX Runtime stopped it"):
        runner.OnnxRuntimeRunner(path, "all").run(np.ones((1, 3, 8, 8), np.float32))
