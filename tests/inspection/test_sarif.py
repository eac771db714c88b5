"""Findings as SARIF: on the lines of the user's own code, in the form that GitHub and GitLab read."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilevit_deploy.inspection import Finding, Inspection, inspect_model
from mobilevit_deploy.inspection.sarif import sarif_document
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.sweep.findings import sarif_of_sweep

NET = """from torch import nn


class Net(nn.Module):
    def forward(self, images):
        order = images.mean((1, 2, 3)).argsort()
        return images[order]


def build():
    return Net()
"""
FOUND = {("cpu_only", "my%20models/net.py", 6), ("gather", "my%20models/net.py", 7)}


def check_form(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Checks what SARIF 2.1.0 requires (OASIS, sections 3.13 to 3.30); returns the results."""
    assert document["version"] == "2.1.0"
    assert document["$schema"].endswith("sarif-2.1.0.json")
    (run,) = document["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"]
    rules = [rule["id"] for rule in driver["rules"]]
    assert len(set(rules)) == len(rules)
    for result in run["results"]:
        assert result["ruleId"] in rules
        assert result["message"]["text"]
        assert result["level"] in ("none", "note", "warning", "error")
        (location,) = result["locations"]
        place = location["physicalLocation"]
        assert place["region"]["startLine"] >= 1
        assert place["artifactLocation"]["uriBaseId"] == "%SRCROOT%"
        uri = place["artifactLocation"]["uri"]
        assert uri
        assert not uri.startswith(("/", "."))
        assert " " not in uri
    found: list[dict[str, Any]] = run["results"]
    return found


def places(document: dict[str, Any]) -> set[tuple[str, str, int]]:
    found = (item["locations"][0]["physicalLocation"] for item in check_form(document))
    rules = (item["ruleId"] for item in check_form(document))
    return {
        (rule, place["artifactLocation"]["uri"], place["region"]["startLine"])
        for rule, place in zip(rules, found, strict=True)
    }


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my models").mkdir()
    path = tmp_path / "my models" / "net.py"
    path.write_text(NET)
    monkeypatch.chdir(tmp_path)
    return path


def test_a_finding_has_its_line(net: Path) -> None:
    (inspection,) = inspect_model(ExportRequest(ModelRequest(f"{net}:build", size=(8, 8)), ("coreml",)))
    assert {finding.line for finding in inspection.findings_before} == {f"{net}:6", f"{net}:7"}
    assert places(sarif_document([inspection], net.parents[1])) == FOUND
    assert places(sarif_document([inspection], net.parent / "elsewhere")) == set()


def test_a_sweep_inspects_the_models_of_ones_own_once_a_target(net: Path) -> None:
    file = net.parent / "sweep.toml"
    (net.parent / "none.py").write_text("")  # which has no function
    models = '["net.py:build", "none.py:build", "cas_vit_xs"]'
    file.write_text(f'[matrix]\nmodels = {models}\ntargets = ["coreml"]\nsizes = [32, 64]\n')
    stages: list[str] = []
    document, problems = sarif_of_sweep(file, stages.append)
    assert places(document) == FOUND
    assert len([stage for stage in stages if "capturing" in stage]) == 2
    assert len(problems) == 1
    assert "none.py" in problems[0]


TEXT = st.text(max_size=20)
LINES = st.one_of(st.just(""), st.integers(1, 9999).map(lambda number: f"net.py:{number}"), st.just("../other.py:3"))
FINDINGS = st.builds(Finding, TEXT, TEXT, TEXT, TEXT, TEXT, LINES)


@given(st.lists(FINDINGS, max_size=5))
def test_any_finding_is_a_result_or_none(findings: list[Finding]) -> None:
    inspection = Inspection("net", "coreml", {}, {}, {}, (), tuple(findings))
    with_line = [finding for finding in findings if finding.line.startswith("net.py:")]
    results = check_form(sarif_document([inspection], Path.cwd()))
    assert (len(results) > 0) == (len(with_line) > 0)
    assert len(check_form(sarif_document([inspection, replace(inspection)], Path.cwd()))) == len(results)
