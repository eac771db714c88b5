"""Measuring artifacts in processes of their own."""

import os
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper

from mobilevit_deploy.errors import ArtifactError, MeasurementError, UsageError
from mobilevit_deploy.measurement.latency import LatencyRequest, measure_latency
from mobilevit_deploy.measurement.latency.process import Session, TimingProcess
from mobilevit_deploy.measurement.latency.settings import RuntimeSettings


def save(
    path: Path, node: onnx.NodeProto, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]
) -> None:
    graph = helper.make_graph([node], "g", inputs, outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 64, 64]) for name in "xy"]
    save(tmp_path / "relu.onnx", helper.make_node("Relu", ["x"], ["y"]), values[:1], values[1:])
    return tmp_path / "relu.onnx"


def test_a_report(artifact: Path) -> None:
    stages: list[str] = []
    (report,) = measure_latency(LatencyRequest([artifact], threads=1, seconds=0.2), stages.append)
    assert stages == ["measuring relu.onnx (1 of 1), 1 thread"]
    assert report.provider == "CPUExecutionProvider"
    assert report.input_shape == (1, 3, 64, 64)
    assert report.warmup >= 5
    assert len(report.samples_ms) >= 18
    assert report.second_load_ms > 0
    assert 0 < report.statistics.min_ms <= report.statistics.p50_ms
    assert report.load_ms > 0
    assert report.peak_rss_mb is not None
    assert report.peak_rss_mb > 20
    assert report.environment["versions"]["onnxruntime"]


def test_what_cannot_be_measured(artifact: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(artifact.read_bytes()[:20])
    with pytest.raises(ArtifactError, match=r"broken\.onnx is no ONNX file, or damaged"):
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
    with pytest.raises(UsageError, match="cannot be measured with coreml"):
        measure_latency(LatencyRequest([artifact], backend="coreml"))
    with pytest.raises(UsageError, match="'toaster' cannot be measured with onnxruntime"):
        measure_latency(LatencyRequest([artifact], device="toaster"))


@pytest.mark.usefixtures("given_times")
def test_threads_provider_options_and_pin_reach_the_session(artifact: Path) -> None:
    core = sorted(os.sched_getaffinity(0))[0]
    entry = "session.intra_op.allow_spinning=0"
    (report,) = measure_latency(LatencyRequest([artifact], threads=1, seconds=0.1, options=[entry], pin=str(core)))
    assert report.environment["affinity"] == (core,)
    assert report.environment["session_options"] == {"session.intra_op.allow_spinning": "0"}
    assert report.environment["variables"] == {}
    assert report.threads == 1


def test_an_option_that_stops_onnx_runtime_is_its_own_message(artifact: Path) -> None:
    entry = "session.load_model_format=ORT"  # it then takes the ONNX file for one of its own format
    with pytest.raises(MeasurementError, match=r"relu\.onnx cannot be measured: .*ORT"):
        measure_latency(LatencyRequest([artifact], threads=1, seconds=0.1, options=[entry]))


@pytest.mark.usefixtures("given_times")
def test_a_provider_that_leaves_the_graph_to_the_cpu(artifact: Path) -> None:
    (report,) = measure_latency(LatencyRequest([artifact], threads=1, seconds=0.1, provider="azure"))
    assert report.provider == "AzureExecutionProvider"
    assert not report.stable
    assert "left a part of the graph to the CPU" in report.warnings[-1]


@pytest.mark.usefixtures("given_times")
def test_a_free_batch_is_the_one_asked_for(artifact: Path, tmp_path: Path) -> None:
    free = onnx.load(artifact)
    for value in (*free.graph.input, *free.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(free, tmp_path / "free.onnx")
    for batch, expected in ((None, 1), (3, 3)):
        (report,) = measure_latency(LatencyRequest([tmp_path / "free.onnx"], threads=1, seconds=0.1, batch=batch))
        assert report.input_shape == (expected, 3, 64, 64)
        assert report.throughput_per_s == pytest.approx(1e3 * expected / report.statistics.mean_ms)
    (report,) = measure_latency(LatencyRequest([artifact], threads=1, seconds=0.1, batch=1))
    assert report.input_shape[0] == 1
    with pytest.raises(MeasurementError, match="another batch than 3 fixed"):
        measure_latency(LatencyRequest([artifact], batch=3))


@pytest.mark.usefixtures("given_times")
def test_an_input_that_is_no_image_is_measured_too(tmp_path: Path) -> None:
    tokens = helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, 16])
    output = helper.make_tensor_value_info("y", TensorProto.INT64, [1, 16])
    save(tmp_path / "tokens.onnx", helper.make_node("Abs", ["tokens"], ["y"]), [tokens], [output])
    (report,) = measure_latency(LatencyRequest([tmp_path / "tokens.onnx"], threads=1, seconds=0.1))
    assert report.input_shape == (1, 16)
    text = helper.make_tensor_value_info("text", TensorProto.STRING, [1])
    output = helper.make_tensor_value_info("y", TensorProto.STRING, [1])
    save(tmp_path / "text.onnx", helper.make_node("Identity", ["text"], ["y"]), [text], [output])
    with pytest.raises(MeasurementError, match="there are no test values"):
        measure_latency(LatencyRequest([tmp_path / "text.onnx"], threads=1, seconds=0.1))


def test_the_peak_is_that_of_the_child_alone(artifact: Path) -> None:
    """A child that is forked has its parent's memory for a moment, and ``getrusage`` counts that."""
    large = np.ones(2**27, np.float64)  # 1 GiB
    (report,) = measure_latency(LatencyRequest([artifact], threads=1, seconds=0.1))
    assert report.peak_rss_mb is not None
    assert report.peak_rss_mb < large.nbytes / 2**20 / 2


def test_variables_reach_the_process(artifact: Path) -> None:
    tunables = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
    with TimingProcess(Session(artifact, 1, RuntimeSettings(variables=tunables))) as process:
        environment = Path(f"/proc/{process._process.pid}/environ").read_bytes()
    assert b"GLIBC_TUNABLES=glibc.malloc.hugetlb=1" in environment


def test_a_process_that_dies_or_hangs_is_an_error(artifact: Path) -> None:
    with TimingProcess(Session(artifact, 1)) as process:
        assert len(process.burst(0, 5).samples_ms) == 5
        process._process.kill()
        with pytest.raises(MeasurementError, match=r"relu\.onnx cannot be measured: exit -9"):
            process.burst(0, 5)
    with TimingProcess(Session(artifact, 1)) as process:
        with pytest.raises(MeasurementError, match="did not answer within 0 s"):
            process._ask({"seconds": 60, "runs": 1}, 0.3)
        assert process._process.poll() is not None, "it is ended"


def test_no_process_is_left(artifact: Path) -> None:
    with TimingProcess(Session(artifact, 1)) as process:
        pid = process._process.pid
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid)
