"""Every model, task and target: exported, verified, and its operations counted.

``tests/golden/histograms.json`` holds the counts, so that a change of a graph shows in review. After a change that
is meant, write it anew: ``MVD_UPDATE_GOLDEN=1 python -m pytest tests/test_every_model.py`` (without ``-n``).
"""

import json
import os
from pathlib import Path

import pytest

from mobilevit_deploy import catalog
from mobilevit_deploy.export import ExportRequest, export_model
from mobilevit_deploy.inspection import inspect_artifact
from mobilevit_deploy.load import ModelRequest
from mobilevit_deploy.rewriting import PROOF_LIMIT
from mobilevit_deploy.targets import describe_file
from tests.conftest import GOLDEN

HISTOGRAMS = GOLDEN / "histograms.json"
UPDATE = os.environ.get("MVD_UPDATE_GOLDEN") == "1"

CASES = [(name, task) for name, card in catalog.models().items() for task in card.family.tasks]


@pytest.mark.parametrize(("name", "task"), CASES, ids=[f"{name}.{task}" for name, task in CASES])
def test_export(name: str, task: str, tmp_path: Path) -> None:
    request = ModelRequest(name, task=task)  # type: ignore[arg-type]
    reports = export_model(ExportRequest(request, ("onnx", "coreml"), folder=tmp_path))
    assert [(report.parity.status, report.parity.reason) for report in reports] == 2 * [("passed", None)]
    found = {report.artifact.target: dict(sorted(report.artifact.ops.items())) for report in reports}
    for report in reports:
        for result in report.rewrites:
            assert "whole graph" not in {refused.at for refused in result.refused}, f"{result.name} was not proved"
            assert result.max_rel_difference is None or result.max_rel_difference <= PROOF_LIMIT
        rules = {finding.rule for finding in inspect_artifact(report.artifact.path).findings}
        assert not rules & {"rank_above_5", "gather", "shape_computation", "dynamic_shape", "cpu_only"}
        metadata = describe_file(report.artifact.path).metadata
        reconstruction = catalog.model(name).family.reconstruction
        assert metadata["mvd.reconstruction"] == str(reconstruction).lower()
        assert ("reconstruction from the paper" in metadata["mvd.description"]) == reconstruction
    assert found == golden(f"{name}.{task}", found)


def golden(key: str, found: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    stored: dict[str, dict[str, dict[str, int]]] = json.loads(HISTOGRAMS.read_text()) if HISTOGRAMS.exists() else {}
    if UPDATE:
        stored[key] = found
        HISTOGRAMS.write_text(json.dumps(dict(sorted(stored.items())), indent=1) + "\n")
    return stored[key]


def test_every_golden_entry_is_a_case() -> None:
    assert set(json.loads(HISTOGRAMS.read_text())) == {f"{name}.{task}" for name, task in CASES}
