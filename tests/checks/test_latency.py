"""The latency gate: it may neither fail by accident nor pass by luck."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilevit_deploy.checks import latency
from mobilevit_deploy.checks.latency import judge_latency, judge_ratio, update_baseline
from mobilevit_deploy.checks.plan import LatencyLimit
from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.measurement.comparison.alternate import Alternated
from mobilevit_deploy.measurement.latency.measure import LatencyReport, LatencyRequest, measure_latency
from mobilevit_deploy.measurement.latency.process import Session
from mobilevit_deploy.measurement.latency.stability import Conditions
from tests.measurement.comparison.models import save_classifier

RATIOS = st.floats(0.01, 100)


@given(st.tuples(RATIOS, RATIOS, RATIOS).map(sorted), RATIOS)
def test_the_interval_decides(values: list[float], limit: float) -> None:
    low, ratio, high = values
    verdict = judge_ratio((ratio, low, high), limit)
    assert (verdict.status == "passed") == (high <= limit)
    assert (verdict.status == "failed") == (low > limit)
    assert bool(verdict.reason) == (verdict.status != "passed")
    assert judge_ratio((ratio, low, high), limit, "another machine").status == "undecided"


def test_without_an_interval_nothing_is_decided() -> None:
    assert judge_ratio((0.5, math.nan, math.nan), 1.0).status == "undecided"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns an ONNX file that is quickly run."""
    return save_classifier(tmp_path_factory.mktemp("artifact") / "net.onnx", (1, 3, 32, 32))


@pytest.fixture(scope="module")
def measured(artifact: Path) -> LatencyReport:
    """Returns what measuring it says on a quiet machine: 2 ms, known to 1 %."""
    (report,) = measure_latency(LatencyRequest([artifact], threads=1, seconds=0.1))
    statistics = replace(report.statistics, p50_ms=2.0, within_ms=(1.98, 2.02))
    return replace(report, statistics=statistics, warnings=())


def take(monkeypatch: pytest.MonkeyPatch, report: LatencyReport) -> None:
    """Lets every measurement give this report: what is judged here does not hang on how busy the machine is."""
    monkeypatch.setattr(latency, "measure_latency", lambda request, progress: [report])


def slower(report: LatencyReport, factor: float) -> LatencyReport:
    low, high = report.statistics.within_ms
    p50 = factor * report.statistics.p50_ms
    scaled = replace(report.statistics, p50_ms=p50, within_ms=(factor * low, factor * high))
    return replace(report, statistics=scaled)


@pytest.mark.parametrize(
    ("factor", "limit", "status"), [(1.5, 1.4, "failed"), (1.5, 1.6, "passed"), (0.8, 0.9, "passed")]
)
def test_a_file_beside_its_baseline(
    artifact: Path, monkeypatch: pytest.MonkeyPatch, factor: float, limit: float, status: str
) -> None:
    asked: list[Path] = []

    def given(sessions: Sequence[Session], _seconds: float) -> Alternated:
        asked.extend(session.path for session in sessions)
        return Alternated((((1.0,) * 6,) * 6, ((factor,) * 6,) * 6), Conditions(1, 0.0, 0, 0.0, 6))

    monkeypatch.setattr(latency, "alternate", given)
    baseline = save_classifier(artifact.with_name("base.onnx"), (1, 3, 32, 32))
    verdict = judge_latency(artifact, LatencyLimit(baseline=baseline, max_ratio=limit, seconds=0.5), print)
    assert verdict.status == status
    assert asked == [baseline, artifact]


def test_both_are_really_timed(artifact: Path) -> None:
    """Nothing is asked of the times themselves: any verdict will do, as long as there are figures in it."""
    verdict = judge_latency(artifact, LatencyLimit(baseline=artifact, seconds=0.1), print)
    assert re.fullmatch(r"\d+\.\d{3} \(\d+\.\d{3} to \d+\.\d{3}\)", verdict.found)


def test_figures_as_a_baseline(
    artifact: Path, measured: LatencyReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "base" / "figures.json"
    take(monkeypatch, measured)
    update_baseline(artifact, LatencyLimit(baseline=path, seconds=0.5), print)
    content: dict[str, Any] = json.loads(path.read_text())
    assert content["p50_ms"] == 2
    assert "samples_ms" not in content
    limit = LatencyLimit(baseline=path, max_ratio=2.0, seconds=0.5)
    assert judge_latency(artifact, limit, print).status == "passed"
    take(monkeypatch, slower(measured, 2.1))
    assert judge_latency(artifact, limit, print).status == "failed"
    take(monkeypatch, slower(measured, 2.01))
    assert judge_latency(artifact, limit, print).status == "undecided", "the intervals of both reach beyond the limit"
    path.write_text(json.dumps({**content, "environment": {**content["environment"], "cpu": "another"}}))
    verdict = judge_latency(artifact, limit, print)
    assert verdict.status == "undecided"
    assert "the baseline is from another" in verdict.reason
    path.write_text(json.dumps({**content, "threads": 2}))
    assert judge_latency(artifact, limit, print).status == "undecided"


def test_a_busy_machine_cannot_tell(
    artifact: Path, measured: LatencyReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = LatencyLimit(baseline=tmp_path / "figures.json", max_ratio=2.0, seconds=0.5)
    take(monkeypatch, replace(measured, warnings=("the machine is busy",)))
    update_baseline(artifact, limit, print)
    verdict = judge_latency(artifact, limit, print)
    assert (verdict.status, verdict.reason) == ("undecided", "the machine is busy")


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"p50_ms": 1}', "[" * 10_000, "NaN", '{"p50_ms": "x", "ci95_ms": [1, 2]}']
)
def test_a_damaged_baseline_is_an_error_with_a_way_out(content: str, artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(content)
    with pytest.raises(MvdError, match="no baseline that mvd wrote") as error:
        judge_latency(artifact, LatencyLimit(baseline=tmp_path / "b.json", seconds=1), print)
    assert "--update-baselines" in str(error.value.hint)
    with pytest.raises(MvdError, match="there is no baseline"):
        judge_latency(artifact, LatencyLimit(baseline=tmp_path / "none.onnx"), print)
