"""Module paths on ONNX nodes."""

import onnx
import pytest
from onnx import helper

from mobilevit_deploy.targets.onnx.module_paths import (
    MODULE_PATH_KEY,
    fill_from_neighbours,
    path_from_name,
    read_path,
    write_path,
)


def node(inputs: str, outputs: str) -> onnx.NodeProto:
    return helper.make_node("Op", inputs.split(), outputs.split(), name="op")


@pytest.mark.parametrize("path", ["", "head", "stages.0.attn.qkv"])
def test_written_and_read(path: str) -> None:
    noted = node("x", "y")
    noted.metadata_props.add(key="pkg.torch.onnx.stack_trace", value="somewhere")
    write_path(noted, path)
    assert read_path(noted) == path
    assert [entry.key for entry in noted.metadata_props] == [MODULE_PATH_KEY]


def test_the_exporters_own_note() -> None:
    noted = node("x", "y")
    noted.metadata_props.add(key=MODULE_PATH_KEY, value="['', 'network.4', 'network.4.1', 'mul_36']")
    assert read_path(noted) == "network.4.1"
    for broken in ("network.4", "['only']", "7", "['', "):
        noted.metadata_props[0].value = broken
        assert read_path(noted) is None
    assert read_path(node("x", "y")) is None


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("/stages.0/blocks.1/Conv", "stages.0.blocks.1"),
        ("/features/features.0/features.0.0/Conv", "features.0.0"),
        ("/Add", ""),
        ("block1/conv/Conv2D", "block1.conv"),
        ("Conv_12", None),
        ("", None),
    ],
)
def test_paths_in_names(name: str, path: str | None) -> None:
    assert path_from_name(name) == path


def test_neighbours() -> None:
    nodes = [node("x", "a"), node("a", "b"), node("b", "c"), node("b", "d"), node("c d", "e"), node("e", "f")]
    # b's readers are one known and one whose path comes from its own reader; nothing reads f.
    found = fill_from_neighbours(nodes, [None, None, "m.attn.q", None, "m.attn", None])
    assert found == ["m.attn", "m.attn", "m.attn.q", "m.attn", "m.attn", "m.attn"]
    assert fill_from_neighbours(nodes, [None] * 6) == [None] * 6
