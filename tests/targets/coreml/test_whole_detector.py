"""The recorded detector as a Core ML package, beside what MMDetection itself computed."""

from pathlib import Path

import pytest

from mobilevit_deploy.catalog import catalog
from mobilevit_deploy.catalog.decision import Suppression
from mobilevit_deploy.graph.app_interface import append_decision
from mobilevit_deploy.graph.capture import TensorSpec, capture, recapture
from mobilevit_deploy.targets.app_options import AppInterface
from mobilevit_deploy.targets.artifact import ConversionRequest
from mobilevit_deploy.targets.coreml.convert import convert
from mobilevit_deploy.targets.coreml.detections import in_pixels
from mobilevit_deploy.targets.coreml.evaluator import MilRunner
from mobilevit_deploy.verification.detections import judge_detections
from mobilevit_deploy.verification.expected import run_all
from tests.architectures.heads.test_recorded_outputs import CASES, build
from tests.support.recorded import SCORES, case_of, recorded_detections, recorded_head


@pytest.mark.slow
def test_all_recorded_detections_are_found(tmp_path: Path) -> None:
    record = recorded_head("detect")
    case, _ = case_of(record, CASES["detect"])
    module, x = build(record, "boxes"), record.input(case)
    settings = catalog.heads()["detect"].suppression
    assert settings
    rule = Suppression(**settings.model_dump(), strides=(8, 16, 32, 64, 128), anchors=9)
    captured = capture(module, x, "detect")
    graph, shapes = append_decision(captured.graph, rule, *x.shape[2:])
    outputs = tuple(TensorSpec(*item) for item in shapes.items())
    path, app = tmp_path / "recorded.mlpackage", AppInterface(decision=rule)
    convert(ConversionRequest(recapture(graph, x), x, captured.input, outputs, "fp32", 16, {}, path, app))
    found = run_all(in_pixels(MilRunner(path)), x.numpy(), 1)
    agreement, reasons = judge_detections(recorded_detections(record, CASES["detect"]), found, SCORES, ())
    assert reasons == []
    assert (agreement.count, agreement.missing, agreement.extra) == (100, 0, 0)
    assert agreement.smallest_iou > 0.999
