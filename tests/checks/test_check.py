"""``mvd check``: each gate fails alone, what cannot be run is told apart, and every form of the result is valid."""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import Result

from mobilevit_deploy.checks import summary
from mobilevit_deploy.checks.judge import judge_report
from mobilevit_deploy.checks.plan import AccuracyLimit, Limits
from mobilevit_deploy.checks.run import Checked
from mobilevit_deploy.checks.verdict import Verdict
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.export.report import ExportReport
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.verification.accuracy.classification import ClassAccuracy

NET = f"{Path(__file__).parents[1] / 'research' / 'half_nets.py'}:build_near"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    """Returns a real export's report, with trained weights and labelled images written into it."""
    folder = tmp_path_factory.mktemp("report")
    (report,) = export_model(ExportRequest(ModelRequest(NET, size=(32, 32)), ("onnx",), folder=folder))
    weights = replace(report.weights, trained=True, path="best.pth")
    return replace(report, weights=weights, accuracy=ClassAccuracy(1000, 998, 900, 897))


def loose(report: ExportReport) -> dict[str, Any]:
    """Returns limits that the report just meets."""
    ops = report.artifact.ops
    return {
        "trained": True,
        "max_bytes": report.artifact.bytes,
        "max_ops": {"total": sum(ops.values()), "Conv": ops["Conv"], "Loop": 0},
        "accuracy": AccuracyLimit(images=Path("x.npz"), max_drop=0.003),
    }


def failed(report: ExportReport, limits: Mapping[str, Any]) -> list[str]:
    return [item.gate for item in judge_report(report, Limits(**limits)) if item.status != "passed"]


def test_every_gate_just_met_passes(report: ExportReport) -> None:
    verdicts = list(judge_report(report, Limits(**loose(report))))
    assert {item.status for item in verdicts} == {"passed"}
    assert [item.gate for item in verdicts] == [
        "parity",
        "trained",
        "size",
        "ops total",
        "ops Conv",
        "ops Loop",
        "accuracy",
    ]


def test_each_gate_tightened_fails_alone(report: ExportReport) -> None:
    met = loose(report)
    assert failed(report, {**met, "max_bytes": report.artifact.bytes - 1}) == ["size"]
    for name in ("total", "Conv"):
        ops = {**met["max_ops"], name: met["max_ops"][name] - 1}
        assert failed(report, {**met, "max_ops": ops}) == [f"ops {name}"]
    assert failed(report, {**met, "accuracy": AccuracyLimit(images=Path("x.npz"), max_drop=0.0029)}) == ["accuracy"]
    untrained = replace(report, weights=replace(report.weights, trained=False))
    assert failed(untrained, met) == ["trained"]
    broken = replace(report, parity=replace(report.parity, status="failed", reason="too far"))
    assert failed(broken, met) == ["parity"]


def test_what_cannot_be_told_is_undecided(report: ExportReport) -> None:
    unmeasured = replace(report, parity=replace(report.parity, status="not_measured", reason="no runner"))
    (verdict,) = judge_report(unmeasured, Limits())
    assert (verdict.status, verdict.reason) == ("undecided", "no runner")
    for accuracy in (None, ClassAccuracy(1000, 998)):
        limits = Limits(accuracy=loose(report)["accuracy"])
        _, verdict = judge_report(replace(report, accuracy=accuracy), limits)
        assert verdict.status == "undecided"


TEXT = st.text(max_size=30)
VERDICTS = st.builds(Verdict, TEXT, st.sampled_from(["passed", "failed", "undecided"]), TEXT, TEXT, TEXT)
CHECKS = st.lists(st.builds(Checked, TEXT, st.lists(VERDICTS, max_size=3).map(tuple), TEXT), max_size=3)


@given(CHECKS)
def test_any_text_gives_valid_xml_markdown_and_json(checks: list[Checked]) -> None:
    root = ElementTree.fromstring(summary.junit(checks))
    counts = summary.count(checks)
    assert len(root.findall(".//failure")) == counts["failed"] == int(root.get("failures", ""))
    assert len(root.findall(".//skipped")) == counts["undecided"]
    assert len(root.findall(".//error")) == counts["error"]
    rows = [line for line in summary.markdown(checks).splitlines() if line.startswith("|")][2:]
    assert len(rows) == sum(counts.values())
    assert {line.replace("\\|", "").count("|") for line in rows} <= {6}
    assert json.loads(json.dumps(summary.document(checks)))["counts"] == counts


def test_names_are_no_markup() -> None:
    (row,) = [
        line for line in summary.markdown([Checked("<img src=x> [a](b)", (), "no")]).splitlines() if "img" in line
    ][:1]
    assert "<img" not in row.replace("\\<", "")


CHECKS_FILE = """
[[check]]
name = "small"
model = "net.py:build"
to = "onnx"
input_size = 32
limits = { max_bytes = 1000000, max_ops = { Transpose = 0 } }
"""
NET_CODE = """
from torch import nn
def build():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
"""


def test_the_command(mvd: Callable[..., Result]) -> None:
    Path("net.py").write_text(NET_CODE)
    Path("checks.toml").write_text(CHECKS_FILE)
    done = mvd("check", "checks.toml", "--junit", "out/junit.xml", "--markdown", "out/summary.md", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["counts"] == {"passed": 3, "failed": 0, "undecided": 0, "error": 0}
    assert ElementTree.parse("out/junit.xml").getroot().get("tests") == "3"
    assert "3 passed" in Path("out/summary.md").read_text()


@pytest.mark.parametrize(
    ("old", "new", "options", "code", "words"),
    [
        ("1000000", "100", (), 3, "gates that failed: 1"),
        ("net.py:build", "none.py:build", (), 1, "checks that could not be run: 1 of 1"),
        ("net.py:build", "cas_vit_xxl", (), 1, "checks that could not be run"),
        ("max_bytes", "max_bites", (), 1, "max_bites"),
        ('"onnx"', '"coreml"', (), 0, "undecided"),
        ('"onnx"', '"coreml"', ("--strict",), 3, "undecided"),
        ("input_size = 32", 'input_size = 32\ncheckpoint = "none.pth"', (), 1, "none.pth"),
    ],
)
def test_exit_codes(
    old: str, new: str, options: tuple[str, ...], code: int, words: str, mvd: Callable[..., Result]
) -> None:
    Path("net.py").write_text(NET_CODE)
    text = CHECKS_FILE.replace(old, new)
    if "coreml" in new:
        text = text.replace("max_ops = { Transpose = 0 }", "neural_engine = { min_share = 0.9 }")
    Path("checks.toml").write_text(text)
    done = mvd("check", "checks.toml", "--junit", "junit.xml", *options)
    assert done.exit_code == code, done.output
    assert words in done.output
    assert Path("junit.xml").exists() == ("bites" not in new)


def test_one_check_that_cannot_be_run_does_not_hide_the_others(mvd: Callable[..., Result]) -> None:
    Path("net.py").write_text(NET_CODE)
    Path("checks.toml").write_text(CHECKS_FILE.replace("net.py", "none.py") + CHECKS_FILE.replace("small", "other"))
    done = mvd("check", "checks.toml", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["counts"] == {"passed": 3, "failed": 0, "undecided": 0, "error": 1}
