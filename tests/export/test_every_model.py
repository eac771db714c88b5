"""Every model, task and target: exported, verified, and its operations counted.

``tests/golden/histograms.json`` holds the counts, so that a change of a graph shows in review. After a change that
is meant, write it anew: ``MVD_UPDATE_GOLDEN=1 python -m pytest tests/export/test_every_model.py`` (without ``-n``).
A case takes one to four minutes: all but the smallest model are slow tests. Quick ones take every family to ONNX
(test_export.py; SAEViT in cli/test_commands.py) and to Core ML (runners/test_mil.py).
"""

import json
import os
import re
from pathlib import Path

import pytest

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.export.report import ExportReport
from mobilevit_deploy.inspection import inspect_artifact
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.rewrites.rewrite import PROOF_LIMIT
from mobilevit_deploy.targets.executorch.pte import read_program
from mobilevit_deploy.targets.executorch.pte.operations import macs, operations_of, shares_of
from mobilevit_deploy.targets.registry import describe_file
from tests.conftest import GOLDEN

HISTOGRAMS = GOLDEN / "histograms.json"
UPDATE = os.environ.get("MVD_UPDATE_GOLDEN") == "1"

CARDS = sorted(catalog.models().values(), key=lambda card: card.variant.macs)
CASES = [(card.name, task) for card in CARDS for task in card.family.tasks]
QUICK = (CARDS[0].name, "classify")
TARGETS = ("onnx", "coreml", "executorch")  # of one capture; Core AI takes minutes: targets/test_coreai_models.py

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


@pytest.mark.parametrize(
    ("name", "task"),
    [pytest.param(*case, id=".".join(case), marks=() if case == QUICK else (pytest.mark.slow,)) for case in CASES],
)
def test_export(name: str, task: str, tmp_path: Path) -> None:
    request = ModelRequest(name, task=task)  # type: ignore[arg-type]
    reports = export_model(ExportRequest(request, TARGETS, folder=tmp_path))
    found = [(report.artifact.target, report.parity.status, report.parity.reason) for report in reports]
    assert found == [(target, "passed", None) for target in TARGETS]
    for report in reports:
        for result in report.rewrites:
            assert "whole graph" not in {refused.at for refused in result.refused}, f"{result.name} was not proved"
            assert result.max_rel_difference is None or result.max_rel_difference <= PROOF_LIMIT
        metadata = describe_file(report.artifact.path).metadata
        reconstruction = catalog.model(name).family.reconstruction
        assert metadata["mvd.reconstruction"] == str(reconstruction).lower()
        assert ("reconstruction from the paper" in metadata["mvd.description"]) == reconstruction
    *graphs, program = reports
    for report in graphs:
        rules = {finding.rule for finding in inspect_artifact(report.artifact.path).findings}
        assert not rules & {"rank_above_5", "gather", "shape_computation", "dynamic_shape", "cpu_only"}
    counted = {report.artifact.target: dict(sorted(report.artifact.ops.items())) for report in graphs}
    assert counted == golden(f"{name}.{task}", counted)
    check_delegation(program)


def check_delegation(report: ExportReport) -> None:
    """What XNNPACK takes of a program, and its multiplications against the card's."""
    plan = read_program(report.artifact.path).plan("forward")
    assert plan is not None
    shares, card = shares_of(plan), catalog.model(report.model)
    assert shares.macs > 0.999
    assert set(shares.kernels) <= KERNELS[card.family.family]
    if report.task == "classify":  # the card counts at 224 px, as the authors wrote it
        expected = card.variant.macs * SAVED.get(card.name, 1)
        assert sum(map(macs, operations_of(plan))) == pytest.approx(expected, rel=1e-3)


def golden(key: str, found: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    stored: dict[str, dict[str, dict[str, int]]] = json.loads(HISTOGRAMS.read_text()) if HISTOGRAMS.exists() else {}
    if UPDATE:
        stored[key] = found
        HISTOGRAMS.write_text(json.dumps(dict(sorted(stored.items())), indent=1) + "\n")
    return stored[key]


def test_every_golden_entry_is_a_case() -> None:
    assert set(json.loads(HISTOGRAMS.read_text())) == {f"{name}.{task}" for name, task in CASES}


def test_the_workflow_has_a_job_for_every_family() -> None:
    workflow = (Path(__file__).parents[2] / ".github" / "workflows" / "ci.yml").read_text()
    (jobs,) = re.findall(r"only: \[(.*)\]", workflow)
    assert set(jobs.split(", ")) == {card.family.family for card in catalog.models().values()} | {"docs"}
