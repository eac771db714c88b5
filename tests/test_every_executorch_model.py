"""Every model and task as ExecuTorch program: exported, verified, and what of it XNNPACK takes."""

from pathlib import Path

import pytest

from mobilevit_deploy import catalog
from mobilevit_deploy.export import ExportRequest, export_model
from mobilevit_deploy.load import ModelRequest
from mobilevit_deploy.pte import read_program
from mobilevit_deploy.pte.operations import macs, operations_of, shares_of
from mobilevit_deploy.rewriting import PROOF_LIMIT

CASES = [(name, task) for name, card in catalog.models().items() for task in card.family.tasks]

# Kernels of ExecuTorch's own that a family is left with; each is a copy out of XNNPACK and back.
KERNELS = {
    "cas_vit": set[str](),
    "cloformer": set[str](),
    "lightvit": {"aten::amax.out", "aten::expand_copy.out", "aten::mm.out"},
    "saevit": {"aten::upsample_nearest2d.vec_out"},
}

# What move_slices leaves of LightViT's multiplications: keys of tokens that only ask are not computed. The ONNX files
# have 0.990 and 0.975 of them in the smallest and the largest; here a product in place of each norm's mean is added.
SAVED = {"lightvit_tiny": 0.9933, "lightvit_small": 0.9827, "lightvit_base": 0.9767}


@pytest.mark.parametrize(("name", "task"), CASES, ids=[f"{name}.{task}" for name, task in CASES])
def test_export(name: str, task: str, tmp_path: Path) -> None:
    request = ModelRequest(name, task=task)  # type: ignore[arg-type]
    (report,) = export_model(ExportRequest(request, ("executorch",), folder=tmp_path))
    assert (report.parity.status, report.parity.reason) == ("passed", None)
    for result in report.rewrites:
        assert "whole graph" not in {refused.at for refused in result.refused}, f"{result.name} was not proved"
        assert result.max_rel_difference is None or result.max_rel_difference <= PROOF_LIMIT
    plan = read_program(report.artifact.path).plan("forward")
    assert plan is not None
    shares = shares_of(plan)
    assert shares.macs > 0.999
    card = catalog.model(name)
    assert set(shares.kernels) <= KERNELS[card.family.family]
    if task == "classify":  # the card counts at 224 px, as the authors wrote it
        expected = card.variant.macs * SAVED.get(card.name, 1)
        assert sum(map(macs, operations_of(plan))) == pytest.approx(expected, rel=1e-3)
