"""A pipeline of an ML Program and a ``NonMaximumSuppression``: how Core ML packages a detector for Vision and Xcode.

The program's weights lie beside the model as without a pipeline. Other pipelines are refused: one that holds another
pipeline, several programs or a neural network is nothing that mvd writes or evaluates.
"""

from typing import Any

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.coreml.mil.features import Feature, describe
from mobilevit_deploy.targets.coreml.mil.suppression import LARGEST_COUNT, Suppression, check_thresholds

PIPELINE, NETWORK, SUPPRESSION = (
    "pipeline",
    "mlProgram",
    "nonMaximumSuppression",
)  # as the fields of Model.proto are called


def split_pipeline(model: Any, name: str) -> tuple[Any, Any]:
    """Returns a pipeline's ML Program and its suppression, a ``Model`` message each.

    Raises:
        ArtifactError: it consists of something else.
    """
    kinds = [part.WhichOneof("Type") for part in model.pipeline.models]
    if kinds != [NETWORK, SUPPRESSION]:
        shown = ", ".join(str(kind or "nothing") for kind in kinds[:8]) or "nothing"
        raise ArtifactError(
            f"{name} is a pipeline of {shown}; a detector's is of an ML Program and a non-maximum suppression",
            "mvd reads ML Programs and such pipelines",
        )
    network, suppression = model.pipeline.models
    return network, suppression


def read_suppression(pipeline: Any, name: str) -> Suppression:
    """Returns what a detector's pipeline does after its network.

    Args:
        pipeline: the ``Model`` message of the whole.
        name: of the package.

    Raises:
        ArtifactError: its parts do not fit one another, or a value is out of its range.
    """
    network, model = split_pipeline(pipeline, name)
    message = model.nonMaximumSuppression
    given, taken = _features(pipeline.description.input), _features(network.description.input)
    raw, left = _features(network.description.output), _features(pipeline.description.output)
    outputs = (message.confidenceOutputFeatureName, message.coordinatesOutputFeatureName)
    _require(set(outputs) == left.keys() and len(left) == 2, name, f"returns {_listed(left)}, no boxes")
    for source in (message.confidenceInputFeatureName, message.coordinatesInputFeatureName):
        _require(source in raw and raw[source].kind == "array", name, f"suppresses {source!r}, which its network lacks")
        _require(len(raw[source].shape) in (0, 2), name, f"suppresses {source!r}, which has other axes than two")
    numbers = (message.iouThresholdInputFeatureName, message.confidenceThresholdInputFeatureName)
    thresholds = [item for item in numbers if item in given and item not in taken]
    _require(len(set(thresholds)) == len(thresholds), name, f"takes both thresholds as {numbers[0]!r}")
    _require(
        given.keys() == {*taken, *thresholds} and all(given[item].kind == "number" for item in thresholds),
        name,
        f"takes {_listed(given)}, and its network {_listed(taken)}",
    )
    check_thresholds(message.iouThreshold, message.confidenceThreshold)
    fewest, most = _rows(left[outputs[0]], left[outputs[1]], name)
    return Suppression(
        confidence=message.confidenceInputFeatureName,
        coordinates=message.coordinatesInputFeatureName,
        confidence_output=outputs[0],
        coordinates_output=outputs[1],
        iou_threshold=message.iouThreshold,
        confidence_threshold=message.confidenceThreshold,
        iou_input=numbers[0] if numbers[0] in thresholds else None,
        confidence_input=numbers[1] if numbers[1] in thresholds else None,
        per_class=message.pickTop.perClass,
        labels=_labels(message, raw[message.confidenceInputFeatureName], name),
        fewest=fewest,
        most=most,
    )


def _features(messages: Any) -> dict[str, Feature]:
    return {message.name: describe(message) for message in messages}


def _labels(message: Any, confidence: Feature, name: str) -> tuple[str | int, ...]:
    field = message.WhichOneof("ClassLabels")
    labels = tuple(getattr(message, field).vector) if field else ()
    if labels and confidence.shape:
        classes = confidence.shape[-1]
        _require(len(labels) == classes, name, f"names {len(labels)} classes, and its network tells {classes} apart")
    return labels


def _rows(confidence: Feature, coordinates: Feature, name: str) -> tuple[int, int | None]:
    """Returns how many rows the outputs have at least and at most; either may say it."""
    said = [_bounds(feature, name) for feature in (confidence, coordinates)]
    known = [bounds for bounds in said if bounds is not None]
    _require(len(set(known)) <= 1, name, "returns another number of coordinates than of confidences")
    return known[0] if known else (0, None)


def _bounds(feature: Feature, name: str) -> tuple[int, int | None] | None:
    if not feature.shape and not feature.ranges:
        return None
    _require(len(feature.ranges or feature.shape) == 2, name, f"describes {feature.name!r} with other axes than two")
    fewest, most = feature.ranges[0] if feature.ranges else (feature.shape[0], feature.shape[0])
    rows = fewest if most is None else most
    _require(0 <= fewest <= rows <= LARGEST_COUNT, name, f"describes {fewest:,} to {rows:,} rows of {feature.name!r}")
    return fewest, most


def _listed(features: dict[str, Feature]) -> str:
    return ", ".join(list(features)[:8]) or "nothing"


def _require(holds: bool, name: str, reason: str) -> None:
    if not holds:
        raise ArtifactError(f"the pipeline of {name} {reason}", "the package is damaged; export or copy it again")
