"""Every model, task and target: exported, verified, and its operations counted.

``tests/golden/histograms.json`` holds the counts, so that a change of a graph shows in review. After a change that
is meant, write it anew: ``MVD_UPDATE_GOLDEN=1 python -m pytest tests/export/test_every_model.py`` (without ``-n``).
A whole model takes one to four minutes and is a slow test. The quick ones take two blocks of every family the same way.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.export.report import ExportReport
from mobilevit_deploy.inspection import inspect_artifact
from mobilevit_deploy.loading.model import ModelRequest, load_model
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.rewrites.proof import PROOF_LIMIT
from mobilevit_deploy.rewrites.rewrite import TakenBack
from mobilevit_deploy.targets.executorch.pte import read_program
from mobilevit_deploy.targets.executorch.pte.operations import macs, operations_of, shares_of
from mobilevit_deploy.targets.executorch.quiet import quiet_executorch
from mobilevit_deploy.targets.registry import describe_file
from tests.support.recorded import GOLDEN

HISTOGRAMS = GOLDEN / "histograms.json"
UPDATE = os.environ.get("MVD_UPDATE_GOLDEN") == "1"

CARDS = sorted(catalog.models().values(), key=lambda card: card.variant.macs)
CASES = [(card.name, task) for card in CARDS for task in card.family.tasks]
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


@pytest.mark.slow
@pytest.mark.parametrize(("name", "task"), [pytest.param(*case, id=".".join(case)) for case in CASES])
def test_export(name: str, task: str, tmp_path: Path) -> None:
    request = ModelRequest(name, task=task)  # type: ignore[arg-type]
    reports = export_model(ExportRequest(request, TARGETS, folder=tmp_path))
    check_reports(reports, TARGETS)
    counted = {report.artifact.target: operations(report) for report in reports[:2]}
    assert counted == golden(f"{name}.{task}", counted)
    check_delegation(reports[2])
    if task == "classify":  # the card counts at 224 px, as the authors wrote it
        expected = catalog.model(name).variant.macs * SAVED.get(name, 1)
        assert multiplications(reports[2]) == pytest.approx(expected, rel=1e-3)


# Two blocks, with the size that they are exported at. ExecuTorch's own compiler takes half a minute for LightViT's.
SIZES = {"cas_vit_xs": 64, "cloformer_xxs": 64, "lightvit_tiny": 224, "saevit_0p8g": 64}


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("target", ["onnx", "coreml"])
@pytest.mark.parametrize("name", SIZES)
def test_two_blocks(name: str, target: str, tmp_path: Path) -> None:
    export_two_blocks(name, target, tmp_path)


@pytest.fixture(scope="module")
def executorch() -> None:
    """ExecuTorch takes three seconds to import, which is the time of no test."""
    with quiet_executorch():
        import executorch.backends.xnnpack.partition.xnnpack_partitioner
        import executorch.exir
        import executorch.runtime  # noqa: F401


@pytest.mark.usefixtures("shallow", "executorch")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "cas_vit_xs" else (pytest.mark.slow,)) for name in SIZES]
)
def test_two_blocks_in_executorch(name: str, tmp_path: Path) -> None:
    report = export_two_blocks(name, "executorch", tmp_path)
    check_delegation(report)
    module = load_model(ModelRequest(name, size=(SIZES[name], SIZES[name]))).module
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(torch.zeros(report.input.shape))
    saved = 1 if name == "cas_vit_xs" else pytest.approx(1, abs=0.1)
    assert 2 * multiplications(report) / counter.get_total_flops() == saved


def export_two_blocks(name: str, target: str, folder: Path) -> ExportReport:
    """Exports two blocks and checks their operations; returns the report."""
    request = ModelRequest(name, size=(SIZES[name], SIZES[name]))
    reports = export_model(ExportRequest(request, (target,), folder=folder))
    check_reports(reports, (target,))
    counted = {target: operations(reports[0])}
    assert counted == golden(f"{name}.two_blocks", counted)
    return reports[0]


def check_reports(reports: list[ExportReport], targets: Sequence[str]) -> None:
    """Checks what every export of a model of the catalog must be."""
    found = [(report.artifact.target, report.parity.status, report.parity.reason) for report in reports]
    assert found == [(target, "passed", None) for target in targets]
    for report in reports:
        for result in report.rewrites:
            assert not any(isinstance(refused, TakenBack) for refused in result.refused), (
                f"{result.name} was taken back"
            )
            assert result.max_rel_difference is None or result.max_rel_difference <= PROOF_LIMIT
        metadata = describe_file(report.artifact.path).metadata
        reconstruction = catalog.model(report.model).family.reconstruction
        assert metadata["mvd.reconstruction"] == str(reconstruction).lower()
        assert ("reconstruction from the paper" in metadata["mvd.description"]) == reconstruction
        if report.artifact.target != "executorch":
            rules = {finding.rule for finding in inspect_artifact(report.artifact.path).findings}
            assert not rules & {"rank_above_5", "gather", "shape_computation", "dynamic_shape", "cpu_only"}


def operations(report: ExportReport) -> dict[str, int]:
    return dict(sorted(report.artifact.ops.items()))


def multiplications(report: ExportReport) -> int:
    plan = read_program(report.artifact.path).plan("forward")
    assert plan is not None
    return sum(map(macs, operations_of(plan)))


def check_delegation(report: ExportReport) -> None:
    """Checks what XNNPACK takes of a program."""
    plan = read_program(report.artifact.path).plan("forward")
    assert plan is not None
    shares = shares_of(plan)
    assert shares.macs > 0.999
    assert set(shares.kernels) <= KERNELS[catalog.model(report.model).family.family]


def golden(key: str, found: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Returns the recorded counts of a case and of these targets."""
    stored: dict[str, dict[str, dict[str, int]]] = json.loads(HISTOGRAMS.read_text()) if HISTOGRAMS.exists() else {}
    if UPDATE:
        stored[key] = dict(sorted({**stored.get(key, {}), **found}.items()))
        HISTOGRAMS.write_text(json.dumps(dict(sorted(stored.items())), indent=1) + "\n")
    return {target: stored[key][target] for target in found}


def test_every_golden_entry_is_a_case() -> None:
    stored = json.loads(HISTOGRAMS.read_text())
    assert {key: set(counts) for key, counts in stored.items()} == {
        **{f"{name}.{task}": set(TARGETS[:2]) for name, task in CASES},
        **{f"{name}.two_blocks": set(TARGETS) for name in SIZES},
    }
