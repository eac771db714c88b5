"""Latencies beside their artifacts."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mobilevit_deploy.measurement.latency import LatencyReport
from mobilevit_deploy.report.stored import latency_path, store_latencies


@pytest.fixture
def report(real_folder: Path, real_latency: LatencyReport, tmp_path: Path) -> LatencyReport:
    """A measurement of a file in a folder of its own, as an export leaves it."""
    folder = tmp_path / "artifacts"
    shutil.copytree(real_folder, folder, ignore=shutil.ignore_patterns("*.latency.json"))
    return replace(real_latency, artifact=folder / real_latency.artifact.name)


def stored(report: LatencyReport) -> list[dict[str, Any]]:
    path = latency_path(report.artifact)
    assert path is not None
    results: list[dict[str, Any]] = json.loads(path.read_text())["results"]
    return results


def test_the_newest_of_the_same_conditions_is_kept(report: LatencyReport) -> None:
    names = {path.name for path in report.artifact.parent.iterdir()}
    (path,) = store_latencies([report])
    assert path.name == f"{report.artifact.stem}.onnx.latency.json"
    assert {item.name for item in report.artifact.parent.iterdir()} == {*names, path.name}
    assert stored(report)[0]["p50_ms"] == report.statistics.p50_ms
    assert "samples_ms" not in stored(report)[0]
    store_latencies([replace(report, threads=2), replace(report, load_ms=7.0)])
    assert [(item["threads"], item["load_ms"]) for item in stored(report)] == [(2, report.load_ms), (1, 7.0)]
    other = {**report.environment, "session_options": {"session.intra_op.allow_spinning": "0"}}
    store_latencies([replace(report, environment=other)])
    assert len(stored(report)) == 3
    store_latencies([replace(report, environment={**other, "device": "another phone with this chip"})])
    assert len(stored(report)) == 4


def test_results_of_an_earlier_file_go(report: LatencyReport) -> None:
    store_latencies([replace(report, sha256="0" * 64)])
    store_latencies([replace(report, threads=2)])
    assert [item["sha256"] for item in stored(report)] == [report.sha256]


def test_a_broken_file_is_replaced(report: LatencyReport) -> None:
    path = latency_path(report.artifact)
    assert path is not None
    for text in ("{", '{"results": [{}]}', "[]"):
        path.write_text(text)
        store_latencies([report])
        assert len(stored(report)) == 1


def test_nothing_is_written_beside_a_file_that_was_not_exported_here(report: LatencyReport, tmp_path: Path) -> None:
    alone = tmp_path / "elsewhere" / "model.onnx"
    alone.parent.mkdir()
    shutil.copy(report.artifact, alone)
    assert store_latencies([replace(report, artifact=alone)]) == []
    assert list(alone.parent.iterdir()) == [alone]
    assert latency_path(tmp_path / "model.tflite") is None


def test_the_model_card_has_the_latencies_of_this_file(report: LatencyReport) -> None:
    card = report.artifact.with_name(f"{report.artifact.stem}.onnx.md")
    store_latencies([replace(report, sha256="0" * 64)])
    assert "Latency" not in card.read_text(), "it is another file's"
    store_latencies([report])
    row = next(line for line in card.read_text().splitlines() if line.startswith("| onnxruntime, CPU"))
    low, high = report.statistics.ci95_ms
    assert f"| {report.statistics.p50_ms:.3g} | {low:.3g} to {high:.3g} |" in row
    before = card.read_text()
    latency_path(report.artifact).with_name(f"{report.artifact.stem}.onnx.json").write_text("{}")  # type: ignore[union-attr]
    store_latencies([replace(report, threads=2)])
    assert card.read_text() == before, "of a report that cannot be read nothing is known"
    card.unlink()
    store_latencies([report])
    assert not card.exists(), "whoever removed it does not want it"
