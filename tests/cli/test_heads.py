"""Options of whole models on the command line, and what mvd says of the tasks."""

from collections.abc import Callable

import pytest
from typer.testing import Result

pytestmark = pytest.mark.usefixtures("pyramid")

Mvd = Callable[..., Result]
DETECT = ("export", "cas_vit_xs", "--task", "detect", "--num-classes", 3, "--input-size", 64, "--to", "onnx")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--output", "boxes", "--max-detections", 7), "--max-detections with --output boxes"),
        (("--output", "labels"), "--task detect has no output 'labels'"),
        (("--iou-threshold", 0), "--iou-threshold 0.0"),
        (("--batch", 2), "--output nms with a batch of 2"),
        (("--images", "images"), "--images with --task detect, and nothing to compare with add --boxes"),
        (("--images", "images", "--masks", "masks"), "--masks with --task detect"),
        (("--boxes", "boxes.json"), "--boxes, but no images were given"),
        (("--reduce-zero-label",), "--reduce-zero-label is for --masks"),
        (("--images", "images", "--boxes", "boxes.json", "--output", "raw"), "--output raw, which has no boxes"),
        (("--to", "executorch", "--output", "nms"), "--output nms, but ExecuTorch has no operation"),
    ],
)
def test_what_is_refused(mvd: Mvd, options: tuple[object, ...], message: str) -> None:
    result = mvd(*DETECT, *options)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_show_names_the_heads(mvd: Mvd) -> None:
    text = " ".join(mvd("show", "cas_vit_xs").stdout.split())
    assert "classify, features, segment, detect" in text
    assert (
        "segment: semantic_fpn, 150 classes by default, 512 px; any size divisible by 32; returns labels, logits;"
        in text
    )
    assert "any size divisible by 32; returns nms, boxes, raw;" in text
    assert "segment" not in mvd("show", "lightvit_tiny").stdout


def test_quantize_takes_the_same_options(mvd: Mvd) -> None:
    asked = ("quantize", "cas_vit_xs", "--task", "detect", "--calibrate", "structured", "--output", "boxes")
    result = mvd(*asked, "--max-detections", 7)
    assert result.exit_code == 2
    assert "--max-detections with --output boxes" in " ".join(result.stderr.split())
