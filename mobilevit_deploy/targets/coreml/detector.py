"""Detectors as Vision and Xcode know them: a pipeline of the network and a ``NonMaximumSuppression`` model.

Vision makes ``VNRecognizedObjectObservation`` of the outputs ``coordinates``, (n, 4), x and y of the centre, width and
height relative to the image; and ``confidence``, (n, classes). An app may give ``iouThreshold`` and
``confidenceThreshold``, or leave them out. There is no type of preview for detectors in Apple's list of them: Xcode
knows the pipeline. Sources: ``NonMaximumSuppression.proto`` and the validators of ``mlmodel/src/Validation`` in
coremltools 9.0; what Turi Create and Ultralytics 8.3 write.

Two things here are not what one would write first. Inputs of the suppression itself "cannot be optional to this type of
model" (``InterfaceValidators.cpp``), so the thresholds are described for the pipeline alone, and the suppression only
names them. And on Apple silicon a pipeline whose ML Program returns other numbers of classes than 80 has detected
nothing, or with confidences of 1: coremltools issues 2158 and 2445, Ultralytics issues 8461 and 22309, which works
around it by unused classes, up to the next multiple of 80. So do we; this has not been seen on a Mac by us.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mobilevit_deploy.architectures.operations.suppression import SUPPRESS
from mobilevit_deploy.catalog.decision import Suppression
from mobilevit_deploy.graph.candidates import CONFIDENCE, COORDINATES, append_candidates
from mobilevit_deploy.graph.capture import TensorSpec, graph_of, recapture
from mobilevit_deploy.graph.graph import Graph, arguments, shape
from mobilevit_deploy.targets.artifact import ConversionRequest
from mobilevit_deploy.targets.coreml.mil.package import Package, make_reproducible

COLUMNS_MULTIPLE = 80
# As Vision looks for them.
IOU_INPUT, CONFIDENCE_INPUT = "iouThreshold", "confidenceThreshold"
COORDINATES_OUTPUT, CONFIDENCE_OUTPUT = "coordinates", "confidence"
SHORT_DESCRIPTIONS = {
    COORDINATES_OUTPUT: "Boxes by x, y, width and height, of the centre, relative to the image size",
    CONFIDENCE_OUTPUT: "Boxes by the confidence of each class, in the order of the model's labels",
    IOU_INPUT: "(optional) IoU threshold (default: {:g})",
    CONFIDENCE_INPUT: "(optional) confidence threshold (default: {:g})",
}


@dataclass(frozen=True)
class Detector:
    """How the boxes of a network are chosen, and what their classes are called.

    Attributes:
        labels: of the classes, in order.
        iou_threshold: of two boxes that overlap by more, the one with the lower confidence goes; by default.
        confidence_threshold: boxes below it go; by default.
        max_detections: that are left at most; None for no limit.
        per_class: whether boxes of different classes leave one another alone.
    """

    labels: tuple[str, ...]
    iou_threshold: float
    confidence_threshold: float
    max_detections: int | None = None
    per_class: bool = True


def split_detector(request: ConversionRequest) -> tuple[ConversionRequest, Detector | None]:
    """Returns the request of a detector's network, and what follows it; what was asked, and nothing, for other models.

    Args:
        request: whose program ends with ``mvd::suppress``, if its model is a detector that decides.
    """
    if not isinstance(request.app.decision, Suppression):
        return request, None
    graph = graph_of(request.program)
    (suppression,) = graph.graph.find_nodes(op="call_function", target=SUPPRESS)
    given = arguments(suppression)
    edited, shapes = _candidates(graph, given, request.input.shape)
    classes = shape(given["scores"])[2]
    detector = Detector(
        request.app.classes.names or tuple(map(str, range(classes))),
        given["iou_threshold"],
        given["score_threshold"],
        given["max_detections"],
    )
    outputs = tuple(TensorSpec(name, shape) for name, shape in shapes.items())
    return replace(request, program=recapture(edited, request.sample), outputs=outputs), detector


def _candidates(graph: Graph, given: dict[str, Any], image: Sequence[int]) -> tuple[Graph, dict[str, tuple[int, ...]]]:
    """Returns the graph with candidates in place of the suppression that was given these arguments."""
    graph.set_outputs({name: given[name] for name in ("boxes", "scores")})
    columns = columns_of(shape(given["scores"])[2])
    rule = (given["level_sizes"], given["candidates"], image[2], image[3], columns)
    return append_candidates(graph, *rule, per_class=given["per_class"])


def columns_of(classes: int) -> int:
    """Returns how many columns the confidence has for so many classes."""
    return -(-classes // COLUMNS_MULTIPLE) * COLUMNS_MULTIPLE


def padded_labels(labels: Sequence[str], columns: int) -> list[str]:
    """Returns a label for each column; those of unused ones, which always are 0, differ from all others."""
    unused = (f"unused {i}" for i in range(columns))
    taken = set(labels)
    added = [name for name in unused if name not in taken]
    return [*labels, *added[: columns - len(labels)]]


def write_detector(path: Path, detector: Detector) -> None:
    """Makes a detector's pipeline of a package; its weights stay where they are.

    Args:
        path: a package whose network returns ``COORDINATES`` (N, 4) and ``CONFIDENCE`` (N, columns).
        detector: what follows the network.

    Raises:
        ArtifactError: the package is damaged.
    """
    package = Package(path)
    network = package.model
    pipeline = type(network)()
    pipeline.specificationVersion = network.specificationVersion
    pipeline.description.metadata.CopyFrom(network.description.metadata)
    network.description.ClearField("metadata")
    suppression = _suppression(network, detector)
    _describe(pipeline.description, network, suppression, detector)
    pipeline.pipeline.models.extend([network, suppression])
    pipeline.pipeline.names.extend(["network", "non-maximum suppression"])
    package.model_file.write_bytes(pipeline.SerializeToString())
    make_reproducible(path)


def _suppression(network: Any, detector: Detector) -> Any:
    model = type(network)()
    model.specificationVersion = network.specificationVersion
    raw = {feature.name: feature for feature in network.description.output}
    columns = raw[CONFIDENCE].type.multiArrayType.shape[1]
    for source, name, size in ((CONFIDENCE, CONFIDENCE_OUTPUT, columns), (COORDINATES, COORDINATES_OUTPUT, 4)):
        model.description.input.add().CopyFrom(raw[source])
        output = model.description.output.add(name=name, shortDescription=SHORT_DESCRIPTIONS[name])
        array = output.type.multiArrayType
        array.dataType = raw[source].type.multiArrayType.dataType
        most = -1 if detector.max_detections is None else detector.max_detections
        array.shapeRange.sizeRanges.add(lowerBound=0, upperBound=most)
        array.shapeRange.sizeRanges.add(lowerBound=size, upperBound=size)
    message = model.nonMaximumSuppression
    message.pickTop.perClass = detector.per_class
    message.stringClassLabels.vector.extend(padded_labels(detector.labels, columns))
    message.iouThreshold = detector.iou_threshold
    message.confidenceThreshold = detector.confidence_threshold
    message.confidenceInputFeatureName, message.confidenceOutputFeatureName = CONFIDENCE, CONFIDENCE_OUTPUT
    message.coordinatesInputFeatureName, message.coordinatesOutputFeatureName = COORDINATES, COORDINATES_OUTPUT
    message.iouThresholdInputFeatureName = IOU_INPUT
    message.confidenceThresholdInputFeatureName = CONFIDENCE_INPUT
    return model


def _describe(description: Any, network: Any, suppression: Any, detector: Detector) -> None:
    description.input.extend(network.description.input)
    for name, default in ((IOU_INPUT, detector.iou_threshold), (CONFIDENCE_INPUT, detector.confidence_threshold)):
        feature = description.input.add(name=name, shortDescription=SHORT_DESCRIPTIONS[name].format(default))
        feature.type.doubleType.SetInParent()
        feature.type.isOptional = True
    description.output.extend(suppression.description.output)
