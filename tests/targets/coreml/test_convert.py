"""Core ML conversion: versions, precision, borders, metadata, silence."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mobilevit_deploy.errors import ConversionError
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.targets.coreml import convert as coreml
from tests.conftest import RESEARCH

REQUEST = ModelRequest(f"{RESEARCH / 'additive_net.py'}:build", size=(32, 32))


def read(path: Path) -> Any:
    """Returns a package's specification, read without coremltools' own model class."""
    from coremltools.proto import Model_pb2

    specification = Model_pb2.Model()
    specification.ParseFromString((path / "Data/com.apple.CoreML/model.mlmodel").read_bytes())
    return specification


@pytest.mark.parametrize(("ios", "version"), [(15, 6), (16, 7), (17, 8), (18, 9)])
def test_ios_floors(tmp_path: Path, ios: int, version: int) -> None:
    (report,) = export_model(ExportRequest(REQUEST, ("coreml",), min_ios=ios, folder=tmp_path))
    specification = read(report.artifact.path)
    assert specification.specificationVersion == version
    assert specification.WhichOneof("Type") == "mlProgram"
    for border in (*specification.description.input, *specification.description.output):
        assert border.type.multiArrayType.dataType == 65568  # FLOAT32: apps feed plain arrays
    metadata = specification.description.metadata.userDefined
    assert metadata["mvd.trained"] == "false"
    assert "UNTRAINED" in specification.description.metadata.shortDescription


def test_precision_and_names(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sizes = {}
    for precision in ("fp16", "fp32"):
        request = ExportRequest(REQUEST, ("coreml",), precision=precision, folder=tmp_path)
        (report,) = export_model(request)
        sizes[precision] = (report.artifact.path / "Data/com.apple.CoreML/weights/weight.bin").stat().st_size
        description = read(report.artifact.path).description
        assert [item.name for item in description.input] == ["input"]
        assert [item.name for item in description.output] == ["logits"]
        assert sorted(item.name for item in report.artifact.path.iterdir()) == ["Data", "Manifest.json"]
    assert sizes["fp32"] > 1.5 * sizes["fp16"]
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_a_later_specification_than_the_floor_is_refused() -> None:
    with pytest.raises(ConversionError, match="specification 8, which iOS 16 does not read") as caught:
        coreml._check_specification(8, 16)
    assert caught.value.hint == "give --min-ios 17"


def test_tanh_gelu_stays_tanh_gelu(tmp_path: Path) -> None:
    place = tmp_path / "tanh_net.py"
    layers = "nn.Conv2d(3, 4, 3), nn.GELU(approximate='tanh')"
    place.write_text(f"from torch import nn\n\n\ndef build():\n    return nn.Sequential({layers})\n")
    request = ExportRequest(ModelRequest(f"{place}:build", size=(16, 16)), ("coreml",), folder=tmp_path)
    (report,) = export_model(request)
    function = read(report.artifact.path).mlProgram.functions["main"]
    operations = next(iter(function.block_specializations.values())).operations
    constants = {item.outputs[0].name: item for item in operations if item.type == "const"}
    gelus = [item for item in operations if item.type == "gelu"]
    modes = [
        constants[gelu.inputs["mode"].arguments[0].name].attributes["val"].immediateValue.tensor.strings.values[0]
        for gelu in gelus
    ]
    assert modes == ["TANH_APPROXIMATION"]
    with pytest.raises(ConversionError, match="tanh form of GELU into the exact one"):
        export_model(replace(request, rewrite=False))
