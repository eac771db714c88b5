"""Module paths in a package's metadata: written by the converter, and found again for what lies between."""

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from mobilevit_deploy.graph.capture import capture, recapture
from mobilevit_deploy.graph.module_notes import KEY, common_path, module_paths, read_notes, write_notes
from mobilevit_deploy.targets.artifact import ConversionRequest
from mobilevit_deploy.targets.coreml import convert as coreml
from mobilevit_deploy.targets.coreml.mil.package import Package
from tests.targets.coreml.mil.conftest import body_of


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.blocks = nn.Sequential(nn.Conv2d(4, 4, 1), nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.blocks(self.stem(x))
        return result.mean((2, 3))


def test_the_converter_notes_them(tmp_path: Path) -> None:
    x = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    captured = capture(Net().eval(), x, "classify")
    program = recapture(captured.graph, x)
    noted = {"mvd.model": "net"}
    request = ConversionRequest(
        program, x, captured.input, captured.outputs, "fp16", 16, noted, tmp_path / "n.mlpackage"
    )
    model = Package(coreml.convert(request).path).model
    operations = [item for item in body_of(model).operations if item.type != "const"]
    paths = module_paths(operations, model.description.metadata.userDefined)
    found = [(operation.type, paths[operation.outputs[0].name]) for operation in operations]
    assert found == [
        ("cast", None),  # of the input, in front of the first module
        ("conv", "stem"),
        ("conv", "blocks.0"),
        ("gelu", "blocks.1"),
        ("reduce_mean", ""),  # the model itself
        ("cast", ""),  # the converter's own, after it
    ]
    assert module_paths(operations, {})[operations[1].outputs[0].name] is None


def test_damaged_notes_are_none() -> None:
    for text in ("", "[", "[1]", '{"a": 1}', "[" * 100_000):
        assert read_notes({KEY: text}) == {}
    assert read_notes({}) == {}
    assert read_notes({KEY: write_notes([("conv2d", "stem"), ("relu", "stem")])}) == {"conv2d": "stem", "relu": "stem"}
    assert json.loads(write_notes([("a", "x"), ("b", "x")])) == {"x": ["a", "b"]}


def test_common_path() -> None:
    assert common_path(["a.b.c", "a.b.d", "a.b"]) == "a.b"
    assert common_path(["a.bc", "a.bd"]) == "a", "whole names are compared"
    assert common_path(["a", ""]) == ""
    assert common_path(["a.b"]) == "a.b"
