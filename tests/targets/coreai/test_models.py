"""The smallest model of a family as a Core AI asset: converted, lowered and compared by Apple's own runtime.

On small images: what the compiler sees of a graph is its operations, and a run of the interpreter takes seconds.
LightViT is left out: its conversion and its legs take minutes.
"""

from pathlib import Path

import pytest

from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.rewrites.rewrite import TakenBack

NAMES = ("cas_vit_xs", "cloformer_xxs", "saevit_0p8g")


@pytest.mark.slow
@pytest.mark.parametrize("task", ["classify", "features"])
@pytest.mark.parametrize("name", NAMES)
def test_export(name: str, task: str, tmp_path: Path) -> None:
    request = ModelRequest(name, task=task, size=(64, 64))  # type: ignore[arg-type]
    (report,) = export_model(ExportRequest(request, ("coreai",), precision="fp16", folder=tmp_path))
    assert [(leg.subject, leg.precision, leg.passed) for leg in report.parity.legs] == [
        ("rewritten graph", "fp32", True),
        ("float32 conversion", "fp32", True),
        ("artifact", "fp16", True),  # sums in float32
        ("artifact", "fp16", True),  # Apple's kernels as they are
        ("half precision, unrounded", "fp32", True),
    ]
    assert not {"batch_norm", "gather_nd"} & set(report.artifact.ops)
    for result in report.rewrites:
        assert not any(isinstance(refused, TakenBack) for refused in result.refused), f"{result.name} was taken back"
