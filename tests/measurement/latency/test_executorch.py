"""Measuring ExecuTorch programs. Nothing here says how fast anything is: the machine may be busy."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

from mobilevit_deploy.errors import ArtifactError, MeasurementError
from mobilevit_deploy.images.test_images import make_samples
from mobilevit_deploy.measurement.latency import LatencyRequest, measure_latency
from tests.measurement.comparison.models import save_classifier


def test_a_report(program: Path) -> None:
    (report,) = measure_latency(LatencyRequest([program], "executorch", threads=1, seconds=0.1))
    assert (report.backend, report.provider, report.threads) == ("executorch", None, 1)
    assert report.input_shape == (1, 3, 32, 32)
    assert 0 < report.statistics.min_ms <= report.statistics.p50_ms
    assert report.load_ms > 0
    assert report.second_load_ms > 0
    assert report.environment["versions"]["executorch"]


def test_what_cannot_be_measured(program: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pte"
    broken.write_bytes(program.read_bytes()[:400])
    with pytest.raises(ArtifactError, match=r"broken\.pte is damaged"):
        measure_latency(LatencyRequest([broken], "executorch"))
    with pytest.raises(MeasurementError, match="another batch than 2"):
        measure_latency(LatencyRequest([program], "executorch", batch=2))
    with pytest.raises(MeasurementError, match=r"is no \.onnx file"):
        measure_latency(LatencyRequest([program]))


@pytest.mark.usefixtures("given_times")
def test_beside_an_onnx_file(mvd: Callable[..., Result], program: Path) -> None:
    base = save_classifier(Path("base.onnx"), (1, 3, 32, 32))
    np.save("images.npy", make_samples(8, 3, 32, 32))
    result = mvd("compare", base, program, "--images", "images.npy", "--threads", 1, "--seconds", 0.1, "--json")
    assert result.exit_code == 0, result.stderr
    first, second = json.loads(result.stdout)["results"]
    assert (first["target"], second["target"]) == ("onnx", "executorch")
    assert second["p50_ms"] > 0
    assert second["ratio"] > 0
    assert second["latency_reason"] is None
    assert (second["accuracy"]["images"], second["accuracy"]["reason"]) == (8, None)
