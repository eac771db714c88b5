"""Whole detectors and segmenters as Core ML packages: what Vision finds in them, and that they are verified."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mobilevit_deploy.errors import CheckFailedError, UsageError
from mobilevit_deploy.export.document import export_document
from mobilevit_deploy.export.export import export_model
from mobilevit_deploy.export.report import ExportReport
from mobilevit_deploy.inspection.inspect import inspect_artifact
from mobilevit_deploy.loading.model import ModelRequest
from mobilevit_deploy.loading.model_head import HeadOptions
from mobilevit_deploy.pipeline.request import ExportRequest
from mobilevit_deploy.targets.app_options import AppOptions
from mobilevit_deploy.targets.coreml.convert import describe
from mobilevit_deploy.targets.coreml.mil.package import Package
from mobilevit_deploy.verification.report import VerifyFailedError
from mobilevit_deploy.verification.verify import VerifyRequest, verify_artifact
from tests.conftest import small_pyramid
from tests.support.schemas import check
from tests.targets.coreml.mil.conftest import edit_model

NAMES = ("cat", "dog", "owl", "bat", "ant")


@pytest.fixture(scope="module", autouse=True)
def pyramid() -> Iterator[None]:
    with small_pyramid():
        yield


def export(folder: Path, task: Any, precision: str = "fp32", **settings: Any) -> ExportReport:
    labels = folder / "labels.txt"
    labels.write_text("\n".join(NAMES))
    head = HeadOptions(score_threshold=0.02) if task == "detect" else HeadOptions()
    model = ModelRequest("cas_vit_xs", task, size=(64, 64), num_classes=len(NAMES), head=head)
    app = AppOptions(image_input=True, labels=labels, **settings)
    request = ExportRequest(model, ("coreml",), folder=folder / "out", precision=precision, app=app)
    (report,) = export_model(request)
    return report


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    return export(tmp_path_factory.mktemp("detector"), "detect")


@pytest.fixture
def copied(detector: ExportReport, tmp_path: Path) -> Path:
    """A detector's package that a test may change."""
    return Path(shutil.copytree(detector.artifact.path, tmp_path / detector.artifact.path.name))


def test_what_vision_finds(detector: ExportReport) -> None:
    package = Package(detector.artifact.path)
    description, suppression = package.model.description, package.suppression
    assert [item.name for item in description.input] == ["image", "iouThreshold", "confidenceThreshold"]
    assert description.input[0].type.WhichOneof("Type") == "imageType"
    assert {item.name: item.shape for item in detector.outputs} == {"confidence": (100, 80), "coordinates": (100, 4)}
    assert detector.parity.status == "passed"
    assert suppression is not None
    assert (suppression.iou_threshold, suppression.confidence_threshold, suppression.per_class) == (0.5, 0.02, True)
    assert suppression.labels[: len(NAMES)] == NAMES
    assert json.loads(description.metadata.userDefined["mvd.head"])["output"] == "nms"
    assert "cas_vit_xs" in description.metadata.shortDescription
    assert detector.artifact.ops["nonMaximumSuppression"] == 1
    assert inspect_artifact(detector.artifact.path).ops["nonMaximumSuppression"] == 1


def test_the_report_of_a_detector(detector: ExportReport) -> None:
    document = export_document(detector)
    check("export-report", json.dumps(document))
    assert (document["input"]["name"], document["input"]["kind"]) == ("image", "image")
    assert document["head"]["classes"] == list(NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "w8"])
def test_each_step_of_a_smaller_detector_is_compared(tmp_path: Path, precision: str) -> None:
    """Without rounding not one detection differs; and a file says enough of itself to do it all again."""
    detector = export(tmp_path, "detect", precision)
    assert detector.parity.status == "passed"
    found = {leg.subject: leg.decisions[0] for leg in detector.parity.legs if leg.decisions}
    before = ["before compression"] if precision == "w8" else []
    assert list(found) == ["rewritten graph", "float32 conversion", *before, "artifact", "half precision, unrounded"]
    numbers = detector.parity.legs[-1]
    assert (numbers.subject, [item.name for item in numbers.outputs]) == ("before the decision", ["boxes", "scores"])
    unrounded = found["half precision, unrounded"]
    assert (unrounded.missing, unrounded.extra) == (0, 0)  # type: ignore[attr-defined]  # of detections
    assert unrounded.count > 10  # type: ignore[attr-defined]  # of detections
    assert verify_artifact(VerifyRequest(detector.artifact.path, tight=True)).parity.status == "passed"


@pytest.mark.slow
@pytest.mark.parametrize(
    "edit",
    [
        lambda rule: setattr(rule, "iouThreshold", 0.95),
        lambda rule: setattr(rule, "confidenceThreshold", 0.5),
        lambda rule: setattr(rule.pickTop, "perClass", False),
    ],
)
def test_a_detector_with_another_rule_fails(copied: Path, edit: Callable[[Any], object]) -> None:
    edit_model(copied, lambda model: edit(model.pipeline.models[1].nonMaximumSuppression))
    with pytest.raises(VerifyFailedError):
        verify_artifact(VerifyRequest(copied))


def test_a_detector_with_other_labels_fails(copied: Path) -> None:
    def turn(model: Any) -> None:
        labels = model.pipeline.models[1].nonMaximumSuppression.stringClassLabels.vector
        labels[0], labels[1] = labels[1], labels[0]

    edit_model(copied, turn)
    with pytest.raises(CheckFailedError, match=r"the labels of .* are not those of its export"):
        verify_artifact(VerifyRequest(copied))


@pytest.mark.slow
def test_a_segmenter_is_verified(tmp_path: Path) -> None:
    segmenter = export(tmp_path, "segment")
    assert segmenter.parity.status == "passed"
    assert describe(segmenter.artifact.path).labels == NAMES
    assert verify_artifact(VerifyRequest(segmenter.artifact.path)).parity.status == "passed"


def test_sizes_are_for_other_outputs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--sizes with --output nms"):
        export(tmp_path, "detect", sizes=((96, 96),))
