"""What ONNX Runtime's and ExecuTorch's tools print, as numbers; and what is no such text."""

from pathlib import Path

import pytest

from mobilevit_deploy.errors import MeasurementError
from mobilevit_deploy.measurement.phone_tools import executorch, onnx
from mobilevit_deploy.measurement.phone_tools.tool import Asked
from tests.support.android_tools import printed

# As onnxruntime/test/perftest/README.md shows the output of an older release.
README = """
Total time cost:58.8053
Total iterations:1000
Average time cost:58.8053 ms
Total run time:58.8102 s
Min Latency is 0.0559777sec
Max Latency is 0.0623472sec
P50 Latency is 0.0587108sec
P90 Latency is 0.0599845sec
P95 Latency is 0.0605676sec
"""


def test_onnx_runtime() -> None:
    found = onnx.read(printed.perf_test(12_000))
    assert (found.runs.count, found.warmup.count, found.warmup.mean_ms, found.memory_mb) == (80, 1, 21.0, 91.336704)
    times = (found.runs.median_ms, found.runs.p95_ms, found.runs.max_ms, found.init_ms)
    assert times == pytest.approx((12.0, 12.06, 12.09, 17.851))
    older = onnx.read(README)
    assert (older.runs.count, older.runs.mean_ms, older.init_ms) == (1000, 58.8053, None)
    assert (older.runs.median_ms, older.runs.min_ms) == pytest.approx((58.7108, 55.9777))


def test_executorch() -> None:
    found = executorch.read(printed.executor_runner(12_000, 13))
    assert (found.warmup.count, found.warmup.mean_ms, found.runs.count) == (3, 17.0, 10)
    assert (found.runs.median_ms, found.runs.p95_ms, found.init_ms) == (12.0, 12.0, 17.851)
    older = executorch.read(printed.executor_runner(12_000, 10, single=False))
    assert (older.runs.count, older.runs.mean_ms, older.runs.median_ms, older.init_ms) == (10, 13.5, None, None)


NONE = "Model executed successfully 0 time(s) in 1 ms."


@pytest.mark.parametrize("text", ["", "Segmentation fault", NONE, "9" * 10**5])
def test_no_times(text: str) -> None:
    for read in (onnx.read, executorch.read):
        with pytest.raises(MeasurementError, match="printed no times that mvd knows"):
            read(text)


def test_how_often_executorch_runs() -> None:
    """As long as is asked, by what a run took last; never without the runs that do not count."""

    def runs(seconds: float, run_ms: float | None) -> str:
        return executorch.arguments(Asked("a.pte", 4, "cpu", seconds, run_ms))[1]

    assert [runs(1, None), runs(1, 12.5), runs(1, 1000), runs(60, 1e-9)] == [
        "--num_executions=13", "--num_executions=84", "--num_executions=13", "--num_executions=100000",
    ]  # fmt: skip


def test_files_that_are_not_there() -> None:
    for tool in (onnx.TOOL, executorch.TOOL):
        with pytest.raises(MeasurementError, match="there is no file"):
            tool.input_shape(Path(f"none{tool.suffix}"))
