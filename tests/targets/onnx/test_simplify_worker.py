"""What the simplifier's child compares: files with inputs and outputs of every type."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mobilevit_deploy.targets.onnx.simplify_worker import _run, _same

INPUTS = {"image": TensorProto.FLOAT, "half": TensorProto.FLOAT16, "ids": TensorProto.INT64, "flags": TensorProto.BOOL}


def write(path: Path, table: float = 1.0) -> str:
    """Writes a file that returns a truth value, a number of a table, and the other inputs as they are."""
    nodes = [
        helper.make_node("Greater", ["image", "zero"], ["positive"]),
        helper.make_node("Gather", ["table", "ids"], ["found"]),
        helper.make_node("Not", ["flags"], ["others"]),
        helper.make_node("Neg", ["half"], ["negative"]),
    ]
    weights = [
        numpy_helper.from_array(np.zeros(1, np.float32), "zero"),
        numpy_helper.from_array(np.array([0.0, table], np.float32), "table"),
    ]
    outputs = {"positive": TensorProto.BOOL, "found": TensorProto.FLOAT, "others": TensorProto.BOOL}
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, kind, [1, 16]) for name, kind in INPUTS.items()],
        [helper.make_tensor_value_info(name, kind, [1, 16]) for name, kind in outputs.items()]
        + [helper.make_tensor_value_info("negative", TensorProto.FLOAT16, [1, 16])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, path)
    return str(path)


@pytest.fixture
def outputs(tmp_path: Path) -> list[Any]:
    return _run(write(tmp_path / "net.onnx"))


def test_inputs_and_outputs_of_every_type(tmp_path: Path, outputs: list[Any]) -> None:
    assert {output.dtype for output in outputs} == {np.dtype(np.float64)}
    assert _same(outputs, _run(write(tmp_path / "same.onnx")))
    assert set(np.unique(outputs[1])) == {0.0, 1.0}, "both ends of the table were asked for"


def test_another_table_and_another_truth_value_are_seen(tmp_path: Path, outputs: list[Any]) -> None:
    assert not _same(outputs, _run(write(tmp_path / "other.onnx", table=1.001)))
    turned = [output.copy() for output in outputs]
    turned[0][0, 0] = 1 - turned[0][0, 0]
    assert not _same(outputs, turned)
