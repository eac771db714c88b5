"""Reports on disk are untrusted: what is broken is named, what is stale is not taken for new."""

import json
from pathlib import Path
from typing import Any

import pytest

from mobilevit_deploy.export.records import ExportRecord
from mobilevit_deploy.report.page.folder import published_accuracy, read_folder
from mobilevit_deploy.report.page.frontier import comparable_groups
from mobilevit_deploy.report.page.html import render
from mobilevit_deploy.system import documents
from tests.report.page.test_html import AT_224, catalog_model, words
from tests.report.sample import Page, Sample

ENOUGH = {"model": "m", "target": "onnx", "precision": "fp32", "path": "a.onnx", "sha256": "0" * 64, "bytes": 1}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Invalid JSON"),
        (b"{", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"[]", "the file: must be a table of keys and values"),
        (b"[" * 100_000, "Invalid JSON"),
        (b'{"model": "m"}', "target: is missing"),
        (json.dumps({**ENOUGH, "bytes": -1}).encode(), "bytes: must be at least 0"),
        (json.dumps({**ENOUGH, "bytes": 10**400}).encode(), "bytes: "),
        (json.dumps({**ENOUGH, "model": "m" * 301}).encode(), "model: is longer than 300 characters"),
        (json.dumps({**ENOUGH, "sha256": "../../x"}).encode(), "sha256: String should match"),
        (json.dumps({**ENOUGH, "seconds": {"load": float("nan")}}).encode(), "seconds.load"),
        (json.dumps({**ENOUGH, "parity": {"status": "fine"}}).encode(), "parity.status"),
        (json.dumps({**ENOUGH, "schema": 2}).encode(), "its schema is 2, and this mvd reads 1"),
        (json.dumps({**ENOUGH, "schema": ["x" * 99]}).encode(), "its schema is ['xxx"),
        (json.dumps({**ENOUGH, "ops": {"\x1b[2J": -1}}).encode(), "ops.?[2J"),
    ],
)
def test_a_broken_report_is_named_and_the_others_are_shown(sample: Sample, content: bytes, reason: str) -> None:
    sample.export("good")
    (sample.folder / "bad.onnx.json").write_bytes(content)
    (sample.folder / "bad.onnx.latency.json").write_bytes(b"{")
    folder = read_folder(sample.folder)
    assert [artifact.name for artifact in folder.artifacts] == ["good.onnx"]
    first, second = folder.problems
    assert (first.file, second.file) == ("bad.onnx.json", "bad.onnx.latency.json")
    assert reason in first.reason
    assert "\x1b" not in first.reason
    text = words(Page(render(folder)))
    assert "bad.onnx.json: not a report that can be read" in text
    assert "good.onnx" in text


def test_a_folder_of_broken_reports_has_a_page(sample: Sample) -> None:
    (sample.folder / "bad.onnx.json").write_text("{")
    assert "bad.onnx.json: not a report" in words(Page(render(read_folder(sample.folder))))


def test_a_report_has_a_limit(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    sample.export("large")
    monkeypatch.setattr(documents, "LARGEST_FILE", 1000)
    (problem, _artifact_alone) = read_folder(sample.folder).problems
    assert problem.file == "large.onnx.json"
    assert "larger than" in problem.reason


def test_what_a_report_lacks_is_left_out(sample: Sample) -> None:
    (sample.folder / "a.onnx.json").write_text(json.dumps({**ENOUGH, "new_key": {"of": "a later version"}}))
    folder = read_folder(sample.folder)
    assert folder.problems == []
    (artifact,) = folder.artifacts
    assert artifact.trained is None
    assert "unknown" in words(Page(render(folder)))


def test_a_report_of_a_path_elsewhere_is_refused(sample: Sample, tmp_path: Path) -> None:
    (tmp_path / "secret.onnx").touch()
    for path in ("../secret.onnx", "..", "", "b.onnx", "a.onnx\0"):
        (sample.folder / "a.onnx.json").write_text(json.dumps({**ENOUGH, "path": path}))
        folder = read_folder(sample.folder)
        assert folder.artifacts == []
        assert "the report of another file" in folder.problems[0].reason


def test_the_file_is_compared_with_its_report(sample: Sample) -> None:
    for stem in ("kept", "changed", "removed"):
        sample.export(stem)
    (sample.folder / "changed.onnx").write_text("another file")
    (sample.folder / "removed.onnx").unlink()
    (sample.folder / "foreign.onnx").touch()
    folder = read_folder(sample.folder)
    assert [(artifact.name, artifact.state) for artifact in folder.artifacts] == [
        ("changed.onnx", "changed"), ("kept.onnx", "present"), ("removed.onnx", "missing"),
    ]  # fmt: skip
    assert [(problem.file, problem.reason[:26]) for problem in folder.problems] == [
        ("foreign.onnx", "an artifact without a repo")
    ]
    text = words(Page(render(folder)))
    assert "The file is another one than its report is of" in text
    assert "The file is not in the folder" in text


def test_a_stale_latency_is_shown_as_such_and_not_plotted(sample: Sample) -> None:
    stem = catalog_model(sample, "cas_vit_xs", 9.0)
    sample.latency(stem, {"sha256": "0" * 64, "p50_ms": 123.45})
    folder = read_folder(sample.folder)
    (artifact,) = folder.artifacts
    assert (len(artifact.latencies), len(artifact.stale)) == (0, 1)
    assert comparable_groups(folder.artifacts) == []
    page = Page(render(folder))
    assert page.of("svg") == []
    assert "Stale: measured before the file was replaced" in words(page)
    assert "123.45" in page.text
    sample.latency("gone")
    assert [problem.reason for problem in read_folder(sample.folder).problems] == [
        "measured, and there is no report of it here"
    ]


def test_a_measurement_belongs_to_a_file_and_not_to_a_name(sample: Sample) -> None:
    """A measurement from another machine is put into the folder under any name."""
    export = sample.export("a")
    sample.latency("elsewhere", {"sha256": export["sha256"], "artifact": "/phone/b.onnx"})
    folder = read_folder(sample.folder)
    assert len(folder.artifacts[0].latencies) == 1
    assert folder.problems == []


def record(**changes: Any) -> ExportRecord:
    return ExportRecord.model_validate({**ENOUGH, "model": "cas_vit_xs", **AT_224, **changes})


def test_published_accuracy_only_where_it_may_be_compared() -> None:
    assert published_accuracy(record()).top1_percent == 78.3
    for changes, reason in (
        ({"model": "my_net"}, "a model of your own"),
        ({"model": "saevit_0p8g"}, "a reconstruction"),
        ({"task": "features"}, "not a classifier"),
        ({"outputs": [{"name": "logits", "shape": [1, 10]}]}, "published for 1000 classes only"),
        ({"input": {"shape": [1, 3, 192, 192]}}, "published at 224, 384 px only"),
        ({"input": {"shape": [1, 3, 224, 192]}}, "published at 224, 384 px only"),
    ):
        found = published_accuracy(record(**changes))
        assert found.top1_percent is None
        assert found.reason is not None
        assert reason in found.reason


def test_measurements_of_two_machines_are_not_in_one_plot(sample: Sample) -> None:
    for name, p50 in (("cas_vit_xs", 9.0), ("cas_vit_s", 12.0), ("cloformer_xxs", 10.0), ("lightvit_tiny", 9.0)):
        catalog_model(sample, name, p50)
    stem = catalog_model(sample, "cas_vit_m", 30.0)
    sample.latency(stem, {"environment": {"cpu": "another CPU"}})
    first, second = comparable_groups(read_folder(sample.folder).artifacts)
    assert "another CPU" in first.title
    assert len(first.points) == 1
    assert [(point.artifact.record.model, point.best) for point in second.points] == [
        ("lightvit_tiny", True),  # as fast as the next, and more accurate
        ("cas_vit_xs", False),
        ("cloformer_xxs", False),
        ("cas_vit_s", True),
    ]
