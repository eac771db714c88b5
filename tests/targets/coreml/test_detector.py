"""Detectors' packages: what Vision looks for in them, and the decisions of a tiny network beside plain ones."""

import hashlib
import operator
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from mobilevit_deploy.architectures.operations.suppression import NO_CLASS
from mobilevit_deploy.catalog.decision import Suppression
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.graph import candidates
from mobilevit_deploy.graph.app_interface import append_decision, normalize_pixels
from mobilevit_deploy.graph.capture import TensorSpec, capture, recapture
from mobilevit_deploy.graph.module_notes import KEY, module_paths
from mobilevit_deploy.loading.class_names import ClassNames
from mobilevit_deploy.runners.base import NotMeasured
from mobilevit_deploy.targets.app_options import AppInterface, ImageInput
from mobilevit_deploy.targets.artifact import ConversionRequest
from mobilevit_deploy.targets.contents import compare
from mobilevit_deploy.targets.coreml import convert as coreml
from mobilevit_deploy.targets.coreml.detections import from_centre_form
from mobilevit_deploy.targets.coreml.detections import in_pixels as in_pixels_of
from mobilevit_deploy.targets.coreml.detector import (
    Detector,
    columns_of,
    padded_labels,
    split_detector,
    write_detector,
)
from mobilevit_deploy.targets.coreml.evaluator import MilRunner
from mobilevit_deploy.targets.coreml.mil import suppression as mil
from mobilevit_deploy.targets.coreml.mil.data_types import AnyArray
from mobilevit_deploy.targets.coreml.mil.features import Feature
from mobilevit_deploy.targets.coreml.mil.package import Package
from mobilevit_deploy.targets.coreml.runner import open_all, open_before, open_unrounded
from tests.graph.test_candidates import corners, in_pixels, swapped_sides, y_before_x
from tests.targets.coreml.mil.conftest import MODEL, body_of

HEIGHT, WIDTH, STRIDES = 32, 48, (4, 8)
LEVELS = tuple((HEIGHT // stride) * (WIDTH // stride) for stride in STRIDES)
LABELS = ("cat", "dog", "owl")
MOST, CANDIDATES = 30, 40
IOU, LEAST = 0.4, 0.9
DETECTOR = Detector(LABELS, IOU, LEAST, MOST)
RULE = Suppression(
    candidates=CANDIDATES, score_threshold=LEAST, iou_threshold=IOU, max_detections=MOST, strides=STRIDES, anchors=1
)
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


class Net(nn.Module):
    """A box and three scores for every cell of two levels."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Conv2d(3, 4 + len(LABELS), stride, stride=stride) for stride in STRIDES)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        cells = torch.cat([head(x).flatten(2).transpose(1, 2) for head in self.heads], dim=1)
        size = torch.tensor([WIDTH, HEIGHT], dtype=x.dtype)
        centre = cells[..., :2].sigmoid() * size
        half = cells[..., 2:4].sigmoid() * size / 4
        return {"boxes": torch.cat((centre - half, centre + half), -1), "scores": (2 * cells[..., 4:]).sigmoid()}


@dataclass(frozen=True)
class Example:
    """A network, pixels (N, 3, H, W) that it is given, and what should be detected on each."""

    net: nn.Module
    pixels: AnyArray
    expected: list[list[tuple[int, float, AnyArray]]]


@pytest.fixture(scope="module")
def example() -> Example:
    torch.manual_seed(5)
    net = Net().eval()
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (4, 3, HEIGHT, WIDTH)).astype(np.float32)
    mean, std = (np.array(values).reshape(1, 3, 1, 1) for values in (MEAN, STD))
    with torch.no_grad():
        found = net(torch.from_numpy(((pixels / 255 - mean) / std).astype(np.float32)))
    boxes, scores = (found[name].numpy() for name in ("boxes", "scores"))
    return Example(net, pixels, [detect(*pair) for pair in zip(boxes, scores, strict=True)])


def detect(boxes: AnyArray, scores: AnyArray) -> list[tuple[int, float, AnyArray]]:
    """Returns label, score and box of what is detected, as MMDetection decides: of each level, of each class."""
    pairs, begin = [], 0
    for size in LEVELS:
        level = [(scores[i, c], i, c) for i in range(begin, begin + size) for c in range(len(LABELS))]
        pairs += sorted(level, reverse=True)[:CANDIDATES]
        begin += size
    kept: list[tuple[int, float, AnyArray]] = []
    for score, i, label in sorted((pair for pair in pairs if pair[0] > LEAST), reverse=True):
        if all(label != other or overlap(boxes[i], box) <= IOU for other, _, box in kept):
            kept.append((label, float(score), boxes[i]))
    return kept[:MOST]


def overlap(one: AnyArray, other: AnyArray) -> float:
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = np.prod((high - low).clip(0))
    return float(shared / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - shared))


def request_of(net: nn.Module, path: Path, precision: Any, intermediates: Path | None = None) -> ConversionRequest:
    """Returns what an export asks of the converter, for a detector with an image input."""
    sample = torch.zeros(1, 3, HEIGHT, WIDTH)
    graph = normalize_pixels(capture(net, sample, "detect").graph, MEAN, STD)
    graph, shapes = append_decision(graph, RULE, HEIGHT, WIDTH)
    app = AppInterface(ImageInput("RGB", MEAN, STD), classes=ClassNames(LABELS), decision=RULE)
    return ConversionRequest(
        program=recapture(graph, sample),
        sample=sample,
        input=TensorSpec(app.input_name("input"), (1, 3, HEIGHT, WIDTH)),
        outputs=tuple(TensorSpec(*item) for item in shapes.items()),
        precision=precision,
        version=16,
        metadata={"mvd.model": "net", "mvd.description": "finds cats"},
        path=path,
        app=app,
        intermediates=intermediates,
    )


@pytest.fixture(scope="module")
def written(example: Example, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coreml.convert(request_of(example.net, tmp_path_factory.mktemp("detector") / "net.mlpackage", "fp32")).path


def with_another(written: Path, path: Path, detector: Detector) -> Path:
    """Returns a package of the same network with another suppression."""
    shutil.copytree(written, path)
    package = Package(path)
    network = package.network
    network.description.metadata.CopyFrom(package.model.description.metadata)
    package.model_file.write_bytes(network.SerializeToString())
    write_detector(path, detector)
    return path


Found = Sequence[Sequence[AnyArray]]


def detections(path: Path, pixels: AnyArray, **thresholds: float) -> Found:
    """Returns the detections as other targets do, and by their thresholds those that an app may set."""
    if not thresholds:
        opener = open_all(path)[0]
        assert not isinstance(opener, NotMeasured)
        return [opener().run(image[None]) for image in pixels]
    runner = MilRunner(path)
    chosen = {name: np.array(value) for name, value in thresholds.items()}
    names = [feature.name for feature in runner.outputs]
    found = [dict(zip(names, runner.run({"image": image[None], **chosen}), strict=True)) for image in pixels]
    return [from_centre_form(left["coordinates"], left["confidence"], HEIGHT, WIDTH, MOST) for left in found]


def agree(found: Found, example: Example) -> bool:
    """Tells whether the same is detected: each has one of its label that overlaps it, with a score that is near."""
    for (boxes, scores, labels, count), expected in zip(found, example.expected, strict=True):
        left = list(zip(labels[0], scores[0], boxes[0], strict=True))[: int(count[0])]
        if len(left) != len(expected):
            return False
        for label, score, box in expected:
            same = [
                i
                for i, (other, near, its) in enumerate(left)
                if other == label and overlap(its, box) > 0.99 and abs(near - score) < 1e-4
            ]
            if not same:
                return False
            left.pop(same[0])
    return True


def test_the_same_is_detected(example: Example, written: Path) -> None:
    counts = [len(expected) for expected in example.expected]
    assert 2 < min(counts) <= max(counts) < MOST, "there is something to detect"
    assert max(len({label for label, _, _ in expected}) for expected in example.expected) == len(LABELS)
    assert agree(detections(written, example.pixels), example)


def test_what_an_app_chooses_changes_what_is_detected(example: Example, written: Path) -> None:
    assert not agree(detections(written, example.pixels, confidenceThreshold=0.95), example)
    assert not agree(detections(written, example.pixels, iouThreshold=0.1), example)
    chosen = detections(written, example.pixels, iouThreshold=IOU, confidenceThreshold=LEAST)
    assert agree(chosen, example)


@pytest.mark.parametrize("wrong", [None, corners, swapped_sides, in_pixels, y_before_x])
def test_a_wrong_form_of_the_boxes_is_caught(
    example: Example, monkeypatch: pytest.MonkeyPatch, wrong: Callable[..., Any] | None
) -> None:
    """What the graph gives to the suppression, without a package."""
    if wrong:
        monkeypatch.setattr(candidates, "_centre_form", wrong)
    network, detector = split_detector(request_of(example.net, Path("unused"), "fp32"))
    assert detector == DETECTOR
    module, rule = network.program.module(), mil.Suppression("", "", "", "", IOU, LEAST, per_class=True)
    found = []
    for image in example.pixels:
        coordinates, confidence = (item.numpy() for item in tree_leaves(module(torch.from_numpy(image[None]))))
        found.append(from_centre_form(*rule.run(coordinates, confidence, IOU, LEAST), HEIGHT, WIDTH, MOST))
    assert agree(found, example) == (wrong is None)


@pytest.mark.parametrize(
    "wrong",
    [
        replace(DETECTOR, iou_threshold=0.9),
        replace(DETECTOR, confidence_threshold=0.0),
        replace(DETECTOR, per_class=False),
        replace(DETECTOR, max_detections=3),
    ],
)
def test_a_wrong_rule_is_caught(example: Example, written: Path, tmp_path: Path, wrong: Detector) -> None:
    path = with_another(written, tmp_path / "net.mlpackage", wrong)
    assert not agree(detections(path, example.pixels), example)


def test_labels_of_another_order_are_caught(example: Example, written: Path) -> None:
    found = detections(written, example.pixels)
    turned = [(boxes, scores, len(LABELS) - 1 - labels, count) for boxes, scores, labels, count in found]
    assert not agree(turned, example)


def test_half_precision(example: Example, tmp_path: Path) -> None:
    """Some boxes are others where two are nearly as sure; without rounding, none is.

    Float32's weights are rounded for that as the half-precision package says, which keeps those of its boxes.
    """
    steps = tmp_path / "steps"
    steps.mkdir()
    artifact = coreml.convert(request_of(example.net, tmp_path / "net.mlpackage", "fp16", steps))
    found = detections(artifact.path, example.pixels)
    same, all_of_them = 0, 0
    for (boxes, _, labels, _), expected in zip(found, example.expected, strict=True):
        for label, _, box in expected:
            all_of_them += 1
            same += any(
                other == label and overlap(its, box) > 0.95 for other, its in zip(labels[0], boxes[0], strict=True)
            )
    assert same / all_of_them > 0.9
    (step,) = artifact.intermediates
    assert agree(detections(step.path, example.pixels), example)
    half = open_unrounded(artifact.path, None, "unrounded", None)()
    errors = []
    for like in (artifact.path, None):
        float32 = open_unrounded(step.path, None, "rounded constants", like)()
        pairs = [(float32.run(image[None])[0], half.run(image[None])[0]) for image in example.pixels]
        errors.append(max(float(np.abs(one - other).max()) for one, other in pairs))
    assert errors[0] == 0
    assert errors[1] > 1e-4, "pixels, by constants that only one of the two rounds"


def test_the_numbers_before_the_decision(example: Example, written: Path) -> None:
    """All boxes and all scores, of which the suppression is given the best."""
    count = sum(LEVELS)
    runner = open_before(written, None, [(1, count, 4), (1, count, len(LABELS))])()
    boxes, scores = runner.run(example.pixels[:1])
    mean, std = (np.array(values).reshape(1, 3, 1, 1) for values in (MEAN, STD))
    with torch.no_grad():
        expected = example.net(torch.from_numpy(((example.pixels[:1] / 255 - mean) / std).astype(np.float32)))
    np.testing.assert_allclose(boxes, expected["boxes"].numpy(), atol=1e-4)
    np.testing.assert_allclose(scores, expected["scores"].numpy(), atol=1e-6)
    with pytest.raises(ArtifactError, match=r"nothing of the shape \[1, 7, 4\]"):
        open_before(written, None, [(1, 7, 4), (1, count, len(LABELS))])().run(example.pixels[:1])
    with pytest.raises(ArtifactError, match="computes nothing of the shape"):
        open_before(written, None, [(1, count, 4)])().run(example.pixels[:1])


def test_what_vision_looks_for(written: Path) -> None:
    """By the validators of the format: the suppression's own inputs are none that may be left out."""
    package = Package(written)
    model = package.model
    network, suppression = model.pipeline.models
    assert [item.name for item in model.description.input] == ["image", "iouThreshold", "confidenceThreshold"]
    image, *thresholds = model.description.input
    assert image.type.WhichOneof("Type") == "imageType"
    assert image == network.description.input[0]
    assert [item.type.WhichOneof("Type") for item in thresholds] == ["doubleType"] * 2
    assert [item.type.isOptional for item in model.description.input] == [False, True, True]
    assert [item.shortDescription for item in thresholds] == [
        "(optional) IoU threshold (default: 0.4)", "(optional) confidence threshold (default: 0.9)",
    ]  # fmt: skip
    assert list(model.description.output) == list(suppression.description.output)
    assert [item.name for item in model.description.output] == ["confidence", "coordinates"]
    sizes = [
        [(size.lowerBound, size.upperBound) for size in item.type.multiArrayType.shapeRange.sizeRanges]
        for item in model.description.output
    ]
    assert sizes == [[(0, MOST), (80, 80)], [(0, MOST), (4, 4)]]
    assert list(suppression.description.input) == list(network.description.output)[::-1]
    arrays = [*suppression.description.input, *suppression.description.output]
    assert {item.type.multiArrayType.dataType for item in arrays} == {65568}, "float32, as iOS 14 takes it"
    assert not any(item.type.isOptional for item in suppression.description.input)
    rule = suppression.nonMaximumSuppression
    assert (rule.iouThreshold, rule.confidenceThreshold, rule.pickTop.perClass) == (IOU, LEAST, True)
    assert tuple(rule.stringClassLabels.vector[:3]) == LABELS
    assert len(set(rule.stringClassLabels.vector)) == 80
    assert {model.specificationVersion, network.specificationVersion, suppression.specificationVersion} == {7}
    assert model.description.metadata.shortDescription == "finds cats"
    assert not network.description.HasField("metadata")


def test_what_is_described(written: Path) -> None:
    file = coreml.describe(written)
    assert file.image
    assert file.color == "RGB"
    assert [(item.name, item.shape) for item in file.inputs] == [("image", (1, 3, HEIGHT, WIDTH))]
    assert [(item.name, item.shape) for item in file.outputs] == [
        ("confidence", (MOST, 80)),
        ("coordinates", (MOST, 4)),
    ]
    assert file.labels[:3] == LABELS
    assert file.metadata["mvd.model"] == "net"
    assert not file.half
    assert not file.probabilities
    assert coreml.read_operations(written)[-1].kind == "nonMaximumSuppression"
    operations = [item for item in body_of(Package(written).network).operations if item.type != "const"]
    paths = module_paths(operations, file.metadata)
    assert KEY in file.metadata
    assert [paths[item.outputs[0].name] for item in operations if item.type == "conv"] == ["heads.0", "heads.1"]


def test_the_same_bytes_again(written: Path, tmp_path: Path) -> None:
    def hashes(path: Path) -> dict[str, str]:
        files = sorted(item for item in path.rglob("*") if item.is_file())
        return {str(item.relative_to(path)): hashlib.sha256(item.read_bytes()).hexdigest() for item in files}

    assert hashes(with_another(written, tmp_path / "net.mlpackage", DETECTOR)) == hashes(written)
    weights = "Data/com.apple.CoreML/weights/weight.bin"
    assert set(hashes(written)) == {"Manifest.json", MODEL, weights}
    assert (written / weights).stat().st_size < 16_000, "no array of zeros, of every row and column, is among them"


def test_the_digests_are_of_the_network_and_the_rule(written: Path, tmp_path: Path) -> None:
    def after(edit: Callable[[Any], object]) -> tuple[str, bool]:
        path = Path(shutil.copytree(written, tmp_path / "copied.mlpackage", dirs_exist_ok=True))
        package = Package(path)
        edit(package.model)
        package.model_file.write_bytes(package.model.SerializeToString())
        integrity = compare(coreml.read_contents(path))
        assert integrity.tensors > 4
        return integrity.status, integrity.graph_changed

    assert after(lambda model: None) == ("intact", False)
    assert after(lambda model: setattr(model.description.output[0], "shortDescription", "boxes")) == ("intact", False)
    rule = operator.attrgetter("nonMaximumSuppression")
    assert after(lambda model: setattr(rule(model.pipeline.models[1]), "iouThreshold", 0.41)) == ("changed", True)
    labels = operator.attrgetter("nonMaximumSuppression.stringClassLabels.vector")
    assert after(lambda model: labels(model.pipeline.models[1]).reverse()) == ("changed", True)
    path = tmp_path / "copied.mlpackage"
    shutil.copytree(written, path, dirs_exist_ok=True)
    weights = path / "Data/com.apple.CoreML/weights/weight.bin"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    (tensor,) = compare(coreml.read_contents(path)).changed
    assert tensor.name in str(tensor)


def test_columns_and_their_labels() -> None:
    """Apple silicon has failed with other numbers of classes than multiples of 80; unused ones are told apart."""
    assert [columns_of(count) for count in (1, 79, 80, 81, 160)] == [80, 80, 80, 160, 160]
    labels = padded_labels(["unused 1", "cat"], 5)
    assert labels == ["unused 1", "cat", "unused 0", "unused 2", "unused 3"]
    assert padded_labels(LABELS, 3) == [*LABELS]


@pytest.mark.parametrize("shapes", [[(1, 3, 8)], [(8,)], [(2, 2), (3,)]])
def test_a_detector_of_no_image(shapes: list[tuple[int, ...]]) -> None:
    class Opened:
        name, settings = "mil", {"mode": "none"}
        inputs = tuple(Feature(f"x{i}", "array", shape) for i, shape in enumerate(shapes))
        outputs = (Feature("confidence", "array", (4, 80)), Feature("coordinates", "array", (4, 4)))

    with pytest.raises(ArtifactError, match="image"):
        in_pixels_of(Opened())  # type: ignore[arg-type]  # it never runs


def test_rows_that_fill_up_are_no_detections() -> None:
    coordinates = np.array([[0.5, 0.5, 0.5, 0.25], [0.25, 0.5, 0.1, 0.1], [0, 0, 0, 0]], np.float32)
    confidence = np.array([[0.0, 0.25], [0.5, 0.0], [0.0, 0.0]], np.float32)
    boxes, scores, labels, count = from_centre_form(coordinates, confidence, 40, 80, 4)
    assert count.tolist() == [2]
    assert labels.tolist() == [[0, 1, NO_CLASS, NO_CLASS]]
    assert scores.tolist() == [[0.5, 0.25, 0, 0]]
    assert boxes[0, 1].tolist() == [20, 15, 60, 25]
    assert from_centre_form(coordinates, confidence, 40, 80, 1)[2].tolist() == [[0]]
