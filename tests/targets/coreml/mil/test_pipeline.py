"""Detectors' pipelines: read, described and evaluated; damaged ones end in a message."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.targets.coreml.convert import describe
from mobilevit_deploy.targets.coreml.evaluator import MilRunner
from mobilevit_deploy.targets.coreml.mil.listing import read_operations
from mobilevit_deploy.targets.coreml.mil.package import Package
from mobilevit_deploy.targets.coreml.mil.suppression import LARGEST_COUNT
from mobilevit_deploy.targets.coreml.runner import takes_batch
from tests.targets.coreml.detectors import BOXES, CLASSES, LABELS, passing_pipeline, rows
from tests.targets.coreml.mil.conftest import MODEL, body_of, edit_model

GIVEN = rows(
    np.array([[0.5, 0.5, 0.4, 0.2], [0.5, 0.5, 0.4, 0.2], [0.5, 0.5, 0.2, 0.4], [0.1, 0.9, 0.1, 0.1], *[[0] * 4] * 2]),
    np.array([[0.5, 0.1], [0.6, 0.2], [0.1, 0.7], [0.3, 0.2], *[[0] * 2] * 2]),
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return passing_pipeline(tmp_path_factory.mktemp("pipeline"))


@pytest.fixture
def pipeline(written: Path, tmp_path: Path) -> Path:
    """A pipeline that a test may damage."""
    path = tmp_path / "detector.mlpackage"
    shutil.copytree(written, path)
    return path


def test_what_is_left_of_the_boxes(written: Path) -> None:
    runner = MilRunner(written)
    confidence, coordinates = runner.run(GIVEN)
    kept = [2, 1, 3]  # the first overlaps the second, of its class; the two last ones are sure of nothing
    assert np.array_equal(coordinates, GIVEN[0, 0, kept, :4])
    assert np.array_equal(confidence, GIVEN[0, 0, kept, 4:])
    assert [(feature.name, feature.shape) for feature in runner.outputs] == [
        ("confidence", (4, 2)),
        ("coordinates", (4, 4)),
    ]
    assert [feature.name for feature in runner.inputs] == ["x"]
    assert runner.thresholds == {"iouThreshold": 0.5, "confidenceThreshold": 0.25}


@pytest.mark.parametrize(
    ("thresholds", "count"),
    [
        ({"confidenceThreshold": 0.4}, 2),
        ({"confidenceThreshold": 0.0}, 4),  # and no more: the package returns four at most
        ({"iouThreshold": 1.0}, 4),
        ({"iouThreshold": 1.0, "confidenceThreshold": 0.4}, 3),
    ],
)
def test_thresholds_of_the_app(written: Path, thresholds: dict[str, float], count: int) -> None:
    given = {"x": GIVEN, **{name: np.array(value) for name, value in thresholds.items()}}
    for output in MilRunner(written).run(given):
        assert len(output) == count


def test_a_threshold_out_of_its_range(written: Path) -> None:
    with pytest.raises(ArtifactError, match="an IoU threshold of 2"):
        MilRunner(written).run({"x": GIVEN, "iouThreshold": np.array(2.0)})


def test_what_is_computed_on_the_way_is_that_of_the_network(written: Path) -> None:
    recorded = MilRunner(written).run_recording(GIVEN)
    assert np.array_equal(recorded["raw_coordinates"], GIVEN[0, 0, :, :4])
    assert np.array_equal(recorded["raw_confidence"], GIVEN[0, 0, :, 4:])


def test_the_operations_end_with_the_suppression(written: Path) -> None:
    *network, suppression = read_operations(written)
    assert {operation.kind for operation in network} >= {"slice_by_size", "add"}
    assert suppression.kind == "nonMaximumSuppression"
    assert [tensor.shape for tensor in suppression.inputs] == [(BOXES, 4), (BOXES, CLASSES)]
    assert [tensor.shape for tensor in suppression.outputs] == [(4, 4), (4, CLASSES)]
    assert suppression.last


def test_coremltools_takes_it_for_one_with_weights(written: Path, tmp_path: Path) -> None:
    from coremltools.models import MLModel

    copy = tmp_path / "copy.mlpackage"
    MLModel(str(written), skip_model_load=True).save(str(copy))
    assert Package(copy).model == Package(written).model
    for found, expected in zip(MilRunner(copy).run(GIVEN), MilRunner(written).run(GIVEN), strict=True):
        assert np.array_equal(found, expected)


Edit = Callable[[Any], object]


def parts(model: Any) -> Any:
    return model.pipeline.models


def rule(model: Any) -> Any:
    return parts(model)[1].nonMaximumSuppression


def nested(model: Any) -> None:
    """Puts the pipeline into itself, some hundred times."""
    for _ in range(120):
        outer = type(model)()
        outer.specificationVersion = model.specificationVersion
        outer.pipeline.models.add().CopyFrom(model)
        model.CopyFrom(outer)


def setting(name: str, value: object) -> Edit:
    return lambda model: setattr(rule(model), name, value)


def renamed(place: Callable[[Any], Any], name: str) -> Edit:
    return lambda model: setattr(place(model), "name", name)


def bounds(low: int, high: int) -> Edit:
    def edit(model: Any) -> None:
        for feature in model.description.output:
            size = feature.type.multiArrayType.shapeRange.sizeRanges[0]
            size.lowerBound, size.upperBound = low, high

    return edit


def rank(model: Any) -> None:
    parts(model)[0].description.output[0].type.multiArrayType.shape.insert(0, 1)


def without(place: Callable[[Any], Any], index: int) -> Edit:
    return lambda model: place(model).__delitem__(index)


DAMAGED: dict[str, tuple[Edit, str]] = {
    "nothing in it": (lambda model: parts(model).__delitem__(slice(None)), "a pipeline of nothing"),
    "no suppression": (without(parts, 1), "a pipeline of mlProgram;"),
    "no network": (without(parts, 0), "a pipeline of nonMaximumSuppression;"),
    "the wrong order": (lambda model: parts(model).reverse(), "a pipeline of nonMaximumSuppression, mlProgram"),
    "a model of no kind": (lambda model: parts(model)[0].ClearField("mlProgram"), "a pipeline of nothing, "),
    "another kind": (lambda model: parts(model)[1].identity.SetInParent(), "a pipeline of mlProgram, identity"),
    "thousands of models": (
        lambda model: [parts(model).add().identity.SetInParent() for _ in range(5000)],
        "a pipeline of mlProgram, nonMaximumSuppression, identity",
    ),
    "a pipeline in a pipeline": (nested, "is not a Core ML model, or damaged"),
    "a specification of no release": (lambda model: setattr(model, "specificationVersion", 99), "specification 99"),
    "no description": (lambda model: model.ClearField("description"), "returns nothing, no boxes"),
    "no description of the network": (lambda model: parts(model)[0].ClearField("description"), "its network lacks"),
    "an output that is none": (renamed(lambda model: model.description.output[0], "planted"), "returns planted"),
    "one output alone": (without(lambda model: model.description.output, 0), "returns coordinates, no boxes"),
    "both outputs of one name": (setting("confidenceOutputFeatureName", "coordinates"), "returns confidence, coord"),
    "no name of the confidence": (setting("confidenceInputFeatureName", ""), "suppresses '', which its network lacks"),
    "coordinates of nobody": (setting("coordinatesInputFeatureName", "x"), "suppresses 'x', which its network lacks"),
    "an input of nobody": (renamed(lambda model: model.description.input[1], "planted"), "takes x, planted"),
    "an input of another name": (renamed(lambda model: model.description.input[0], "y"), "takes y, iouThreshold"),
    "a threshold that is an image": (
        lambda model: model.description.input[1].type.imageType.SetInParent(),
        "takes x, iouThreshold",
    ),
    "an image of no colour": (
        lambda model: setattr(model.description.input[1].type.imageType, "colorSpace", 7),
        "a colour space that is unknown",
    ),
    "both thresholds of one name": (
        setting("confidenceThresholdInputFeatureName", "iouThreshold"),
        "takes both thresholds as 'iouThreshold'",
    ),
    "an IoU above 1": (setting("iouThreshold", 1.5), "an IoU threshold of 1.5"),
    "an IoU that is no number": (setting("iouThreshold", float("nan")), "an IoU threshold of nan"),
    "a negative confidence": (setting("confidenceThreshold", -1.0), "a confidence threshold of -1"),
    "fewer labels": (
        lambda model: rule(model).stringClassLabels.vector.pop(),
        "names 1 classes, and its network tells 2",
    ),
    "labels of numbers": (
        lambda model: rule(model).int64ClassLabels.vector.extend(range(9)),
        "names 9 classes, and its network tells 2",
    ),
    "rows beyond count": (bounds(0, LARGEST_COUNT + 1), "describes 0 to 262,145 rows"),
    "at least more than at most": (bounds(5, 4), "describes 5 to 4 rows"),
    "terabytes of padding": (bounds(2**40, -1), "describes 1,099,511,627,776 to 1,099,511,627,776 rows"),
    "rows that differ": (
        lambda model: setattr(
            model.description.output[0].type.multiArrayType.shapeRange.sizeRanges[0], "upperBound", 3
        ),
        "returns another number of coordinates than of confidences",
    ),
    "rows of three axes": (
        lambda model: model.description.output[0].type.multiArrayType.shapeRange.sizeRanges.add(),
        "describes 'confidence' with other axes than two",
    ),
    "coordinates of three axes": (rank, "which has other axes than two"),
    "no functions": (lambda model: parts(model)[0].mlProgram.functions.clear(), "has no function 'main'"),
    "a network without its outputs": (
        lambda model: body_of(parts(model)[0]).outputs.__delitem__(0),
        "which its program does not have",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged(pipeline: Path, case: str) -> None:
    edit, reason = DAMAGED[case]
    edit_model(pipeline, edit)
    with pytest.raises(ArtifactError) as caught:
        MilRunner(pipeline).run(GIVEN)
    assert reason in caught.value.message


def test_coordinates_of_another_width(pipeline: Path) -> None:
    """The shapes of the network are optional; what comes is looked at."""

    def swap(model: Any) -> None:
        for feature in parts(model)[0].description.output:
            del feature.type.multiArrayType.shape[:]
        names = rule(model)
        names.confidenceInputFeatureName, names.coordinatesInputFeatureName = "raw_coordinates", "raw_confidence"

    edit_model(pipeline, swap)
    with pytest.raises(ArtifactError, match=r"takes coordinates \(N, 4\)"):
        MilRunner(pipeline).run(GIVEN)


def test_thresholds_that_cannot_be_set(pipeline: Path) -> None:
    edit_model(pipeline, lambda model: model.description.input.__delitem__(slice(1, None)))
    runner = MilRunner(pipeline)
    assert runner.thresholds == {}
    assert len(runner.run(GIVEN)[0]) == 3


def test_as_ultralytics_describes_it(pipeline: Path) -> None:
    """Any number of rows, of which the description says no size; labels are numbers."""

    def edit(model: Any) -> None:
        bounds(0, -1)(model)
        rule(model).int64ClassLabels.vector.extend([7, 8])

    edit_model(pipeline, edit)
    package = Package(pipeline)
    assert package.suppression is not None
    assert (package.suppression.labels, package.suppression.most) == ((7, 8), None)
    assert [feature.shape for feature in MilRunner(pipeline).outputs] == [(BOXES, CLASSES), (BOXES, 4)]


@pytest.mark.parametrize("tenth", range(10))
def test_truncated(pipeline: Path, tenth: int) -> None:
    content = (pipeline / MODEL).read_bytes()
    (pipeline / MODEL).write_bytes(content[: len(content) * tenth // 10])
    with pytest.raises(ArtifactError):
        MilRunner(pipeline).run(GIVEN)


def test_flipped_bytes(pipeline: Path) -> None:
    """A byte that differs is harmless, or ends in an ArtifactError."""
    content = (pipeline / MODEL).read_bytes()
    generator = np.random.default_rng(0)
    refused = 0
    for place in generator.integers(0, len(content), 80):
        changed = bytearray(content)
        changed[place] ^= 1 << int(generator.integers(8))
        (pipeline / MODEL).write_bytes(changed)
        try:
            MilRunner(pipeline).run(GIVEN)
            read_operations(pipeline)
        except ArtifactError:
            refused += 1
    assert refused > 10


def test_it_is_described(written: Path) -> None:
    file = describe(written)
    assert file.labels == LABELS
    assert [entry.shape for entry in file.entries] == [(1, 1, BOXES, 4 + CLASSES)]
    assert {item.name: item.shape for item in file.outputs} == {"confidence": (4, 2), "coordinates": (4, 4)}


def test_it_takes_one_image(written: Path) -> None:
    assert takes_batch(written, 1)
    assert not takes_batch(written, 2)
