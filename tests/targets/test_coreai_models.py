"""Every model and task as a Core AI asset: converted, lowered and compared by Apple's own runtime, in both precisions.

On small images: what the compiler sees of a graph is its operations, and a run of the interpreter takes seconds.
"""

from pathlib import Path

import pytest

from mobilevit_deploy import catalog
from mobilevit_deploy.export import ExportRequest, export_model
from mobilevit_deploy.load import ModelRequest

CASES = [(name, task) for name, card in catalog.models().items() for task in card.family.tasks]


@pytest.mark.parametrize(("name", "task"), CASES, ids=[f"{name}.{task}" for name, task in CASES])
def test_export(name: str, task: str, tmp_path: Path) -> None:
    windows = name.startswith("lightvit") and task == "classify"  # of 7 at a stride of 32, without padding
    request = ModelRequest(name, task=task, size=(224, 224) if windows else (64, 64))  # type: ignore[arg-type]
    (report,) = export_model(ExportRequest(request, ("coreai",), precision="fp16", folder=tmp_path))
    assert [(leg.subject, leg.precision, leg.passed) for leg in report.parity.legs] == [
        ("rewritten graph", "fp32", True),
        ("float32 conversion", "fp32", True),
        ("artifact", "fp16", True),
        ("half precision, unrounded", "fp32", True),
    ]
    assert not {"batch_norm", "gather_nd"} & set(report.artifact.ops)
    for result in report.rewrites:
        assert "whole graph" not in {refused.at for refused in result.refused}, f"{result.name} was not proved"
