"""The latency gate: it may neither fail by accident nor pass by luck. The times are given, and none is measured."""

import json
import math
from collections.abc import Iterator
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
from mobilevit_deploy.measurement.latency.measure import measure_latency
from tests.measurement.comparison.models import save_classifier
from tests.support.times import given_times

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
def products(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Returns a fast ONNX file, and one that takes 16 times as long."""
    folder = tmp_path_factory.mktemp("products")
    fast, slow = (save_classifier(folder / f"{name}.onnx", (1, 3, 32, 32)) for name in ("fast", "slow"))
    return fast, slow


@pytest.fixture(autouse=True)
def times() -> Iterator[None]:
    with given_times({"fast.onnx": 1.0, "slow.onnx": 16.0}):
        yield


def test_a_file_beside_its_baseline(products: tuple[Path, Path]) -> None:
    fast, slow = products
    limit = LatencyLimit(baseline=fast, max_ratio=2.0, seconds=0.5)
    assert judge_latency(slow, limit, print).status == "failed"
    limit = LatencyLimit(baseline=slow, max_ratio=0.9, seconds=0.5)
    assert judge_latency(fast, limit, print).status == "passed"
    limit = LatencyLimit(baseline=fast, max_ratio=1.0, seconds=0.5)
    assert judge_latency(fast, limit, print).status == "undecided"


def figures(monkeypatch: pytest.MonkeyPatch, products: tuple[Path, Path], path: Path, warnings: bool) -> dict[str, Any]:
    """Writes a baseline of the fast file, as the method would on a quiet machine, and returns its content."""
    whole = measure_latency

    def quiet(*arguments: Any) -> Any:
        return [_replace(report, warnings) for report in whole(*arguments)]

    monkeypatch.setattr(latency, "measure_latency", quiet)
    update_baseline(products[0], LatencyLimit(baseline=path, seconds=0.5), print)
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def _replace(report: Any, warnings: bool) -> Any:
    return replace(report, warnings=("the machine is busy",) if warnings else ())


def test_figures_as_a_baseline(products: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "base" / "figures.json"
    content = figures(monkeypatch, products, path, warnings=False)
    assert content["p50_ms"] == pytest.approx(1.0, rel=0.01)
    limit = LatencyLimit(baseline=path, max_ratio=2.0, seconds=0.5)
    assert judge_latency(products[1], limit, print).status == "failed"
    path.write_text(json.dumps({**content, "environment": {**content["environment"], "cpu": "another"}}))
    verdict = judge_latency(products[1], limit, print)
    assert verdict.status == "undecided"
    assert "the baseline is from another" in verdict.reason
    path.write_text(json.dumps({**content, "threads": 2}))
    assert judge_latency(products[1], limit, print).status == "undecided"


def test_a_busy_machine_cannot_tell(
    products: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "figures.json"
    figures(monkeypatch, products, path, warnings=True)
    verdict = judge_latency(products[1], LatencyLimit(baseline=path, max_ratio=2.0, seconds=0.5), print)
    assert (verdict.status, verdict.reason) == ("undecided", "the machine is busy")


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"p50_ms": 1}', "[" * 10_000, "NaN", '{"p50_ms": "x", "ci95_ms": [1, 2]}']
)
def test_a_damaged_baseline_is_an_error_with_a_way_out(
    content: str, products: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "b.json").write_text(content)
    with pytest.raises(MvdError, match="no baseline that mvd wrote") as error:
        judge_latency(products[0], LatencyLimit(baseline=tmp_path / "b.json", seconds=1), print)
    assert "--update-baselines" in str(error.value.hint)
    with pytest.raises(MvdError, match="there is no baseline"):
        judge_latency(products[0], LatencyLimit(baseline=tmp_path / "none.onnx"), print)
