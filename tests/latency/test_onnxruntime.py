"""Measuring artifacts in processes of their own."""

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from mobilevit_deploy.errors import CatalogError, MeasurementError
from mobilevit_deploy.latency import LatencyRequest, measure_latency
from mobilevit_deploy.latency import measure as measure_module
from mobilevit_deploy.latency.statistics import Statistics


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    node = helper.make_node("Relu", ["x"], ["y"])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 64, 64]) for name in "xy"]
    model = helper.make_model(
        helper.make_graph([node], "g", values[:1], values[1:]),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    onnx.save(model, tmp_path / "relu.onnx")
    return tmp_path / "relu.onnx"


def test_a_report(artifact: Path) -> None:
    stages: list[str] = []
    (report,) = measure_latency(LatencyRequest([artifact], threads=1, seconds=0.2), stages.append)
    assert stages == ["measuring relu.onnx (1 of 1), 1 threads"]
    assert report.provider == "CPUExecutionProvider"
    assert report.input_shape == (1, 3, 64, 64)
    assert report.warmup >= 5
    assert len(report.samples_ms) >= 20
    assert 0 < report.statistics.min_ms <= report.statistics.p50_ms
    assert report.load_ms > 0
    assert report.peak_rss_mb is not None
    assert report.peak_rss_mb > 20
    assert report.environment["versions"]["onnxruntime"]


def test_what_cannot_be_measured(artifact: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(artifact.read_bytes()[:20])
    with pytest.raises(MeasurementError, match=r"broken\.onnx cannot be measured"):
        measure_latency(LatencyRequest([broken]))
    with pytest.raises(MeasurementError, match=r"there is no file .*none\.onnx"):
        measure_latency(LatencyRequest([tmp_path / "none.onnx"]))
    (tmp_path / "net.tflite").touch()
    with pytest.raises(MeasurementError, match=r"is no \.onnx file"):
        measure_latency(LatencyRequest([tmp_path / "net.tflite"]))
    free = onnx.load(artifact)
    free.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    onnx.save(free, tmp_path / "free.onnx")
    with pytest.raises(MeasurementError, match="the size of its input x is not fixed"):
        measure_latency(LatencyRequest([tmp_path / "free.onnx"]))


def test_files_of_the_current_folder_are_not_imported(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('a file of the current folder ran')\n")
    monkeypatch.chdir(tmp_path)
    assert measure_latency(LatencyRequest([artifact], threads=1, seconds=0.1))
    with pytest.raises(MeasurementError, match="cannot be measured with coreml"):
        measure_latency(LatencyRequest([artifact], backend="coreml"))
    with pytest.raises(CatalogError, match="no device named"):
        measure_latency(LatencyRequest([artifact], device="toaster"))


@pytest.mark.parametrize(
    ("threads", "busy", "drift", "doubt"),
    [
        (5, 0, 0, "5 threads on 4 available cores"),
        (1, 50, 0, "50 % of the cores were busy"),
        (1, 0, 0.2, "moved by 20%"),
    ],
)
def test_doubts(threads: int, busy: float, drift: float, doubt: str) -> None:
    statistics = Statistics(1, 1, 1, 1, 1, (1, 1), drift)
    (found,) = measure_module._doubts(statistics, threads, {"cores_available": 4, "busy_percent": busy})
    assert doubt in found
    assert (
        measure_module._doubts(Statistics(1, 1, 1, 1, 1, (1, 1), 0), 4, {"cores_available": 4, "busy_percent": 5}) == ()
    )
