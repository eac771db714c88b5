"""The session's entries that a file notes of itself: those that mvd tune tries, and no others."""

import json
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.errors import UsageError
from mobilevit_deploy.measurement.latency import settings
from mobilevit_deploy.measurement.latency.measure import LatencyRequest, measure_latency
from mobilevit_deploy.measurement.latency.noted import noted_entries
from mobilevit_deploy.measurement.latency.settings import read_settings, recommend

SPINNING, DENORMALS = "session.intra_op.allow_spinning=0", "session.set_denormal_as_zero=1"
OF_A_FILE = {
    "model": "net",
    "task": "classify",
    "trained": "false",
    "weights": "no checkpoint given",
    "recipe": "net.tuned",
    "precision": "fp32",
}


def write(path: Path, *noted: str, by_mvd: bool = True) -> Path:
    """Writes the least file that ONNX Runtime runs, which notes entries of a session."""
    image, result = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 4, 4]) for name in ("input", "out"))
    graph = helper.make_graph([helper.make_node("Relu", ["input"], ["out"])], "net", [image], [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if by_mvd:
        entries = {**OF_A_FILE, **({"session": json.dumps(noted)} if noted else {})}
        helper.set_model_props(model, {f"mvd.{key}": value for key, value in entries.items()})
    onnx.save(model, path)
    return path


def test_a_file_notes_what_mvd_tune_tries_and_nothing_else(tmp_path: Path) -> None:
    hostile = "session.model_external_initializers_file_folder_path=/etc"
    assert noted_entries(write(tmp_path / "some.onnx", DENORMALS, hostile, SPINNING)) == (SPINNING, DENORMALS)
    assert noted_entries(write(tmp_path / "none.onnx")) == ()
    assert noted_entries(write(tmp_path / "foreign.onnx", by_mvd=False)) == ()
    tuning = catalog.recipe("onnx").tuning
    assert tuning
    assert {SPINNING, DENORMALS} <= {*tuning.session}


def test_what_a_file_notes_is_recommended_where_it_was_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "has_huge_pages", lambda: False)
    said = f"--option {SPINNING}: mvd tune found that it helps this file"
    assert recommend(read_settings(), (SPINNING,)) == (said,)
    assert recommend(read_settings(options=["session.intra_op.allow_spinning=1"]), (SPINNING,)) == ()


def test_each_file_is_measured_with_what_it_notes(tmp_path: Path) -> None:
    files = [write(tmp_path / "spins.onnx"), write(tmp_path / "tuned.onnx", SPINNING, DENORMALS)]
    asked = ["session.set_denormal_as_zero=0"]
    reports = measure_latency(LatencyRequest(files, threads=1, seconds=0.1, options=asked, recommended=True))
    given = [report.environment["session_options"] for report in reports]
    assert given == [
        {"session.set_denormal_as_zero": "0"},
        {"session.intra_op.allow_spinning": "0", "session.set_denormal_as_zero": "0"},
    ]
    for report in reports:
        assert bool(report.environment["variables"]) == settings.has_huge_pages()
        assert report.recommendations == ()


def test_what_is_recommended_is_the_cpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "_find_provider", lambda name: name)
    with pytest.raises(UsageError, match="--recommended is for the CPU, not for gpu"):
        measure_latency(LatencyRequest([write(tmp_path / "net.onnx")], provider="gpu", recommended=True))
