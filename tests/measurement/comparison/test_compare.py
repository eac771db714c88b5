"""Artifacts side by side. Nothing here says how fast anything is: where a ratio is looked at, times are given."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from typer.testing import Result

from mobilevit_deploy.errors import UsageError
from mobilevit_deploy.measurement.comparison import ComparisonRequest, compare_artifacts
from mobilevit_deploy.measurement.comparison.alternate import ROUNDS, alternate
from mobilevit_deploy.measurement.comparison.compare import Compared, _warnings
from mobilevit_deploy.measurement.comparison.drift import Drift
from mobilevit_deploy.measurement.comparison.ratio import Ratio
from mobilevit_deploy.measurement.latency.process import Session
from mobilevit_deploy.measurement.latency.stability import Conditions
from tests.conftest import RESEARCH
from tests.measurement.comparison.models import save_classifier
from tests.support.schemas import check as check_document
from tests.support.times import given_times

Mvd = Callable[..., Result]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return save_classifier(tmp_path / "base.onnx", (1, 3, 128, 128))


@pytest.fixture
def times() -> Iterator[None]:
    with given_times({"base.onnx": 1.0, "longer.onnx": 16.0}):
        yield


def test_turns(base: Path) -> None:
    found = alternate([Session(base, 1), Session(base, 1)], 0.1)
    assert len(found.times_ms) == 2
    assert len(found.times_ms[0]) >= 6
    assert {len(group) for column in found.times_ms for group in column} == {ROUNDS}
    assert found.ratio(0).value == 1
    assert found.ratio(1).pairs == len(found.times_ms[0]) * ROUNDS
    assert min(map(min, found.times_ms[1])) <= found.p50_ms(1) <= max(map(max, found.times_ms[1]))
    assert 0 <= found.conditions.others_share <= 1
    children = psutil.Process(os.getpid()).children(recursive=True)
    assert not any("timing_worker" in " ".join(child.cmdline()) for child in children)


@pytest.mark.usefixtures("times")
def test_an_artifact_against_itself_and_against_a_longer_one(base: Path, tmp_path: Path) -> None:
    longer = save_classifier(tmp_path / "longer.onnx", (1, 3, 256, 256))
    request = ComparisonRequest([base, base, longer], threads=1, seconds=0.1)
    stages: list[str] = []
    first, same, other = compare_artifacts(request, stages.append).results
    assert first.ratio is not None
    assert first.ratio.value == 1
    assert first.drift.outputs[0].max_abs == 0
    assert same.ratio is not None
    assert same.ratio.value == pytest.approx(1, abs=0.01)
    assert same.ratio.ci95[0] <= 1 <= same.ratio.ci95[1]
    assert (same.bytes, same.sha256) == (base.stat().st_size, first.sha256)
    assert other.ratio is not None
    assert other.ratio.value == pytest.approx(16, rel=0.01)
    assert other.ratio.ci95[0] > 15
    assert other.drift.reason == "its images are 3x256x256, the base's 3x128x128"
    assert stages[-1] == "timing 3 artifacts in turns, 1 thread, 6 groups of processes at least, up to 0.1 s"


def test_one_artifact_is_not_enough(base: Path) -> None:
    with pytest.raises(UsageError, match="needs two artifacts"):
        compare_artifacts(ComparisonRequest([base]))


@pytest.mark.usefixtures("times")
def test_the_command(mvd: Mvd, base: Path) -> None:
    free = save_classifier(Path("free.onnx"), ("n", 3, "h", "w"), scale=1.1)
    result = mvd("compare", base, free, "--input-size", 128, "--threads", 1, "--seconds", 0.1, "--json")
    assert result.exit_code == 0, result.stderr
    document = check_document("compare", result.stdout)
    assert document["base"] == str(base)
    first, second = document["results"]
    assert {
        "artifact", "target", "sha256", "bytes", "input_shape", "p50_ms", "ratio", "ratio_ci95", "pairs",
        "latency_reason", "drift",
    } <= set(second)  # fmt: skip
    assert first["drift"]["snr_db"] is None  # infinite
    assert second["drift"]["max_rel"] == pytest.approx(0.1, rel=1e-3)
    assert second["ratio_ci95"][0] <= second["ratio"] <= second["ratio_ci95"][1]
    assert second["latency_reason"] is None
    table = mvd("compare", base, base, "--threads", 1, "--seconds", 0.1)
    assert "same class" in table.stdout
    assert "inf dB" in table.stdout


@pytest.mark.usefixtures("times")
def test_a_package_has_size_and_drift_and_a_reason(mvd: Mvd) -> None:
    net = f"{RESEARCH / 'additive_net.py'}:build"
    assert mvd("export", net, "--input-size", 32, "--to", "onnx", "--to", "coreml").exit_code == 0
    (onnx_file,), (package,) = Path("artifacts").glob("*.onnx"), Path("artifacts").glob("*.mlpackage")
    image = ("--image-input", "--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25", "--out", "image")
    assert mvd("export", net, "--input-size", 32, "--to", "coreml", *image).exit_code == 0
    (pixels,) = Path("image").glob("*.mlpackage")
    normalised = ("--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25", "--threads", 1, "--seconds", 0.1, "--json")
    results = json.loads(mvd("compare", onnx_file, package, pixels, *normalised).stdout)["results"]
    for found in results[1:]:
        assert found["p50_ms"] is None
        assert found["ratio"] is None
        assert "Core ML runs on Apple's devices" in found["latency_reason"]
        assert 0 < found["drift"]["max_rel"] < 1e-2, "half precision"
    assert results[1]["bytes"] == sum(item.stat().st_size for item in package.rglob("*") if item.is_file())
    turned = json.loads(mvd("compare", package, onnx_file, *normalised).stdout)["results"]
    assert turned[1]["p50_ms"] > 0
    assert turned[1]["ratio"] is None
    assert turned[1]["latency_reason"] == "no ratio, for the base has no latency here"


@pytest.mark.usefixtures("times")
def test_what_cannot_be(mvd: Mvd, base: Path) -> None:
    for arguments, code, message in (
        ((base,), 2, "needs two artifacts"),
        ((base, "none.onnx"), 1, "there is no artifact"),
        ((base, save_classifier(Path("free.onnx"), ("n", 3, "h", "w"))), 2, "--input-size HxW"),
        ((base, base, "--pin", "x"), 2, "--pin takes"),
    ):
        result = mvd("compare", *arguments, "--seconds", 0.1)
        assert result.exit_code == code, result.stderr
        assert message in result.stderr
        assert result.stdout == ""
        assert "Traceback" not in result.stderr


def test_what_speaks_against_the_figures() -> None:
    def compared(low: float, high: float, batch: int = 1) -> Compared:
        return Compared(
            Path("a.onnx"), "onnx", "", 1, (batch, 3, 8, 8), 1.0, Ratio(1.0, (low, high), 8, 48), None, Drift()
        )

    quiet = Conditions(2, 0.01, 0, 0.0, 5)
    good = compared(0.99, 1.01)
    assert _warnings((good, good), quiet) == ()
    assert _warnings((good, good), None) == ()
    (wide,) = _warnings((good, compared(0.9, 1.1)), quiet)
    assert "a ratio is known to ±10.0% only" in wide
    (batch,) = _warnings((good, compared(0.99, 1.01, batch=2)), quiet)
    assert "different batches" in batch
    for busy in (replace(quiet, others_share=0.5), replace(quiet, waiting_share=0.2)):
        (found,) = _warnings((good, good), busy)
        assert "the machine was busy" in found
    (drift,) = _warnings((good, replace(good, drift=Drift(reason="it has 2 outputs"))), quiet)
    assert drift == "a.onnx: it has 2 outputs"
