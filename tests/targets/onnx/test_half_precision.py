"""Half-precision ONNX: float32 at the border, judged as half precision, and tightly without its rounding."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.targets.onnx.half_precision import convert_to_half
from mobilevit_deploy.verification.report import VerifyFailedError
from mobilevit_deploy.verification.verify import VerifyRequest, verify_artifact
from tests.conftest import RESEARCH
from tests.support.damage.forget import forget

OWN = f"{RESEARCH / 'small_net.py'}:build"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    request = ExportRequest(ModelRequest(OWN, size=(32, 32)), ("onnx",), precision="fp16")
    (report,) = export_model(ExportRequest(**{**vars(request), "folder": tmp_path_factory.mktemp("half")}))
    subjects = [leg.subject for leg in report.parity.legs]
    assert subjects == ["rewritten graph", "float32 conversion", "artifact", "artifact", "half precision, unrounded"]
    path: Path = report.artifact.path
    return path


def test_weights_are_half_and_borders_float32(exported: Path) -> None:
    model = onnx.load(exported)
    weights = [item for item in model.graph.initializer if numpy_helper.to_array(item).dtype.kind == "f"]
    assert weights
    assert {item.data_type for item in weights} == {TensorProto.FLOAT16}
    session = onnxruntime.InferenceSession(str(exported))
    (output,) = session.run(None, {session.get_inputs()[0].name: np.zeros((1, 3, 32, 32), dtype=np.float32)})
    assert output.dtype == np.float32


def test_a_wrong_weight_that_half_precision_hides_is_caught(exported: Path, tmp_path: Path) -> None:
    verify_artifact(VerifyRequest(exported, model=OWN, tight=True))
    model = onnx.load(exported)
    item = next(item for item in model.graph.initializer if item.name == "second.project.bias")
    values = numpy_helper.to_array(item)
    item.CopyFrom(numpy_helper.from_array((values * 1.02).astype(np.float16), item.name))
    path = tmp_path / exported.name
    forget(model)
    onnx.save(model, str(path))
    verify_artifact(VerifyRequest(path, model=OWN))
    with pytest.raises(VerifyFailedError, match="half precision, unrounded"):
        verify_artifact(VerifyRequest(path, model=OWN, tight=True))


def test_two_readers_of_a_value_that_stay_in_float32() -> None:
    text = """<ir_version: 9, opset_import: ["" : 18]> two (float[2, 8] x) => (float[2, 2] a, float[2, 3] b)
    <int64[1] two = {2}, int64[1] three = {3}> {
        y = Sigmoid (x)
        a, i = TopK (y, two)
        b, j = TopK (y, three)
    }"""
    model = onnx.parser.parse_model(text)
    half = convert_to_half(onnx.shape_inference.infer_shapes(model))
    onnx.checker.check_model(half, full_check=True)
    given = {"x": np.random.default_rng(0).normal(size=(2, 8)).astype(np.float32)}
    before, after = (onnxruntime.InferenceSession(item.SerializeToString()).run(None, given) for item in (model, half))
    for expected, found in zip(before, after, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-3)
