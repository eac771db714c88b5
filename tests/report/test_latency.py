"""The table of latencies: what was set of the session stands once where it is the same, else beside each file."""

import io
from typing import Any

from rich.console import Console

from mobilevit_deploy.report.latency import latency_table
from tests.report.make_screens import measured_latency

SPINNING = {"session.intra_op.allow_spinning": "0"}


def shown(*reports: Any) -> str:
    file = io.StringIO()
    Console(file=file, width=160).print(latency_table(reports), crop=False)
    return file.getvalue()


def measured(name: str, settings: dict[str, str], *recommended: str) -> Any:
    report = measured_latency(name)
    report.environment["session_options"] = settings
    report.recommendations = recommended
    return report


def test_settings_that_all_files_share_stand_once() -> None:
    text = shown(measured("a.onnx", SPINNING), measured("b.onnx", SPINNING))
    assert text.count("; session.intra_op.allow_spinning=0") == 1
    assert "a.onnx: with" not in text


def test_settings_of_one_file_stand_beside_its_name_and_advice_stands_once() -> None:
    advice = "--huge-pages: faster"
    text = shown(measured("a.onnx", {}, advice), measured("b.onnx", SPINNING, advice, "--option x=1: too"))
    assert "b.onnx: with session.intra_op.allow_spinning=0" in text
    assert "a.onnx: with" not in text
    assert text.count(f"may help: {advice}") == 1
    assert "may help: --option x=1: too" in text
